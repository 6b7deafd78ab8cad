"""Plays a `StreamProtocol`'s runner, its servers and time: all by the test's hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from aai_stream._core import AudioRing, Chunk
from aai_stream.messages import Turn
from aai_stream.options import Options
from aai_stream.protocol.events import Note, Report, Retry
from aai_stream.protocol.retry import Retries
from aai_stream.protocol.session import Session
from aai_stream.protocol.settings import Settings
from aai_stream.protocol.stream import StreamProtocol
from aai_stream.stats import StreamStats, stats_of
from tests.audio import count_up, to_samples

RATE = 16_000
CHUNK = 800
PER_MS = RATE // 1000

UNIX = 1_000_000
"""The time of day, in unix seconds, when the steady clock says 0."""

BEGIN = {"type": "Begin", "id": "session-1", "expires_at": 2_000_000_000}
TERMINATE = "Terminate"

T = TypeVar("T")


class Identity:
    """As whom sessions are opened; `key` is what nobody shall read."""

    def __init__(self, *, has_token_source: bool = False) -> None:
        self.has_token_source = has_token_source

    def redact(self, text: str) -> str:
        return text.replace("key", "***")


class Peer:
    """The server's end of one session.

    Attributes:
        query: of the handshake, once connected.
        seen: what was sent: audio as its samples, messages parsed.
        has_room: the socket takes more audio.
        is_closed: the client has closed the connection, or given up opening it.
    """

    def __init__(self, call: Call, session: Session) -> None:
        self.session = session
        self.query: dict[str, str] = {}
        self.seen: list[Any] = []
        self.has_room = True
        self.silent_seconds = 0.0
        self.is_connected = False
        self.is_closed = False
        self._call = call

    # What the server does

    def connect(self) -> Peer:
        """Let the handshake succeed."""
        assert not self.is_closed
        self.query = self.session.handshake().query()
        self.is_connected = True
        self._call.protocol.connected(self.session, self._call.now)
        self._call.settle()
        return self

    def refuse(self, failure: Exception) -> None:
        """Let the handshake fail."""
        self.is_closed = True
        self._call.protocol.not_opened(self.session, failure, self._call.now)
        self._call.settle()

    def begin(self, **fields: Any) -> Peer:
        """Say Begin."""
        self.say({**BEGIN, **fields})
        return self

    def say(self, *messages: Any) -> None:
        """Send messages, or bytes as they are."""
        assert self.is_connected
        for message in messages:
            text = message if isinstance(message, bytes) else json.dumps(message)
            raw = text if isinstance(text, bytes) else text.encode()
            self._call.protocol.receive(self.session, raw, self._call.now)
            self._call.settle()

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection."""
        self.is_closed = True
        self._call.protocol.closed(self.session, code, reason, self._call.now)
        self._call.settle()

    def cut(self) -> None:
        """Break the connection."""
        self.close(1006)

    def finish(self, **fields: Any) -> None:
        """Answer a Terminate."""
        assert self.asked[-1] == TERMINATE
        self.say({"type": "Termination", **fields})

    def make_room(self) -> None:
        """Let the socket take more audio."""
        self.has_room = True
        self._call.settle()

    # What it was sent

    @property
    def audio(self) -> list[int]:
        """All samples in a row."""
        return _samples(self.seen)

    def around(self, message: dict[str, Any]) -> tuple[list[int], list[int]]:
        """The samples that it was sent before that message, and behind it."""
        at = self.seen.index(message)
        return _samples(self.seen[:at]), _samples(self.seen[at:])

    @property
    def asked(self) -> list[Any]:
        """Messages, the mere types of those that have nothing more."""
        return [
            one if len(one) > 1 else one["type"]
            for one in self.seen
            if isinstance(one, dict)
        ]

    # For the runner that is played here

    def take(self, message: Chunk | bytes) -> None:
        """Receive one message."""
        assert self.is_connected
        assert not self.is_closed
        if isinstance(message, bytes):
            self.seen.append(json.loads(message))
        else:
            self.seen.append(to_samples(message))

    def take_texts(self) -> None:
        """Receive what the session has to say."""
        if self.is_connected and not self.is_closed:
            for text in self.session.texts():
                self.take(text)


