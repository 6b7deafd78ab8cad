"""The plugin in LiveKit's own `AgentSession`, from microphone to reply."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from livekit.agents import (
    NOT_GIVEN,
    Agent,
    AgentSession,
    APIStatusError,
    ErrorEvent,
    TurnHandlingOptions,
    UserInputTranscribedEvent,
)
from livekit.agents.metrics import STTMetrics, STTModelUsage

from aai_stream.emulator.engines.script import Said, say
from aai_stream.emulator.faults import fault
from aai_stream.livekit import STT
from examples import agent
from examples.fleet.dispatcher import Dispatcher
from tests.livekit.fakes import HANGS, Line, Microphone, Screen
from tests.servers import http_server, until, within

SCRIPT = [say("hello world", at_ms=200), say("how are you", at_ms=2200)]
CALL = Path(__file__).parents[2] / "examples" / "call.wav"
BYTES_PER_SECOND = 32_000


class Call:
    """A user, an agent and the server on a line between them."""

    def __init__(
        self,
        line: Line,
        microphone: Microphone,
        *,
        stt_options: dict[str, Any],
        turn_handling: TurnHandlingOptions,
        **session_options: Any,
    ) -> None:
        self.line = line
        self.microphone = microphone
        self.screen = Screen()
        self.stt = STT(
            api_key="key", base_url=line.url, catch_up_rate=math.inf, **stt_options
        )
        self.session: AgentSession[None] = AgentSession(
            stt=self.stt,
            llm=agent.EchoLLM(),
            turn_handling={
                "endpointing": {"min_delay": 0.0, "max_delay": 0.0},
                **turn_handling,
            },
            session_close_transcript_timeout=0,
            **session_options,
        )
        self.heard: list[tuple[str, bool]] = []
        """Transcripts, and whether each was final."""
        self.errors: list[ErrorEvent] = []
        self.metrics: list[STTMetrics] = []
        self.session.on("user_input_transcribed", self._on_heard)
        self.session.on("error", self.errors.append)
        self.stt.on("metrics_collected", self.metrics.append)

    def _on_heard(self, event: UserInputTranscribedEvent) -> None:
        if not self.heard or self.heard[-1] != (event.transcript, event.is_final):
            self.heard.append((event.transcript, event.is_final))

    async def start(self) -> None:
        self.session.input.audio = self.microphone
        self.session.output.transcription = self.screen
        await self.session.start(Agent(instructions=""))

    async def reply(self) -> str:
        """What the agent says next."""
        reply: str = await within(5, self.screen.replies.get())
        return reply

    async def converse(self) -> None:
        """Play the script, each turn after the agent has answered the one before."""
        self.microphone.hear(2)
        assert await self.reply() == "You said: Hello world."
        self.microphone.hear(3)
        assert await self.reply() == "You said: How are you?"


@asynccontextmanager
async def calling(
    microphone: Microphone | None = None,
    *,
    script: list[list[Said]] = SCRIPT,
    broken: list[int] | None = None,
    faults: Sequence[str] = (),
    stt_options: dict[str, Any] | None = None,
    turn_handling: TurnHandlingOptions | None = None,
    **session_options: Any,
) -> AsyncIterator[Call]:
    """A call; the line is broken for the first connections, as `broken` says, and the
    server fails as `faults` say."""
    async with Line(*script) as line:
        line.break_with(broken or [])
        for text in faults:
            line.emulator.faults.append(fault(text))
        call = Call(
            line,
            microphone or Microphone(),
            stt_options=stt_options or {},
            turn_handling=(
                {"turn_detection": "stt"} if turn_handling is None else turn_handling
            ),
            **{"vad": None, **session_options},
        )
        await call.start()
        try:
            yield call
        finally:
            await within(5, call.session.aclose())


@pytest.mark.parametrize(
    "microphone",
    [(24_000, 1, 50), (48_000, 2, 10)],
    ids=["24 kHz mono", "48 kHz stereo"],
)
async def test_a_conversation(microphone: tuple[int, int, int]) -> None:
    async with calling(Microphone(*microphone)) as call:
        await call.converse()
    assert call.heard == [
        ("Hello world.", False),
        ("Hello world.", True),
        ("How are?", False),
        ("How are you?", False),
        ("How are you?", True),
    ]
    assert call.errors == []


@pytest.mark.parametrize(
    "options",
    [
        {"turn_handling": {}},
        {"turn_handling": {}, "vad": NOT_GIVEN},
        {"turn_handling": {"turn_detection": "vad"}, "vad": NOT_GIVEN},
    ],
    ids=["no VAD", "defaults", "turns by VAD"],
)
async def test_other_turn_handling(options: dict[str, Any]) -> None:
    async with calling(**options) as call:
        await call.converse()


async def test_what_the_agent_says_becomes_context() -> None:
    async with calling() as call:
        await call.converse()
        await until(lambda: len(call.line.told("UpdateConfiguration")) == 2)
    contexts = [m["agent_context"] for m in call.line.told("UpdateConfiguration")]
    assert contexts == ["You said: Hello world.", "You said: How are you?"]


async def test_context_can_be_switched_off() -> None:
    async with calling(stt_context_options={"forward_chat_context": False}) as call:
        await call.converse()
    assert call.line.told("UpdateConfiguration") == []


async def test_a_model_without_context() -> None:
    async with calling(stt_options={"model": "universal-streaming-english"}) as call:
        call.microphone.hear(2)
        assert await call.reply() == "You said: hello world"
        call.microphone.hear(3)
        assert await call.reply() == "You said: how are you"
    assert call.line.told("UpdateConfiguration") == []


async def test_session_keyterms() -> None:
    async with calling(
        stt_options={"keyterms_prompt": ["Zoe"]},
        stt_context_options={"keyterms": ["LiveKit", "Zoe"]},
    ) as call:
        await until(lambda: call.line.queries != [])
        assert json.loads(call.line.queries[0]["keyterms_prompt"]) == ["Zoe", "LiveKit"]
        call.session.update_options(keyterms=["Siobhan"])
        await until(lambda: call.line.told("UpdateConfiguration") != [])
    (update,) = call.line.told("UpdateConfiguration")
    assert update["keyterms_prompt"] == ["Zoe", "Siobhan"]


async def test_usage_is_all_that_was_sent() -> None:
    async with calling() as call:
        await call.converse()
        (usage,) = [
            each
            for each in call.session.usage.model_usage
            if isinstance(each, STTModelUsage)
        ]
        assert usage.provider == "AssemblyAI"
        assert usage.model == "universal-3-6-pro"
        assert usage.audio_duration == sum(m.audio_duration for m in call.metrics) > 4
    # What follows the last turn is told when the session has stopped counting.
    sent = call.line.audio_bytes / BYTES_PER_SECOND
    assert sent >= 5
    assert sum(m.audio_duration for m in call.metrics) == pytest.approx(sent)


async def test_a_refused_connection_is_tried_again() -> None:
    async with calling(broken=[503]) as call:
        await call.converse()
    (event,) = call.errors
    assert event.source is call.stt
    assert event.error.recoverable
    assert isinstance(event.error.error, APIStatusError)
    assert event.error.error.status_code == 503


async def test_a_refused_key_is_final_for_the_stream_only() -> None:
    async with calling(broken=[401]) as call:
        await until(lambda: call.line.queries != [])  # the session made a new stream
        await call.converse()
    (event,) = call.errors
    assert not event.error.recoverable
    assert isinstance(event.error.error, APIStatusError)
    assert event.error.error.status_code == 401


async def test_a_cut_in_mid_turn_loses_no_word() -> None:
    async with calling() as call:
        call.microphone.hear(0.75)
        await until(lambda: ("Hello world.", False) in call.heard)
        call.line.cut()
        call.microphone.hear(1.25)
        assert await call.reply() == "You said: Hello world."
    (event,) = call.errors
    assert event.error.recoverable
    assert call.line.calls == 2


@pytest.mark.parametrize("text", ["no-final,on=1", "mute,at=turn:2,on=1"])
@pytest.mark.usefixtures("short_bounds")
async def test_an_agent_answers_though_the_server_says_nothing_more(text: str) -> None:
    async def wait_in_silence() -> None:
        while True:
            call.microphone.hear(0.05)
            await asyncio.sleep(0.05)

    async with calling(script=SCRIPT[:1], faults=[text]) as call:
        call.microphone.hear(2)
        waiting = asyncio.ensure_future(wait_in_silence())
        assert await within(20, call.screen.replies.get()) == "You said: Hello world."
        waiting.cancel()


async def test_a_short_recording_through_the_example(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first_sentence = tmp_path / "call.wav"
    with wave.open(str(CALL)) as call, wave.open(str(first_sentence), "w") as part:
        part.setparams(call.getparams())
        part.writeframes(call.readframes(7 * call.getframerate() // 2))
    await agent.offline(str(first_sentence))
    shown = capsys.readouterr().out.splitlines()
    assert shown[-2:] == [
        "user:  Hello this is john miller speaking.",
        "agent: You said: Hello this is john miller speaking.",
    ]
    assert shown[0].startswith("  ...")


async def test_the_example_is_a_worker() -> None:
    """LiveKit's server, a stand-in, gives it a job, which goes to the job's room."""
    asked: asyncio.Queue[str] = asyncio.Queue()
    dispatcher = Dispatcher(calls=1)

    async def serve(request: web.Request) -> web.StreamResponse:
        asked.put_nowait(request.path)
        return await dispatcher.serve(request)

    async def until_asked(what: str) -> None:
        while not (await asked.get()).startswith(what):
            pass

    async with http_server(serve) as url:
        secrets = ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "ASSEMBLYAI_API_KEY")
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "livekit.agents", "start", "--dev", agent.__file__),
            env={**os.environ, "LIVEKIT_URL": url, **dict.fromkeys(secrets, "x" * 32)},
        )
        try:
            await within(40, until_asked("/agent"))
            await within(40, until_asked("/rtc"))
        finally:
            worker.terminate()
            await within(40, worker.wait())


async def test_nothing_is_left_behind() -> None:
    before = asyncio.all_tasks()
    files = os.listdir("/proc/self/fd")
    async with calling() as call:
        await call.converse()
        await within(5, call.session.aclose())
        await until(lambda: call.line.emulator.sessions == 0)
        assert call.line.told("Terminate") == [{"type": "Terminate"}]
    assert asyncio.all_tasks() == before
    assert os.listdir("/proc/self/fd") == files


async def test_closing_while_the_server_hangs() -> None:
    async with calling(broken=[HANGS]) as call:
        call.microphone.hear(1)
        await until(lambda: call.line.calls == 1)
        await within(5, call.session.aclose())  # connecting may take 10
    assert call.heard == []
