"""What an `STT` was asked for, and the handshake that makes of it.

Defaults are those of livekit-plugins-assemblyai 1.8.9, tuned for LiveKit's own turn
detection: short silences end a turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from .._core import AudioRing
from ..client import make_ring, retries
from ..connection.connector import Connector
from ..errors import OptionError
from ..models import MULTILINGUAL, is_universal_3
from ..options import Options
from ..protocol.retry import Retries
from ..protocol.settings import Settings
from ..recorder.recording import RecordSettings
from ..runner import Runner, Tell
from ..stream import Stream

if TYPE_CHECKING:
    from livekit.agents import APIConnectOptions

SHORTEST_SILENCE_MS = 100
"""`min_turn_silence` unless given: LiveKit's turn detector decides, not silence."""


@dataclass(frozen=True)
class Config:
    """One stream's settings; never changes once made."""

    connector: Connector
    parameters: Mapping[str, Any]
    """v3's, as given: `speech_model` always, others only if asked for."""
    extra_params: Mapping[str, Any]
    sample_rate: int | Literal["native"]
    encoding: str
    buffer_size_seconds: float
    replay_seconds: float
    resampler: str
    settings: Settings
    manual_flush: bool
    recording: RecordSettings | None
    """Of each stream; None for none."""

    def check(self) -> None:
        """Raise `OptionError` if a stream couldn't be made of this."""
        rate = 16_000 if self.sample_rate == "native" else self.sample_rate
        self.options(rate)
        self.ring(rate)

    @property
    def model(self) -> str:
        """The speech model."""
        return str(self.parameters["speech_model"])

    @property
    def chunk_ms(self) -> float:
        """Length of a message to the server."""
        return self.buffer_size_seconds * 1000

    def ring(self, sample_rate: int) -> AudioRing:
        """A ring for audio that is sent at `sample_rate`."""
        seconds = self.buffer_size_seconds
        if not isinstance(seconds, (int, float)) or not 0.05 <= seconds <= 1:
            raise OptionError(
                f"buffer_size_seconds must be from 0.05 to 1, not {seconds!r}"
            )
        return make_ring(
            sample_rate,
            self.encoding,
            self.chunk_ms,
            self.replay_seconds,
            self.resampler,
        )

    def options(self, sample_rate: int) -> Options:
        """What the next handshake asks for."""
        values = dict(self.parameters)
        universal_3 = is_universal_3(self.model)
        if "mode" not in values:
            values.setdefault("min_turn_silence", SHORTEST_SILENCE_MS)
        if universal_3 and "min_turn_silence" in values:
            values.setdefault("max_turn_silence", values["min_turn_silence"])
        values.setdefault(
            "language_detection", universal_3 or self.model in MULTILINGUAL
        )
        values |= {"sample_rate": sample_rate, "encoding": self.encoding}
        return Options(values, self.extra_params, match_model=False)

    def runner(
        self, tell: Tell, sample_rate: int, conn_options: APIConnectOptions
    ) -> Runner:
        """What a `SpeechStream` pushes its audio into; it tries again as LiveKit's
        `conn_options` say."""
        again = retries(
            conn_options.max_retry,
            self.replay_seconds,
            conn_options._interval_for_retry,
        )
        timeout = conn_options.timeout
        return self._runner(tell, sample_rate, self.settings, again, timeout)

    def stream(self, sample_rate: int, connect_timeout: float) -> Stream:
        """A stream for one recording."""
        # LiveKit's `recognize` tries again.
        again = retries(0, self.replay_seconds)
        settings = replace(
            self.settings, skip_silence=False, keeps_alive=False, park_after=None
        )
        return Stream(
            lambda tell: self._runner(
                tell, sample_rate, settings, again, connect_timeout
            )
        )

    def _runner(
        self,
        tell: Tell,
        sample_rate: int,
        settings: Settings,
        again: Retries,
        connect_timeout: float,
    ) -> Runner:
        return Runner(
            tell,
            ring=self.ring(sample_rate),
            options=self.options(sample_rate),
            settings=settings,
            retries=again,
            connector=self.connector,
            connect_timeout=connect_timeout,
            recording=self.recording,
        )

    def updated(self, changes: Mapping[str, Any]) -> Config:
        """This after `live_changes`. Raises `OptionError` if one is bad."""
        parameters = {**self.parameters, **changes}
        seconds = parameters.pop("buffer_size_seconds", self.buffer_size_seconds)
        after = replace(self, parameters=parameters, buffer_size_seconds=seconds)
        after.check()
        return after
