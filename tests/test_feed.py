"""A feed over sessions whose servers are in the test's hand: no socket, no wait."""

from __future__ import annotations

import asyncio
import gc
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from typing_extensions import Buffer

from aai_stream import messages
from aai_stream._core import AudioRing, limit_memory
from aai_stream.connection.connector import Connector, open_session
from aai_stream.connection.credentials import Credentials
from aai_stream.errors import (
    AudioError,
    DroppedError,
    OptionError,
    SessionError,
    StateError,
    TimedOutError,
    TooFastError,
)
from aai_stream.messages import Event
from aai_stream.options import Options
from aai_stream.protocol.session import Session
from aai_stream.protocol.stream import Feed
from tests.audio import count_up, to_samples
from tests.livekit.scripts import final, turn, words
from tests.servers import BEGIN, until, within

RATE = 16_000
CHUNK = 800


class FakeWire:
    """A socket whose other end is the test."""

    def __init__(
        self,
        url: str,
        on_text: Callable[[bytes], None],
        on_closed: Callable[[int, str], None],
    ) -> None:
        self.query = {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()}
        self.seen: list[Any] = []
        """What was sent: audio as its samples, messages parsed."""
        self.writable = True
        self.silent_seconds = 0.0
        self.is_closed = False
        self._on_text = on_text
        self._on_closed = on_closed

    def send_audio(self, chunk: Buffer) -> None:
        self.seen.append(to_samples(bytes(memoryview(chunk))))

    def send_text(self, text: bytes) -> None:
        self.seen.append(json.loads(text))

    async def close(self) -> None:
        self.end(1000)

    def say(self, *messages: Any) -> None:
        for message in messages:
            self._on_text(json.dumps(message).encode())

    def end(self, code: int, reason: str = "") -> None:
        if not self.is_closed:
            self.is_closed = True
            self._on_closed(code, reason)

    @property
    def audio(self) -> list[int]:
        return [
            sample for part in self.seen if isinstance(part, list) for sample in part
        ]

    @property
    def asked(self) -> list[Any]:
        """Messages, the mere types of those that have nothing more."""
        return [
            one if len(one) > 1 else one["type"]
            for one in self.seen
            if isinstance(one, dict)
        ]


class FakeConnector:
    """Opens real sessions over fake wires. With `opens` cleared, Begin waits."""

    def __init__(self) -> None:
        self.wires: list[FakeWire] = []
        self.opens = asyncio.Event()
        self.opens.set()
        self.admits = asyncio.Event()
        self.admits.set()
        self.begin: dict[str, Any] = BEGIN

    async def admit(self, urgency: Callable[[], float]) -> None:
        self.urgency = urgency
        await self.admits.wait()

    async def open(
        self, options: Options, *, sample_rate: int, timeout: float
    ) -> Session:
        return await open_session(
            self._open_wire,
            "ws://server/v3/ws",
            Credentials("key"),
            options,
            sample_rate=sample_rate,
            timeout=timeout,
        )

    async def _open_wire(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        on_text: Callable[[bytes], None],
        on_closed: Callable[[int, str], None],
    ) -> FakeWire:
        wire = FakeWire(url, on_text, on_closed)
        self.wires.append(wire)
        await self.opens.wait()
        wire.say(self.begin)
        return wire