class Call:
    """A stream, what it told, and the servers that heard it.

    Waits before another attempt are as long as they may be.

    Attributes:
        told: messages and retries, oldest first.
        notes: lines for the log.
        reports: what became of sessions.
        everything: all of that, in its order.
        peers: one for each session that was asked for.
    """

    def __init__(
        self,
        *,
        replay_seconds: float = 30,
        resampler: Literal["auto", "soxr", "fir"] = "auto",
        max_retries: int = 10,
        patience: float = 120,
        identity: Identity | None = None,
        catch_up_rate: float = math.inf,
        dead_after: float = math.inf,
        close_timeout: float = 20.0,
        skip_silence: bool = True,
        keeps_alive: bool = False,
        park_after: float | None = None,
        extra_params: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> None:
        self.now = 100.0
        self.told: list[Any] = []
        self.notes: list[Note] = []
        self.reports: list[Report] = []
        self.everything: list[Any] = []
        self.peers: list[Peer] = []
        self.pushed = 0
        self.ring = AudioRing(RATE, replay_seconds=replay_seconds, resampler=resampler)
        model = {"speech_model": "universal-3-6-pro", "sample_rate": RATE}
        self.protocol = StreamProtocol(
            self.ring,
            Options(model | parameters, extra_params),
            Settings(
                begin_timeout=20.0,
                close_timeout=close_timeout,
                dead_after=dead_after,
                catch_up_rate=catch_up_rate,
                skip_silence=skip_silence,
                keeps_alive=keeps_alive,
                park_after=park_after,
            ),
            Retries(max_retries, patience=patience, draw=lambda low, high: high),
            identity or Identity(),
        )
        self.protocol.start(self.now)

    # ---- what the caller does ----

    def push(self, samples: int) -> None:
        """Push audio whose samples are 1, 2, 3, …."""
        self.write(count_up(self.pushed + 1, samples))
        self.pushed += samples

    def write(self, audio: bytes, sample_rate: int = RATE) -> None:
        """Push that audio."""
        self.ring.write(audio, sample_rate)
        self.protocol.wrote(self.now)
        self.settle()

    def do(self, call: Callable[[StreamProtocol], object]) -> None:
        """Call the protocol."""
        call(self.protocol)
        self.settle()

    def update(self, **live: Any) -> None:
        self.do(lambda protocol: protocol.update(live))

    def flush(self) -> None:
        self.do(lambda protocol: protocol.sending.flush())

    def force_endpoint(self, *, flush: bool = False) -> None:
        self.do(lambda protocol: protocol.sending.force_endpoint(flush=flush))

    def end(self) -> None:
        self.do(lambda protocol: protocol.end(self.now))

    def close(self) -> None:
        self.do(lambda protocol: protocol.close(self.now))

    # ---- sessions ----

    @property
    def peer(self) -> Peer:
        """The server of the session that was asked for last."""
        return self.peers[-1]

    def ask(self) -> Peer:
        """Wait until a session is asked for; its connection is the test's to make."""
        self.settle()
        while not self.is_asking:
            assert self.protocol.deadline < math.inf, "no session will be asked for"
            self._turn(self.protocol.deadline)
        return self.peer

    @property
    def is_asking(self) -> bool:
        """Whether a session is asked for that is not connected."""
        peers = self.peers
        return bool(peers) and not peers[-1].is_connected and not peers[-1].is_closed

    def open(self, **fields: Any) -> Peer:
        """Wait until a session is asked for, and open it; Begin says `fields`."""
        return self.ask().connect().begin(**fields)

    # ---- time ----

    def run(self, seconds: float) -> None:
        """Let time pass, and what is due happen."""
        end = self.now + seconds
        while (at := self.protocol.deadline) <= end:
            self._turn(at)
        self.now = end

    def _turn(self, at: float) -> None:
        if at > self.now:
            self._idle_turns, self.now = 0, at
        self._idle_turns += 1
        assert self._idle_turns < 10, "it asks to be asked again and again"
        self.protocol.check(self.now)
        self.settle()

    _idle_turns = 0

    # ---- the runner ----

    def settle(self) -> None:
        """Do all that the protocol wants by now."""
        protocol = self.protocol
        for peer in self.peers:
            peer.take_texts()
            if peer.session is protocol.session and peer.is_connected:
                self._send(peer)
        while protocol.told:
            told = protocol.told.popleft()
            self.everything.append(told)
            if isinstance(told, Note):
                self.notes.append(told)
            elif isinstance(told, Report):
                self.reports.append(told)
            else:
                self.told.append(told)
        for peer in self.peers:
            if peer.session.is_over and not peer.is_closed:
                self._hang_up(peer)
        session = protocol.next_session(self.now, UNIX + self.now)
        if session is not None:
            self.peers.append(Peer(self, session))

    def _send(self, peer: Peer) -> None:
        protocol = self.protocol
        while (message := protocol.next_message(self.now, peer.has_room)) is not None:
            peer.take(message)
        peer.take_texts()
        if protocol.sending.is_time_to_look:
            protocol.look(self.now, peer.silent_seconds)
            peer.take_texts()

    def _hang_up(self, peer: Peer) -> None:
        peer.take_texts()
        peer.is_closed = True
        self.protocol.closed(peer.session, 1000, "", self.now)

    # ---- what it told ----

    def all(self, kind: type[T]) -> list[T]:
        """Of all that was told, what is of this kind."""
        return [event for event in self.told if isinstance(event, kind)]

    @property
    def turns(self) -> list[Turn]:
        return self.all(Turn)

    @property
    def finals(self) -> list[str]:
        """The transcripts of final turns."""
        return [turn.transcript for turn in self.turns if turn.is_final]

    @property
    def waits(self) -> list[float]:
        """How long it waited before each attempt that followed a failure."""
        return [retry.seconds for retry in self.all(Retry)]

    @property
    def stats(self) -> StreamStats:
        return stats_of(self.protocol, 0, self.now)

    @property
    def acked_ms(self) -> float:
        """How far the stream is covered."""
        return self.ring.acked / PER_MS

    @property
    def is_open(self) -> bool:
        """Whether a session hears the stream."""
        return self.protocol.lineup.is_open

    @property
    def has_backlog(self) -> bool:
        """Whether a full chunk waits."""
        return self.protocol.has_backlog


def _samples(seen: list[Any]) -> list[int]:
    return [sample for part in seen if isinstance(part, list) for sample in part]


def numbers(first: int, last: int) -> list[int]:
    """What `Call.push` pushes as samples `first` to `last`, counted from 1."""
    return to_samples(count_up(first, last - first + 1))


def heard_from(peer: Peer, first: int, last: int) -> bool:
    """Whether a peer heard those samples, and but for padding no others."""
    audio = peer.audio
    whole = last - first + 1
    padding = audio[whole:]
    is_padded = not any(padding) and len(padding) < CHUNK
    return audio[:whole] == numbers(first, last) and is_padded
