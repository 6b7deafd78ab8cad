"""A session's Heartbeat messages."""

from __future__ import annotations

from ..clock import Clock
from ..replies import Message


class Heartbeats:
    """Each looks back to the one before it, the first to where this was made."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = self._last = clock.monotonic()
        self._audio_seconds = 0.0
        self.speech = 0.0
        """The highest probability of speech, from 0 to 1, since the last message."""

    def message(self, audio_seconds: float) -> Message:
        """The next Heartbeat, `audio_seconds` of audio having come in all."""
        now = self._clock.monotonic()
        passed = now - self._last
        came = audio_seconds - self._audio_seconds
        speech = self.speech
        self._last, self._audio_seconds, self.speech = now, audio_seconds, 0.0
        return {
            "type": "Heartbeat",
            "total_audio_received_ms": round(audio_seconds * 1000),
            "total_duration_ms": round((now - self._began) * 1000),
            "realtime_factor": round(came / passed, 4) if passed else 0.0,
            "max_speech_probability": speech,
        }
