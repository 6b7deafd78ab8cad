"""What an `STT` was asked for, and the handshake that makes of it.

Defaults are those of livekit-plugins-assemblyai 1.8.9, tuned for LiveKit's own turn
detection: short silences end a turn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .._core import AudioRing
from ..client import make_ring
from ..connection.connector import Connector, check_seconds
from ..errors import OptionError, SessionError
from ..feed import Feed
from ..messages import Event
from ..models import MULTILINGUAL, is_universal_3
from ..options import Options
from ..pacing import Pacer
from ..stream import Stream

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
    close_timeout: float
    skip_silence: bool
    resampler: str
    catch_up_rate: float
    manual_flush: bool

    def check(self) -> None:
        """Raise `OptionError` if a stream couldn't be made of this."""
        rate = 16_000 if self.sample_rate == "native" else self.sample_rate
        self.options(rate)
        self.ring(rate)
        Pacer(self.catch_up_rate, rate)
        check_seconds("close_timeout", self.close_timeout)

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

    def feed(
        self,
        sample_rate: int,
        on_event: Callable[[Event], None],
        on_closed: Callable[[SessionError | None], None],
        *,
        insist: bool,
    ) -> Feed:
        """What a `SpeechStream` pushes its audio into."""
        options = self.options(sample_rate)
        inactivity = options.inactivity_timeout
        return Feed(
            self.connector,
            options,
            self.ring(sample_rate),
            catch_up_rate=self.catch_up_rate,
            close_timeout=self.close_timeout,
            skip_silence=self.skip_silence,
            on_event=on_event,
            on_closed=on_closed,
            keep_alive_seconds=inactivity and inactivity / 2,
            insist=insist,
        )

    def stream(self, sample_rate: int, connect_timeout: float) -> Stream:
        """A stream for one recording."""
        return Stream(
            self.connector,
            self.options(sample_rate),
            self.ring(sample_rate),
            catch_up_rate=self.catch_up_rate,
            connect_timeout=connect_timeout,
            close_timeout=self.close_timeout,
            replay_seconds=self.replay_seconds,
            max_retries=0,  # LiveKit's `recognize` tries again
            skip_silence=False,
        )

    def updated(self, changes: Mapping[str, Any]) -> Config:
        """This after `live_changes`. Raises `OptionError` if one is bad."""
        parameters = {**self.parameters, **changes}
        seconds = parameters.pop("buffer_size_seconds", self.buffer_size_seconds)
        after = dataclasses.replace(
            self, parameters=parameters, buffer_size_seconds=seconds
        )
        after.check()
        return after
