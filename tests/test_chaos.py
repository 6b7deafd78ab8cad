"""Random faults in random conversations: what was pushed is told once, in order and in
time, or is told to be lost."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from livekit import rtc
from livekit.agents import APIConnectOptions
from livekit.agents.stt import SpeechEventType

import aai_stream
from aai_stream.emulator.engines.marked import MarkedEngine, marked_audio
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from aai_stream.livekit import STT, ServerMessage
from aai_stream.messages import AudioLost, Turn
from tests.outages.calls import LAYOUT, ON_MESSAGES
from tests.servers import until, within
from tests.test_network import accounts

MOST_WORDS = 60

STRIKES = [
    "reset",
    "drop",
    "close,code=1011",
    "close,code=3005,error=sorry",
    "expire",
    "freeze",
    "mute,cut=0.05",
    "stop-reading,cut=0.05",
    "trickle,seconds=0.001",
    *ON_MESSAGES,
]
REFUSALS = [
    "status,code=503,on=1",
    "status,code=429,retry-after=0,on=1-2",
    "reset,at=connect,on=1",
    "drop,at=open,on=1",
    "mute,at=open,on=1,cut=0.05",
]
moments = (
    st.just("begin")
    | st.integers(1, 8000).map("{}ms".format)
    | st.integers(1, 9).map("turn:{}".format)
    | st.integers(1, 4).map("final:{}".format)
)


class Caller:
    """One stream of either face, and what it tells."""

    def __init__(self) -> None:
        self.words: list[tuple[str, int]] = []
        self.lost: list[AudioLost] = []

    def push(self, data: bytes, rate: int) -> None:
        raise NotImplementedError

    def update(self) -> None:
        raise NotImplementedError

    async def end(self) -> None:
        raise NotImplementedError


class StreamCaller(Caller):
    def __init__(self, stream: aai_stream.Stream) -> None:
        super().__init__()
        self._stream = stream
        self._listening = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        async for event in self._stream:
            if isinstance(event, AudioLost):
                self.lost.append(event)
            elif isinstance(event, Turn) and event.end_of_turn:
                self.words += [(word.text, word.start) for word in event.words]

    def push(self, data: bytes, rate: int) -> None:
        self._stream.push(data, sample_rate=rate)

    def update(self) -> None:
        self._stream.update(keyterms_prompt=["chaos"])

    async def end(self) -> None:
        await self._stream.end()
        await self._listening
        await self._stream.aclose()


class PluginCaller(Caller):
    def __init__(self, url: str) -> None:
        super().__init__()
        stt = STT(
            api_key="k",
            base_url=url,
            catch_up_rate=math.inf,
            dead_after=0.2,
            begin_timeout=1,
            close_timeout=0.5,
        )
        stt.on("server_message", self._remark)
        patience = APIConnectOptions(max_retry=30, retry_interval=0.01, timeout=1)
        self._stream = stt.stream(conn_options=patience)
        self._listening = asyncio.ensure_future(self._listen())

    def _remark(self, said: ServerMessage) -> None:
        if isinstance(said.message, AudioLost):
            self.lost.append(said.message)

    async def _listen(self) -> None:
        async for event in self._stream:
            if event.type is SpeechEventType.FINAL_TRANSCRIPT:
                for word in event.alternatives[0].words or []:
                    assert isinstance(word.start_time, float)
                    self.words.append((str(word), round(1000 * word.start_time)))

    def push(self, data: bytes, rate: int) -> None:
        self._stream.push_frame(rtc.AudioFrame(data, rate, 1, len(data) // 2))

    def update(self) -> None:
        self._stream.update_options(keyterms_prompt=["chaos"])

    async def end(self) -> None:
        self._stream.end_input()
        await self._listening
        await self._stream.aclose()


class Chaos(RuleBasedStateMachine):
    """A conversation with a server that fails; checked when it is over."""

    @initialize(
        face=st.sampled_from(["stream", "plugin"]),
        rate=st.sampled_from([8000, 16_000, 24_000, 48_000]),
    )
    def begin(self, face: str, rate: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.rate = rate
        self.audio = marked_audio(MOST_WORDS, sample_rate=rate, layout=LAYOUT).tobytes()
        self.pushed = 0  # bytes
        self.said = 0  # words
        self.faults = 0
        self.may_lose = False
        self.server = Emulator(MarkedEngine())
        self.run(self._enter(face))

    def run(self, call: Coroutine[Any, Any, Any]) -> None:
        self.loop.run_until_complete(within(10, call))

    async def _enter(self, face: str) -> None:
        await self.server.__aenter__()
        if face == "plugin":
            self.caller: Caller = PluginCaller(self.server.url)
            return
        stream = aai_stream.connect(
            api_key="k",
            base_url=self.server.url,
            catch_up_rate=math.inf,
            dead_after=0.2,
            max_retries=30,
            begin_timeout=1,
            close_timeout=0.5,
        )
        self.caller = StreamCaller(await stream.__aenter__())

    @rule(words=st.integers(1, 6), frame_ms=st.sampled_from([10, 50, 170]))
    def speak(self, words: int, frame_ms: int) -> None:
        self.said = min(self.said + words, MOST_WORDS)
        end = LAYOUT.start_ms(self.said) * self.rate // 1000 * 2
        if self.said == MOST_WORDS:
            end = len(self.audio)
        self.run(self._speak(end, frame_ms * self.rate // 1000 * 2))

    async def _speak(self, end: int, step: int) -> None:
        while self.pushed < end:
            piece = self.audio[self.pushed : min(self.pushed + step, end)]
            self.caller.push(piece, self.rate)
            self.pushed += len(piece)
            await asyncio.sleep(0)

    @rule(strike=st.sampled_from(STRIKES))
    def strike_now(self, strike: str) -> None:
        """Something goes wrong in the session there is, if there is one."""
        self.run(self._fail(strike))
        self.server.faults.clear()

    @rule(strike=st.sampled_from(STRIKES), at=moments)
    def strike_later(self, strike: str, at: str) -> None:
        """Something goes wrong in the next session."""
        kind, *options = strike.split(",")
        self.run(self._fail(",".join([kind, f"at={at}", "on=1", *options])))

    @rule(refusal=st.sampled_from(REFUSALS))
    def refuse(self, refusal: str) -> None:
        """The next connects go wrong."""
        self.run(self._fail(refusal))

    async def _fail(self, text: str) -> None:
        # A turn that two sessions in a row don't end counts as lost.
        self.may_lose |= text.startswith("no-final")
        self.faults += 1
        self.server.faults.append(fault(text))
        await asyncio.sleep(0)

    @rule()
    def heal(self) -> None:
        """What hasn't happened yet won't."""
        self.server.faults.clear()

    @rule()
    def update(self) -> None:
        self.caller.update()

    @precondition(lambda self: self.said > 0)
    @rule()
    def wait_for_a_final(self) -> None:
        """All goes well for a while."""
        self.server.faults.clear()
        count = len(self.caller.words) + len(self.caller.lost)

        async def more() -> None:
            spoken = self.said // LAYOUT.words_per_turn * LAYOUT.words_per_turn
            await until(
                lambda: (
                    len(self.caller.words) + len(self.caller.lost) > count
                    or len(self.caller.words) >= spoken
                    or bool(self.caller.lost)
                )
            )

        self.run(more())

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.server.faults.clear()
            self.run(self._finish())
            if left := asyncio.all_tasks(self.loop):
                self.loop.run_until_complete(asyncio.wait(left, timeout=1))
            assert not asyncio.all_tasks(self.loop)
        finally:
            self.loop.close()
        assert accounts(self.caller.words, self.caller.lost, self.said, LAYOUT) == []
        assert self.may_lose or not self.caller.lost
        target(float(self.faults))

    async def _finish(self) -> None:
        await self.caller.end()
        await self.server.__aexit__(None, None, None)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody waits before trying again, and what happens isn't logged."""
    monkeypatch.setattr("aai_stream.client.uniform", lambda low, high: 0.0)
    monkeypatch.setattr("aai_stream.connection.wire.CLOSE_SECONDS", 0.05)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_nothing_is_lost_whatever_happens() -> None:
    run_state_machine_as_test(
        Chaos,
        settings=settings(
            max_examples=100,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # A loss takes seconds, too long to look for the shortest.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )
