"""How turns are told, by model family."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from ..conversing import Exchange, Message, Server
from .questions import Questions
from .sessions import ENGLISH

turns = Questions()

U3 = "universal-3-5-pro"
_QUIET = bytes(32 * 2500)
_TURN = {
    *("turn_order", "turn_is_formatted", "end_of_turn", "transcript", "words"),
    "end_of_turn_confidence",
}
_MAY_BE = {"type", "utterance", "language_code", "language_confidence"}


async def conversation(server: Server, speech: bytes, **query: str) -> Exchange:
    """What a server makes of the speech and of silence behind it.

    It is asked once: sessions cost money.
    """

    async def converse() -> Exchange:
        async with server.session(**query) as exchange:
            await exchange.send(speech + _QUIET)
            await exchange.say("Terminate")
            await exchange.rest(seconds=60)
            return exchange

    return await server.once(frozenset(query.items()), converse)


def _words(found: Iterable[Message]) -> list[Message]:
    return [word for turn in found for word in turn.get("words", ())]


def _all(values: Iterable[object]) -> str:
    """The one value that all of them are; otherwise each that there is."""
    return " and ".join(sorted({str(value) for value in values})) or "none"


def _partials(exchange: Exchange) -> list[Message]:
    return [turn for turn in exchange.turns if not turn.get("end_of_turn")]


@turns.add("Universal-3: before a turn's first Turn", "SpeechStarted")
async def _(server: Server, speech: bytes) -> str:
    exchange = await conversation(server, speech, speech_model=U3)
    seen, before = set(), []
    for one, other in pairwise(exchange.messages):
        order = other.get("turn_order")
        if other["type"] == "Turn" and other.get("transcript") and order not in seen:
            seen.add(order)
            before.append(one["type"])
    return _all(before)


@turns.add("Universal-3: turn_is_formatted", "True")
async def _(server: Server, speech: bytes) -> str:
    exchange = await conversation(server, speech, speech_model=U3)
    return _all(turn.get("turn_is_formatted") for turn in exchange.turns)


@turns.add("Universal-3: words of partials, and of finals", "open, final")
async def _(server: Server, speech: bytes) -> str:
    exchange = await conversation(server, speech, speech_model=U3)
    partial = _all(w.get("word_is_final") for w in _words(_partials(exchange)))
    final = _all(w.get("word_is_final") for w in _words(exchange.finals))
    names = {"False": "open", "True": "final"}
    return f"{names.get(partial, partial)}, {names.get(final, final)}"


@turns.add("Universal-3: fields of turns", "those that are documented")
async def _(server: Server, speech: bytes) -> str:
    exchange = await conversation(server, speech, speech_model=U3)
    told = [set(turn) for turn in exchange.turns]
    missing = set().union(*(_TURN - fields for fields in told))
    others = set().union(*(fields - _TURN - _MAY_BE for fields in told))
    if not told:
        return "there are no turns"
    if missing or others:
        return f"without {sorted(missing)}, with {sorted(others)}"
    return "those that are documented"


@turns.add(
    "Universal-3: fields of words", "confidence, end, start, text, word_is_final"
)
async def _(server: Server, speech: bytes) -> str:
    exchange = await conversation(server, speech, speech_model=U3)
    return _all(", ".join(sorted(word)) for word in _words(exchange.turns))


@turns.add("Universal-3: times of words", "whole ms, in order")
async def _(server: Server, speech: bytes) -> str:
    exchange = await conversation(server, speech, speech_model=U3)
    found = []
    for turn in exchange.turns:
        times = [at for word in turn["words"] for at in (word["start"], word["end"])]
        whole = all(type(at) is int for at in times)
        found.append(
            f"{'whole ms' if whole else 'fractions'}, "
            f"{'in order' if times == sorted(times) else 'out of order'}"
        )
    return _all(found)


@turns.add("Universal-3: utterance", "only at the end of the turn")
async def _(server: Server, speech: bytes) -> str:
    exchange = await conversation(server, speech, speech_model=U3)
    early = any(turn.get("utterance") for turn in _partials(exchange))
    last = all(turn.get("utterance") for turn in exchange.finals)
    if early or not last:
        return f"{'before the end' if early else 'not at the end'} of the turn"
    return "only at the end of the turn"


@turns.add("Universal-3: turns", "one final for each order, counted from 0")
async def _(server: Server, speech: bytes) -> str:
    exchange = await conversation(server, speech, speech_model=U3)
    orders = [turn.get("turn_order") for turn in exchange.finals]
    if orders and orders == list(range(len(orders))):
        return "one final for each order, counted from 0"
    return f"finals of {orders}"


@turns.add("Universal-3: the last word of a final", "ends before the next begins")
async def _(server: Server, speech: bytes) -> str:
    exchange = await conversation(server, speech, speech_model=U3)
    spans = [(t["words"][0]["start"], t["words"][-1]["end"]) for t in exchange.finals]
    overlap = any(one[1] > other[0] for one, other in pairwise(spans))
    return "overlaps the next" if overlap else "ends before the next begins"


@turns.add("Universal-3: acknowledge_silence", "Silence from start_ms to end_ms")
async def _(server: Server, speech: bytes) -> str:
    query = {"speech_model": U3, "acknowledge_silence": "true"}
    async with server.session(**query) as exchange:
        await exchange.send(_QUIET)
        await exchange.until("Silence", seconds=5)
        fields = {key for one in exchange.of("Silence") for key in one} - {"type"}
        return f"Silence from {' to '.join(sorted(fields, reverse=True))}"


@turns.add("Universal-3: ForceEndpoint in mid-speech", "ends the turn")
async def _(server: Server, speech: bytes) -> str:
    async with server.session(speech_model=U3, max_turn_silence="10000") as exchange:
        await exchange.send(speech[: 32 * 3000])
        await exchange.say("ForceEndpoint")
        await exchange.send(bytes(32 * 200))
        while await exchange.until("Turn", seconds=10):
            if exchange.finals:
                return "ends the turn"
        return "ends no turn"


@turns.add("Universal-Streaming: turn_is_formatted", "False")
async def _(server: Server, speech: bytes) -> str:
    exchange = await conversation(server, speech, speech_model=ENGLISH)
    return _all(turn.get("turn_is_formatted") for turn in exchange.turns)


@turns.add("Universal-Streaming: words", "become final before the turn ends")
async def _(server: Server, speech: bytes) -> str:
    exchange = await conversation(server, speech, speech_model=ENGLISH)
    early = any(word.get("word_is_final") for word in _words(_partials(exchange)))
    return f"become final {'before' if early else 'when'} the turn ends"


@turns.add("Universal-Streaming: SpeechStarted", "none")
async def _(server: Server, speech: bytes) -> str:
    exchange = await conversation(server, speech, speech_model=ENGLISH)
    return "told" if exchange.of("SpeechStarted") else "none"


@turns.add("Universal-Streaming: format_turns", "a second final, formatted")
async def _(server: Server, speech: bytes) -> str:
    query = {"speech_model": ENGLISH, "format_turns": "true"}
    exchange = await conversation(server, speech, **query)
    flags = [turn.get("turn_is_formatted") for turn in exchange.finals]
    if flags and flags == [False, True] * (len(flags) // 2):
        return "a second final, formatted"
    return f"finals whose turn_is_formatted is {flags}"


@turns.add("Universal-Streaming: Terminate in silence", "an empty final", "no Turn")
async def _(server: Server, speech: bytes) -> str:
    async with server.session(speech_model=ENGLISH) as exchange:
        await exchange.send(bytes(32 * 500))
        await exchange.say("Terminate")
        await exchange.rest()
        if not exchange.turns:
            return "no Turn"
        empty = all(t["end_of_turn"] and not t["transcript"] for t in exchange.turns)
        return "an empty final" if empty else "a Turn with text"


@turns.add("speaker_labels: fields of words", "speaker, speaker_confidence")
async def _(server: Server, speech: bytes) -> str:
    query = {"speech_model": U3, "speaker_labels": "true"}
    exchange = await conversation(server, speech, **query)
    fields = {key for word in _words(exchange.finals) for key in word}
    return ", ".join(sorted(key for key in fields if "speaker" in key))


@turns.add("speaker_labels: fields of turns", "speaker_confidence, speaker_label")
async def _(server: Server, speech: bytes) -> str:
    query = {"speech_model": U3, "speaker_labels": "true"}
    exchange = await conversation(server, speech, **query)
    fields = {key for turn in exchange.finals for key in turn}
    return ", ".join(sorted(key for key in fields if "speaker" in key))


@turns.add("speaker_labels: the speakers", "letters or PENDING")
async def _(server: Server, speech: bytes) -> str:
    query = {"speech_model": U3, "speaker_labels": "true"}
    exchange = await conversation(server, speech, **query)
    labels = {str(turn.get("speaker_label")) for turn in exchange.finals}
    others = {label for label in labels if not (len(label) == 1 or label == "PENDING")}
    return _all(others) if others else "letters or PENDING"


@turns.add(
    "speaker_labels: SpeakerRevision after Terminate",
    *("none", "speaker_label, turn_order, words", "turn_order, words"),
)
async def _(server: Server, speech: bytes) -> str:
    query = {"speech_model": U3, "speaker_labels": "true"}
    exchange = await conversation(server, speech, **query)
    told = [
        one
        for message in exchange.of("SpeakerRevision")
        for one in message["revisions"]
    ]
    return _all(", ".join(sorted(one)) for one in told)
