"""A LiveKit agent that hears through aai-stream and repeats what it hears, as text.

    pip install 'aai-stream[livekit,local]'

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

from livekit import rtc
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    ChatContext,
    ChatMessage,
    ConversationItemAddedEvent,
    JobContext,
    UserInputTranscribedEvent,
    io,
)

from aai_stream.emulator.recognizer import PocketsphinxEngine
from aai_stream.emulator.server import Emulator
from aai_stream.livekit import STT

server = AgentServer()


class Parrot(Agent):
    """Repeats each turn. Give the session an `llm` instead of this, and it thinks."""

    def __init__(self) -> None:
        super().__init__(instructions="")

    async def on_user_turn_completed(
        self, turn_ctx: ChatContext, new_message: ChatMessage
    ) -> None:
        self.session.say(f"You said: {new_message.text_content}")


def build_session(stt: STT) -> AgentSession[None]:
    """A session whose turns end where AssemblyAI says, and that prints them."""
    session = AgentSession[None](
        stt=stt, vad=None, turn_handling={"turn_detection": "stt"}
    )

    @session.on("user_input_transcribed")
    def heard(event: UserInputTranscribedEvent) -> None:
        print("user: " if event.is_final else "  ... ", event.transcript)

    @session.on("conversation_item_added")
    def said(event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, ChatMessage):
            print("agent:", event.item.text_content)

    return session


@server.rtc_session()
async def join(ctx: JobContext) -> None:
    """What the worker does with each room: put the agent into it."""
    session = build_session(STT())
    await session.start(Parrot(), room=ctx.room)
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
        await session.start(Parrot())
        await microphone.over.wait()
        await session.aclose()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asyncio.run(offline(sys.argv[1]))
