"""What a session is: its parameters, its Begin, its messages, its end."""

from __future__ import annotations

import asyncio
import json
import time

from ...models import KNOWN_MODELS
from ..conversing import Exchange, Server
from .access import ending, refusal
from .questions import Questions

sessions = Questions()

ENGLISH = "universal-streaming-english"
FIELDS = (
    "api_version, domain, filter_profanity, mode, model, redact_pii, speaker_labels, "
    "voice_focus"
)
IN_ORDER = "Termination, close 1000"


def invalid(what: str) -> str:
    """A parameter that is refused before Begin."""
    return (
        f"101, Error 3006 User Input Validation Error: Invalid {what}, "
        "close 3006 See Error message for details"
    )


# ---- before Begin ----


@sessions.add("an unknown model", invalid("'speech_model': Input should be …"))
async def _(server: Server, speech: bytes) -> str:
    found = ending(await refusal(server, speech_model="no-such-model"))
    start, told, rest = found.partition("Input should be ")
    return f"{start}{told}…, close{rest.rpartition(', close')[2]}" if told else found


@sessions.add("101 key terms", invalid("'keyterms_prompt': Value error, Max 100 items"))
async def _(server: Server, speech: bytes) -> str:
    terms = json.dumps([f"term{number}" for number in range(101)])
    return ending(await refusal(server, keyterms_prompt=terms))


@sessions.add("a sample_rate of 7000", "Error 3006, close 3006")
async def _(server: Server, speech: bytes) -> str:
    return _codes(await refusal(server, sample_rate="7000"))


@sessions.add("key terms of 60 and of 200 characters", "Begin")
async def _(server: Server, speech: bytes) -> str:
    exchange = await refusal(server, keyterms_prompt=json.dumps(["x" * 60, "y" * 200]))
    return "Begin" if exchange.begin else ending(exchange)


@sessions.add("an unknown parameter", "Begin, no Warning")
async def _(server: Server, speech: bytes) -> str:
    async with server.session(no_such_parameter="1") as exchange:
        await exchange.say("Terminate")
        await exchange.rest()
        begun = "Begin" if exchange.begin else ending(exchange)
        return f"{begun}, {'a' if exchange.of('Warning') else 'no'} Warning"


# ---- Begin ----


@sessions.add("Begin", "configuration, expires_at, id")
async def _(server: Server, speech: bytes) -> str:
    async with server.session() as exchange:
        begin = dict(exchange.begin or {})
        begin.pop("type", None)
        return ", ".join(sorted(begin))


@sessions.add("expires_at", "in about 3 h")
async def _(server: Server, speech: bytes) -> str:
    async with server.session() as exchange:
        hours = ((exchange.begin or {}).get("expires_at", 0) - time.time()) / 3600
        return f"in about {hours:.0f} h"


@sessions.add("Begin.configuration", FIELDS)
async def _(server: Server, speech: bytes) -> str:
    async with server.session(min_turn_silence="400") as exchange:
        return ", ".join(sorted(exchange.configuration))


@sessions.add("mode of a Universal-Streaming model", "null")
async def _(server: Server, speech: bytes) -> str:
    async with server.session(speech_model=ENGLISH) as exchange:
        return json.dumps(exchange.configuration.get("mode", "missing"))


@sessions.add("mode of a Universal-3 model", "min_latency")
async def _(server: Server, speech: bytes) -> str:
    query = {"speech_model": "universal-3-5-pro", "mode": "min_latency"}
    async with server.session(**query) as exchange:
        return str(exchange.configuration.get("mode"))


@sessions.add("api_version", "is what AssemblyAI-Version said")
async def _(server: Server, speech: bytes) -> str:
    version = "2025-05-12"
    async with server.connect(api_version=version) as exchange:
        await exchange.until("Begin")
        found = exchange.configuration.get("api_version")
        return "is what AssemblyAI-Version said" if found == version else str(found)


@sessions.add("the model of who asks for none", *sorted(KNOWN_MODELS))
async def _(server: Server, speech: bytes) -> str:
    async with server.session() as exchange:
        return str(exchange.configuration.get("model"))


