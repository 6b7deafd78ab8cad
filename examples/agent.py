"""A LiveKit agent that hears through aai-stream and answers as text, without a voice.

    pip install '.[livekit,local]'    # in a clone of the repository

Without any key: the agent listens to a recording, recognised on this machine.

    python examples/agent.py examples/call.wav

With ASSEMBLYAI_API_KEY, LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET set: it
waits for rooms to join, as any other agent.

    python -m livekit.agents start examples/agent.py
"""

from __future__ import annotations

import asyncio
import sys
import wave
from collections.abc import AsyncIterator
from typing import Any

from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    Agent,
    AgentServer,
    AgentSession,
    APIConnectOptions,
    ChatMessage,
    ConversationItemAddedEvent,
    JobContext,
    NotGivenOr,
    UserInputTranscribedEvent,
    io,
    llm,
)

from aai_stream.emulator.engines.pocketsphinx import PocketsphinxEngine
from aai_stream.emulator.server import Emulator
from aai_stream.livekit import STT

server = AgentServer()


class EchoLLM(llm.LLM[Any]):
    """Stands in for the model that thinks: repeats what the user said last."""

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> llm.LLMStream:
        return _Echo(
            self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options
        )


class _Echo(llm.LLMStream):
    async def _run(self) -> None:
        said = [m.text_content for m in self.chat_ctx.messages() if m.role == "user"]
        delta = llm.ChoiceDelta(role="assistant", content=f"You said: {said[-1]}")
        self._event_ch.send_nowait(llm.ChatChunk(id="echo", delta=delta))


def build_session(stt: STT) -> AgentSession[None]:
    """A session whose turns end where AssemblyAI says, and that prints them."""
    session = AgentSession[None](
        stt=stt,
        llm=EchoLLM(),  # yours goes here
        vad=None,
        turn_handling={"turn_detection": "stt"},
    )

    @session.on("user_input_transcribed")
    def heard(event: UserInputTranscribedEvent) -> None:
        print("user: " if event.is_final else "  ... ", event.transcript)

    @session.on("conversation_item_added")
    def said(event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, ChatMessage) and event.item.role == "assistant":
            print("agent:", event.item.text_content)

    return session


@server.rtc_session()
async def join(ctx: JobContext) -> None:
    """What the worker does with each room: put the agent into it."""
    session = build_session(STT())
    await session.start(Agent(instructions=""), room=ctx.room)
    session.output.set_audio_enabled(False)  # there is no `tts` to speak with


class Recording(io.AudioInput):
    """A WAV file as the user's microphone: at its own speed, then some silence."""

    def __init__(self, path: str, silence_seconds: float = 2.0) -> None:
        super().__init__(label="recording")
        self.over = asyncio.Event()
        self._frames = self._play(path, silence_seconds)

    async def __anext__(self) -> rtc.AudioFrame:
        return await anext(self._frames)

    async def _play(
        self, path: str, silence_seconds: float
    ) -> AsyncIterator[rtc.AudioFrame]:
        clock = asyncio.get_running_loop().time
        due = clock()
        with wave.open(path) as file:
            rate, channels = file.getframerate(), file.getnchannels()
            silence = bytes(round(rate * silence_seconds) * channels * 2)
            pcm = file.readframes(file.getnframes()) + silence
        size = rate // 20 * channels * 2
        for start in range(0, len(pcm), size):
            data = pcm[start : start + size]
            frame = rtc.AudioFrame(data, rate, channels, len(data) // (2 * channels))
            due += frame.duration
            await asyncio.sleep(due - clock())
            yield frame
        self.over.set()


async def offline(path: str) -> None:
    """The same agent, without LiveKit's servers and AssemblyAI's."""
    async with Emulator(PocketsphinxEngine(capacity=1)) as emulator:
        session = build_session(STT(api_key="any", base_url=emulator.url))
        microphone = session.input.audio = Recording(path)
        await session.start(Agent(instructions=""))
        await microphone.over.wait()
        await session.aclose()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asyncio.run(offline(sys.argv[1]))