class Fed:
    """A feed and what it told."""

    def __init__(
        self,
        *,
        replay_seconds: float = 30,
        keep_alive_seconds: float | None = None,
        resampler: Literal["auto", "soxr", "fir"] = "auto",
    ) -> None:
        self.connector = FakeConnector()
        self.events: list[Event] = []
        self.closed: list[SessionError | None] = []
        self.ring = AudioRing(RATE, replay_seconds=replay_seconds, resampler=resampler)
        self.feed = Feed(
            cast(Connector, self.connector),
            Options({"speech_model": "universal-3-6-pro", "sample_rate": RATE}),
            self.ring,
            catch_up_rate=math.inf,
            close_timeout=0.05,
            on_event=self.events.append,
            on_closed=self.closed.append,
            keep_alive_seconds=keep_alive_seconds,
        )
        self.pushed = 0

    @property
    def wire(self) -> FakeWire:
        return self.connector.wires[-1]

    async def open(self) -> FakeWire:
        await within(5, self.feed.open(5))
        return self.wire

    def push(self, samples: int) -> None:
        """Push audio whose samples are 1, 2, 3, …."""
        self.feed.push(count_up(self.pushed + 1, samples), RATE)
        self.pushed += samples

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def numbers(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


# ---- audio ----


async def test_audio_goes_to_the_wire_in_the_call_that_pushes_it() -> None:
    fed = Fed()
    wire = await fed.open()
    fed.push(799)
    assert wire.seen == []
    fed.push(1)
    assert wire.seen == [numbers(1, 800)]
    fed.push(2000)
    assert wire.seen[1:] == [numbers(801, 1600), numbers(1601, 2400)]
    assert not fed.feed.has_backlog
    assert fed.feed.heard_samples == 2400
    await fed.feed.close()


async def test_audio_waits_for_a_session() -> None:
    fed = Fed()
    fed.push(2000)
    assert fed.feed.has_backlog
    assert fed.feed.heard_samples == 0
    wire = await fed.open()
    assert wire.audio == numbers(1, 1600)
    assert not fed.feed.has_backlog
    await fed.feed.close()


async def test_bad_audio_is_refused_and_changes_nothing() -> None:
    fed = Fed()
    wire = await fed.open()
    with pytest.raises(AudioError):
        fed.feed.push(bytes(1601), RATE)
    with pytest.raises(AudioError):
        fed.feed.push(bytes(1600), 0)
    assert fed.feed.stats.written_samples == 0
    assert wire.seen == []
    await fed.feed.close()


async def test_a_wire_without_room_gets_nothing_until_it_has() -> None:
    fed = Fed()
    wire = await fed.open()
    wire.writable = False
    fed.push(1600)
    assert wire.seen == []
    draining = asyncio.ensure_future(fed.feed.drain())
    wire.writable = True
    await within(5, draining)
    assert wire.audio == numbers(1, 1600)
    await fed.feed.close()


async def test_what_can_not_be_kept_is_told() -> None:
    fed = Fed(replay_seconds=1)
    fed.push(RATE // 2)
    fed.push(RATE // 2)
    fed.push(RATE // 2)
    assert fed.events == []  # it is not over yet
    wire = await fed.open()
    assert len(fed.events) == 2
    assert len(fed.told(messages.Begin)) == 1
    (lost,) = fed.told(messages.AudioLost)
    assert lost.start_sample == 0
    assert wire.audio[0] == lost.end_sample + 1
    assert (lost.start_ms, lost.end_ms) == (0, lost.end_sample * 1000 // RATE)
    assert fed.feed.stats.dropped_samples == lost.end_sample
    await fed.feed.close()


@pytest.mark.parametrize("how", ["flush", "force_endpoint", "end"])
async def test_what_the_resampler_s_rest_drives_out_is_told_as_well(how: str) -> None:
    fed = Fed(replay_seconds=1, resampler="soxr")
    wire = await fed.open()
    wire.writable = False
    fed.feed.push(bytes(2 * 36_001), 24_000)
    dropped = fed.feed.stats.dropped_samples
    if how == "flush":
        fed.feed.flush()
    elif how == "force_endpoint":
        fed.feed.force_endpoint(flush=True)
    else:
        await within(5, fed.feed.end())
    assert fed.feed.stats.dropped_samples > dropped  # or this shows nothing
    wire.writable = True
    await fed.feed.close()
    lost = fed.told(messages.AudioLost)
    assert sum(loss.end_sample - loss.start_sample for loss in lost) == (
        fed.feed.stats.dropped_samples
    )
    assert lost[0].start_sample == 0


# ---- memory that other streams need ----


def make_others_grow() -> None:
    """Have streams with less take memory from those with more."""
    others = [AudioRing(RATE) for _ in range(3)]
    for _ in range(200):
        for other in others:
            other.write(bytes(1600), RATE)


@pytest.fixture
def _bounded() -> Iterator[None]:
    gc.collect()  # other tests' rings
    limit_memory(2_000_000)  # 62 s
    yield
    limit_memory(512_000_000)


AFTER_LOSING: dict[str, Callable[[Fed], object]] = {
    "its next push": lambda fed: fed.push(CHUNK),
    "its end": lambda fed: within(5, fed.feed.end()),
    "a session's loss": lambda fed: fed.wire.end(1011),
    "closing": lambda fed: fed.feed.close(),
    "giving up": lambda fed: fed.feed.give_up(),
}


@pytest.mark.usefixtures("_bounded")
@pytest.mark.parametrize("how", AFTER_LOSING)
async def test_what_others_took_from_a_stream_that_rests_is_told(how: str) -> None:
    fed = Fed(replay_seconds=120)
    wire = await fed.open()
    wire.writable = False
    for _ in range(60):
        fed.push(RATE)
    make_others_grow()
    assert fed.events == [fed.told(messages.Begin)[0]]
    done = AFTER_LOSING[how](fed)
    if asyncio.iscoroutine(done):
        await done
    if how == "a session's loss":
        await fed.open()
    wire.writable = True
    if how in ("its next push", "a session's loss"):
        await within(5, fed.feed.drain())
    await fed.feed.close()
    lost = fed.told(messages.AudioLost)
    first, *rest = [(one.start_sample, one.end_sample) for one in lost]
    assert first == (0, fed.feed.stats.dropped_samples)
    assert first[1] > 20 * RATE
    if how == "giving up":
        assert rest == [(first[1], 60 * RATE)]
    else:
        assert rest == []
    if how in ("its next push", "a session's loss"):
        assert fed.wire.audio[0] == to_samples(count_up(first[1] + 1, 1))[0]


@pytest.mark.usefixtures("_bounded")
async def test_a_stream_that_rests_goes_on_behind_what_others_took() -> None:
    fed = Fed(replay_seconds=120)
    wire = await fed.open()
    wire.writable = False
    for _ in range(60):
        fed.push(RATE)
    draining = asyncio.ensure_future(fed.feed.drain())
    await asyncio.sleep(0)
    make_others_grow()
    wire.writable = True
    await within(5, draining)
    lost = fed.feed.stats.dropped_samples
    assert lost > 20 * RATE
    expected = to_samples(count_up(lost + 1, 60 * RATE - lost))
    assert wire.audio == expected[: len(wire.audio)]
    assert len(expected) - len(wire.audio) < CHUNK
    await fed.feed.close()
    (told,) = fed.told(messages.AudioLost)
    assert (told.start_sample, told.end_sample) == (0, lost)


@pytest.mark.usefixtures("_bounded")
async def test_others_may_take_memory_while_a_stream_sends() -> None:
    """As another thread does."""
    fed = Fed(replay_seconds=120)
    wire = await fed.open()
    wire.writable = False
    for _ in range(60):
        fed.push(RATE)
    wire.writable = True
    send = wire.send_audio

    def send_and_lose(chunk: Buffer) -> None:
        send(chunk)
        wire.send_audio = send  # type: ignore[method-assign]
        make_others_grow()

    wire.send_audio = send_and_lose  # type: ignore[method-assign]
    fed.push(CHUNK)
    await within(5, fed.feed.drain())
    await fed.feed.close()
    (lost,) = fed.told(messages.AudioLost)
    assert lost.start_sample == CHUNK
    assert fed.feed.stats.dropped_samples == lost.end_sample - CHUNK > 20 * RATE
    assert wire.audio[CHUNK] == to_samples(count_up(lost.end_sample + 1, 1))[0]


# ---- how much is at stake ----


async def test_what_no_session_hears_is_at_stake() -> None:
    fed = Fed()
    wire = await fed.open()
    assert fed.connector.urgency() == 0
    fed.push(2 * RATE)
    assert fed.connector.urgency() == 0  # as long as there is one that hears it
    wire.end(1011)
    assert fed.connector.urgency() == 2
    fed.push(RATE // 2)
    assert fed.connector.urgency() == 2.5
    await fed.open()
    assert fed.connector.urgency() == 0
    await fed.feed.close()


# ---- flush and endpoints ----


async def test_flush_pads_a_short_tail() -> None:
    fed = Fed()
    wire = await fed.open()
    fed.push(900)
    fed.feed.flush()
    assert wire.seen == [numbers(1, 800), numbers(801, 900) + [0] * 700]
    fed.push(800)
    assert wire.seen[2] == numbers(901, 1700)
    assert fed.feed.heard_samples == 2400
    await fed.feed.close()


async def test_flush_while_waiting_leaves_the_tail_with_what_follows() -> None:
    fed = Fed()
    fed.push(900)
    fed.feed.flush()
    wire = await fed.open()
    assert wire.audio == numbers(1, 800)
    fed.push(700)
    assert wire.audio == numbers(1, 1600)
    await fed.feed.close()


@pytest.mark.parametrize("flush", [False, True])
async def test_an_endpoint_comes_behind_the_audio_that_waits(flush: bool) -> None:
    fed = Fed()
    fed.push(1600)
    fed.feed.force_endpoint(flush=flush)
    fed.push(1000)
    fed.feed.force_endpoint(flush=flush)
    wire = await fed.open()
    fed.push(800)
    end = {"type": "ForceEndpoint"}
    expected: list[Any] = [numbers(1, 800), numbers(801, 1600), end]
    expected += [numbers(1601, 2400)]
    if flush:
        expected += [numbers(2401, 2600) + [0] * 600, end, numbers(2601, 3400)]
    else:
        expected += [end, numbers(2401, 3200)]
    assert wire.seen == expected
    await fed.feed.close()


@pytest.mark.parametrize("flush", [False, True])
async def test_an_endpoint_with_nothing_waiting_goes_at_once(flush: bool) -> None:
    fed = Fed()
    wire = await fed.open()
    fed.feed.force_endpoint(flush=flush)
    assert wire.asked == ["ForceEndpoint"]
    fed.push(900)
    fed.feed.force_endpoint(flush=flush)
    assert wire.asked == ["ForceEndpoint"] * 2
    assert wire.seen[-1] == {"type": "ForceEndpoint"}
    assert wire.audio[:900] == numbers(1, 900 if flush else 800)
    await fed.feed.close()


@pytest.mark.parametrize("samples", [801, 1000, 1599])
async def test_audio_behind_an_endpoint_is_in_front_of_it_by_less_than_a_chunk(
    samples: int,
) -> None:
    """Chunks are cut without regard to endpoints, while they wait."""
    fed = Fed()
    fed.push(samples)
    fed.feed.force_endpoint(flush=True)
    fed.push(3200)
    wire = await fed.open()
    at = wire.seen.index({"type": "ForceEndpoint"})
    heard = sum(len(part) for part in wire.seen[:at])
    assert samples <= heard < samples + CHUNK
    await fed.feed.close()


# ---- sessions ----


async def test_a_forced_end_bounds_its_own_final() -> None:
    """Also when a later one was forced before that final came."""
    fed = Fed()
    wire = await fed.open()
    fed.push(RATE)
    fed.feed.force_endpoint()
    fed.push(RATE)
    fed.feed.force_endpoint()
    wire.say(final("Hello world.", 490))  # up to 990 ms
    assert fed.feed.final_samples == 990 * RATE // 1000
    wire.say(final("So.", 1700, turn_order=1))  # up to 1950 ms
    assert fed.feed.final_samples == 1950 * RATE // 1000
    await fed.feed.close()


async def test_the_next_session_begins_behind_what_a_final_covered() -> None:
    fed = Fed()
    first = await fed.open()
    fed.push(RATE)
    first.say(final("Hello world.", 200))  # up to 700 ms
    covered = 700 * RATE // 1000
    assert fed.feed.final_samples == covered
    first.say(turn("So", 800, turn_order=1))  # which is not final
    first.end(1006)
    assert isinstance(fed.closed[0], DroppedError)
    fed.push(800)  # meanwhile
    second = await fed.open()
    heard = second.audio
    assert heard == numbers(covered + 1, covered + len(heard))
    assert RATE + 800 - covered - len(heard) < CHUNK
    second.say({"type": "SpeechStarted", "timestamp": 100})
    second.say(final("So.", 100), turn("What", 500, turn_order=1))
    begins = 700
    (started,) = fed.told(messages.SpeechStarted)
    assert started.timestamp == begins + 100
    hello, unfinished, so, what = fed.told(messages.Turn)
    assert (hello.words[0].start, hello.words[-1].end) == (200, 700)
    assert unfinished.words[0].start == 800
    assert (so.words[0].start, so.words[0].end) == (begins + 100, begins + 350)
    # The turn that was left open is told anew, under the same number.
    assert [t.turn_order for t in (hello, unfinished, so, what)] == [0, 1, 1, 2]
    assert fed.feed.stats.sessions == 2
    assert fed.feed.heard_samples == RATE + len(heard)
    await fed.feed.close()


async def test_without_a_final_all_is_sent_again() -> None:
    fed = Fed()
    first = await fed.open()
    fed.push(1600)
    first.end(1011)
    second = await fed.open()
    assert second.audio == first.audio == numbers(1, 1600)
    assert fed.feed.heard_samples == 3200
    await fed.feed.close()


async def test_a_first_unformatted_final_covers_nothing() -> None:
    fed = Fed()
    fed.feed.options = Options(
        {"speech_model": "universal-streaming-english", "format_turns": True}
    )
    wire = await fed.open()
    fed.push(RATE)
    ended = final("hello world", 200, turn_is_formatted=False)
    wire.say(ended)
    assert fed.feed.final_samples == 0
    wire.say(ended | {"turn_is_formatted": True})
    assert fed.feed.final_samples > 0
    assert fed.feed.stats.turns == 1
    await fed.feed.close()


@pytest.mark.parametrize("end_ms", [-5, 10**9])
async def test_a_final_that_can_not_be_covers_what_was_sent_at_most(
    end_ms: int,
) -> None:
    fed = Fed()
    wire = await fed.open()
    fed.push(1600)
    word = words("Hi")[0] | {"start": end_ms - 5, "end": end_ms}
    wire.say(final("Hi", words=[word]))
    assert 0 <= fed.feed.final_samples <= 1600
    await fed.feed.close()


async def test_a_session_that_is_too_fast_is_followed_by_a_slower_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slowed: list[bool] = []
    monkeypatch.setattr(
        "aai_stream.protocol.pace.Pacer.slow_down", lambda self: slowed.append(True)
    )
    fed = Fed()
    (await fed.open()).end(1011)
    (await fed.open()).end(3007)
    assert isinstance(fed.closed[1], TooFastError)
    assert slowed == [True]
    await fed.feed.close()


async def test_closing_while_a_session_opens() -> None:
    fed = Fed()
    fed.connector.opens.clear()
    opening = asyncio.ensure_future(fed.feed.open(5))
    await until(lambda: bool(fed.connector.wires))
    await fed.feed.close()
    fed.connector.opens.set()
    with pytest.raises(StateError, match="closed"):
        await within(5, opening)
    # It had begun, so it is ended.
    assert fed.wire.asked == ["Terminate"]
    assert fed.wire.is_closed
    assert fed.closed == []


async def test_a_session_that_does_not_begin_in_time() -> None:
    fed = Fed()
    fed.connector.opens.clear()
    with pytest.raises(TimedOutError):
        await fed.feed.open(0.01)
    fed.connector.opens.set()
    assert (await fed.open()).seen == []
    await fed.feed.close()


async def test_waiting_in_line_is_not_part_of_the_timeout() -> None:
    fed = Fed()
    fed.connector.admits.clear()
    opening = asyncio.ensure_future(fed.feed.open(0.5))
    await asyncio.sleep(0.6)
    assert not opening.done()
    assert fed.connector.wires == []
    assert fed.feed.stats.waited_seconds > 0.5
    fed.connector.admits.set()
    await within(5, opening)
    assert fed.feed.stats.waited_seconds > 0.5
    await fed.feed.close()


async def test_ending_sends_the_tail_and_waits_for_termination() -> None:
    fed = Fed()
    wire = await fed.open()
    fed.push(900)
    ending = asyncio.ensure_future(fed.feed.end())
    await until(lambda: wire.asked == ["Terminate"])
    assert wire.audio == numbers(1, 900) + [0] * 700
    wire.say(final("Hello."), {"type": "Termination", "audio_duration_seconds": 0.1})
    wire.end(1000)
    termination = await within(5, ending)
    assert isinstance(termination, messages.Termination)
    assert fed.closed == [None]
    assert len(fed.told(messages.Turn)) == 1


async def test_ending_gives_up_on_a_server_that_says_nothing() -> None:
    fed = Fed()
    wire = await fed.open()
    assert await within(5, fed.feed.end()) is None
    assert wire.is_closed
    (failure,) = fed.closed
    assert isinstance(failure, TimedOutError)


async def test_ending_gives_up_on_a_server_that_takes_nothing() -> None:
    fed = Fed()
    wire = await fed.open()
    wire.writable = False
    fed.push(1600)
    assert await within(5, fed.feed.end()) is None
    (failure,) = fed.closed
    assert isinstance(failure, TimedOutError)
    assert "no audio" in str(failure)


async def test_ending_without_a_session() -> None:
    fed = Fed()
    with pytest.raises(StateError):
        await fed.feed.end()
    await fed.feed.close()
    await fed.feed.close()  # harmless
    assert fed.closed == []


# ---- updates ----


def update(prompt: str) -> dict[str, Any]:
    return {"type": "UpdateConfiguration", "prompt": prompt}


async def test_updates_before_during_and_after_opening() -> None:
    fed = Fed()
    fed.feed.update({"prompt": "before"})
    fed.connector.opens.clear()
    opening = asyncio.ensure_future(fed.feed.open(5))
    await until(lambda: bool(fed.connector.wires))
    fed.feed.update({"prompt": "during"})
    fed.push(800)
    assert fed.wire.seen == []
    fed.connector.opens.set()
    await within(5, opening)
    assert fed.wire.query["prompt"] == "before"
    assert fed.wire.seen == [update("during"), numbers(1, 800)]
    fed.feed.update({"prompt": "after"})
    assert fed.wire.seen[2:] == [update("after")]
    fed.wire.end(1011)
    fed.feed.update({"prompt": "between"})
    wire = await fed.open()
    assert wire.query["prompt"] == "between"
    assert wire.asked == []
    await fed.feed.close()


async def test_an_update_while_waiting_in_line_is_in_the_handshake() -> None:
    fed = Fed()
    fed.connector.admits.clear()
    opening = asyncio.ensure_future(fed.feed.open(5))
    await asyncio.sleep(0)
    fed.feed.update({"prompt": "during"})
    fed.connector.admits.set()
    await within(5, opening)
    assert fed.wire.query["prompt"] == "during"
    assert fed.wire.asked == []
    await fed.feed.close()


async def test_updates_reach_the_next_attempt_if_one_fails() -> None:
    fed = Fed()
    fed.connector.opens.clear()
    opening = asyncio.ensure_future(fed.feed.open(0.05))
    await until(lambda: bool(fed.connector.wires))
    fed.feed.update({"prompt": "during"})
    with pytest.raises(TimedOutError):
        await within(5, opening)
    fed.connector.opens.set()
    wire = await fed.open()
    assert wire.query["prompt"] == "during"
    assert wire.asked == []
    await fed.feed.close()


async def test_a_bad_update_changes_nothing() -> None:
    fed = Fed()
    wire = await fed.open()
    options = fed.feed.options
    for bad in ({"prompt": 7}, {"sample_rate": 8000}, {"nothing": 1}):
        with pytest.raises(OptionError):
            fed.feed.update({"vad_threshold": 0.5, **bad})
    assert fed.feed.options is options
    assert wire.asked == []
    await fed.feed.close()


# ---- keeping alive ----


class Timers:
    """Takes the place of the loop's timers: they go off when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self._loop = asyncio.get_running_loop()
        self._call_later = self._loop.call_later
        self._set: list[tuple[float, asyncio.TimerHandle, Any, Any]] = []
        monkeypatch.setattr(self._loop, "call_later", self._later)

    def _later(self, delay: float, call: Any, *args: Any) -> asyncio.TimerHandle:
        handle = self._call_later(3600, call, *args)
        self._set.append((self.now + delay, handle, call, args))
        return handle

    def advance(self, seconds: float) -> None:
        """Let time pass, and what is due happen."""
        end = self.now + seconds
        while True:
            left = [one for one in self._set if not one[1].cancelled()]
            due = min((one for one in left if one[0] <= end), default=None)
            if due is None:
                break
            self._set.remove(due)
            self.now, handle, call, args = due
            handle.cancel()
            call(*args)
        self.now = end

    @property
    def pending(self) -> int:
        return len([one for one in self._set if not one[1].cancelled()])


async def test_keep_alive_while_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed = Fed(keep_alive_seconds=10)
    timers = Timers(monkeypatch)
    await fed.feed.open(5)
    wire = fed.wire
    assert wire.asked == []
    timers.advance(30.5)
    assert len(wire.asked) >= 3
    assert set(wire.asked) == {"KeepAlive"}
    wire.seen.clear()
    for _ in range(100):  # audio keeps it alive, too
        fed.push(CHUNK)
        timers.advance(1)
    assert wire.asked == []
    timers.advance(20)
    assert "KeepAlive" in wire.asked
    await fed.feed.close()
    assert timers.pending == 0


async def test_no_pause_is_longer_than_keep_alive_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed = Fed(keep_alive_seconds=10)
    timers = Timers(monkeypatch)
    await fed.feed.open(5)
    timers.advance(1)
    fed.push(CHUNK)
    timers.advance(10)
    assert fed.wire.asked == ["KeepAlive"]
    await fed.feed.close()


async def test_no_pause_is_as_long_as_two_keep_alives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A feed is given half of what the server's patience is."""
    fed = Fed(keep_alive_seconds=10)
    timers = Timers(monkeypatch)
    await fed.feed.open(5)
    for pause in (0.5, 3, 9.5):
        timers.advance(pause)
        fed.push(CHUNK)
        fed.wire.seen.clear()
        timers.advance(19.9)
        assert fed.wire.asked.count("KeepAlive") >= 1
    await fed.feed.close()


async def test_a_session_that_is_over_is_not_kept_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed = Fed(keep_alive_seconds=10)
    timers = Timers(monkeypatch)
    await fed.feed.open(5)
    first = fed.wire
    first.end(1011)
    seen = list(first.seen)
    timers.advance(100)
    fed.feed.keep_alive()  # harmless
    assert first.seen == seen
    await fed.feed.open(5)
    timers.advance(10)
    assert set(fed.wire.asked) == {"KeepAlive"}
    assert first.seen == seen
    await fed.feed.close()


async def test_without_keep_alive_seconds_it_is_for_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed = Fed()
    timers = Timers(monkeypatch)
    await fed.feed.open(5)
    timers.advance(100)
    assert fed.wire.asked == []
    fed.feed.keep_alive()
    assert fed.wire.asked == ["KeepAlive"]
    await fed.feed.close()