@sessions.add(
    "the model of who asks for language_code=multi", "universal-streaming-multilingual"
)
async def _(server: Server, speech: bytes) -> str:
    async with server.session(language_code="multi") as exchange:
        return str(exchange.configuration.get("model"))


# ---- messages ----


async def _answer_to(server: Server, text: str) -> str:
    async with server.session() as exchange:
        await exchange.say_raw(text)
        await exchange.rest()
        return _codes(exchange)


@sessions.add("text that isn't JSON", "Error 3006, close 3006")
async def _(server: Server, speech: bytes) -> str:
    return await _answer_to(server, "{")


@sessions.add("a message of an unknown type", "Error 3006, close 3006")
async def _(server: Server, speech: bytes) -> str:
    return await _answer_to(server, '{"type":"NoSuchType"}')


@sessions.add("UpdateConfiguration", "has no reply")
async def _(server: Server, speech: bytes) -> str:
    async with server.session() as exchange:
        await exchange.say("UpdateConfiguration", min_turn_silence=500)
        await exchange.rest(seconds=1.0)
        told = [str(message.get("type")) for message in exchange.messages[1:]]
        return ", ".join(told) if told else "has no reply"


@sessions.add("an agent_context of 1751 characters, sent live", "close 3005")
async def _(server: Server, speech: bytes) -> str:
    async with server.session(speech_model="universal-3-5-pro") as exchange:
        await exchange.say("UpdateConfiguration", agent_context="x" * 1751)
        await exchange.rest()
        return f"close {exchange.close_code}"


@sessions.add(
    "session_heartbeat",
    "max_speech_probability, realtime_factor, total_audio_received_ms, "
    "total_duration_ms",
)
async def _(server: Server, speech: bytes) -> str:
    async with server.session(session_heartbeat="true") as exchange:
        await exchange.until("Heartbeat", seconds=8)
        fields = {key for beat in exchange.of("Heartbeat") for key in beat}
        return ", ".join(sorted(fields - {"type"}))


# ---- the end ----


@sessions.add("Terminate right after Begin", IN_ORDER)
async def _(server: Server, speech: bytes) -> str:
    async with server.session() as exchange:
        await exchange.say("Terminate")
        await exchange.rest()
        told = [str(m["type"]) for m in exchange.messages[1:] if m["type"] != "Turn"]
        return f"{', '.join(told)}, close {exchange.close_code}"


@sessions.add("Termination after 0.6 s of audio", "audio 1, session 0 or 1")
async def _(server: Server, speech: bytes) -> str:
    async with server.session() as exchange:
        await exchange.send(bytes(32 * 600))
        await exchange.say("Terminate")
        await exchange.rest()
        told = (exchange.of("Termination") or [{}])[0]
        session = told.get("session_duration_seconds")
        about = "0 or 1" if session in (0, 1) else session
        return f"audio {told.get('audio_duration_seconds')}, session {about}"


@sessions.add("Termination after an Error", "none")
async def _(server: Server, speech: bytes) -> str:
    async with server.session() as exchange:
        await exchange.say("NoSuchType")
        await exchange.say("Terminate")
        await exchange.rest()
        return "told" if exchange.of("Termination") else "none"


@sessions.add("silence past inactivity_timeout", "Error 3006, close 3006")
async def _(server: Server, speech: bytes) -> str:
    async with server.session(inactivity_timeout="5") as exchange:
        await exchange.rest(seconds=10)
        return _codes(exchange)


@sessions.add("KeepAlive past inactivity_timeout", "the session is open")
async def _(server: Server, speech: bytes) -> str:
    async with server.session(inactivity_timeout="5") as exchange:
        for _ in range(3):
            await exchange.rest(seconds=3)
            await exchange.say("KeepAlive")
        await asyncio.sleep(0.2)
        return "the session is open" if exchange.close_code is None else "it is closed"


def _codes(exchange: Exchange) -> str:
    told = [f"Error {error.get('error_code')}" for error in exchange.of("Error")]
    return ", ".join([*told, f"close {exchange.close_code}"])
