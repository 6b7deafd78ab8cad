"""What `decode` makes of everything a server may send."""

from __future__ import annotations

import contextlib
import gc
import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream import messages
from aai_stream.errors import MessageError
from aai_stream.messages import decode, retime

WORD: dict[str, Any] = {"text": "hi", "start": 120, "end": 240, "confidence": 0.9}
EXAMPLES: list[tuple[dict[str, Any], messages.Event]] = [
    (
        {
            "type": "Begin",
            "id": "abc",
            "expires_at": 1_800_000_000,
            "configuration": {"model": "u3-rt-pro", "api_version": "2025-05-12"},
        },
        messages.Begin(
            id="abc",
            expires_at=1_800_000_000,
            configuration={"model": "u3-rt-pro", "api_version": "2025-05-12"},
        ),
    ),
    (
        {"type": "SpeechStarted", "timestamp": 640, "confidence": 0.5},
        messages.SpeechStarted(timestamp=640, confidence=0.5),
    ),
    (
        {
            "type": "Turn",
            "turn_order": 3,
            "turn_is_formatted": True,
            "end_of_turn": True,
            "transcript": "Hi.",
            "end_of_turn_confidence": 1.0,
            "words": [
                {
                    **WORD,
                    "word_is_final": True,
                    "speaker": "A",
                    "speaker_confidence": 0.75,
                }
            ],
            "utterance": "Hi.",
            "language_code": "en",
            "language_confidence": 0.99,
            "speaker_label": "A",
            "speaker_confidence": 0.5,
        },
        messages.Turn(
            turn_order=3,
            turn_is_formatted=True,
            end_of_turn=True,
            transcript="Hi.",
            end_of_turn_confidence=1.0,
            words=[
                messages.Word(
                    text="hi",
                    start=120,
                    end=240,
                    confidence=0.9,
                    word_is_final=True,
                    speaker="A",
                    speaker_confidence=0.75,
                )
            ],
            utterance="Hi.",
            language_code="en",
            language_confidence=0.99,
            speaker_label="A",
            speaker_confidence=0.5,
        ),
    ),
    (
        {
            "type": "Termination",
            "audio_duration_seconds": 12,
            "session_duration_seconds": 13,
        },
        messages.Termination(audio_duration_seconds=12, session_duration_seconds=13),
    ),
    (
        {"type": "Error", "error_code": 3007, "error": "too fast"},
        messages.Error(error="too fast", error_code=3007),
    ),
    ({"error": "old form"}, messages.Error(error="old form")),
    (
        {"error": "old form", "error_code": 4001},
        messages.Error(error="old form", error_code=4001),
    ),
    (
        {"type": "Warning", "warning_code": 7, "warning": "unknown parameter"},
        messages.Warning(warning="unknown parameter", warning_code=7),
    ),
    (
        {
            "type": "Heartbeat",
            "total_audio_received_ms": 5000,
            "total_duration_ms": 5100,
            "realtime_factor": 1.02,
            "max_speech_probability": 0.3,
        },
        messages.Heartbeat(
            total_audio_received_ms=5000,
            total_duration_ms=5100,
            realtime_factor=1.02,
            max_speech_probability=0.3,
        ),
    ),
    (
        {"type": "Silence", "start_ms": 10, "end_ms": 1010},
        messages.Silence(start_ms=10, end_ms=1010),
    ),
    (
        {
            "type": "SpeakerRevision",
            "revisions": [{"turn_order": 1, "speaker_label": "B", "words": [WORD]}],
        },
        messages.SpeakerRevision(
            revisions=[
                messages.Revision(
                    turn_order=1, speaker_label="B", words=[messages.Word(**WORD)]
                )
            ]
        ),
    ),
    (
        {
            "type": "LLMGatewayResponse",
            "turn_order": 2,
            "transcript": "hi",
            "data": {"choices": []},
        },
        messages.LLMGatewayResponse(
            turn_order=2, transcript="hi", data={"choices": []}
        ),
    ),
    (
        {"type": "Brand.New", "x": [1, None]},
        messages.Unknown(type="Brand.New", raw={"type": "Brand.New", "x": [1, None]}),
    ),
]


@pytest.mark.parametrize(
    ("sent", "expected"),
    EXAMPLES,
    ids=lambda x: x.get("type") if type(x) is dict else "",
)
def test_every_message_is_read_whole(
    sent: dict[str, Any], expected: messages.Event
) -> None:
    assert decode(json.dumps(sent)) == expected
    assert decode(json.dumps(sent).encode()) == expected


def test_fields_that_are_new_are_kept() -> None:
    text = '{"type":"SpeechStarted","timestamp":1,"surprise":{"a":[]}}'
    heard = decode(text)
    assert isinstance(heard, messages.SpeechStarted)
    assert heard == messages.SpeechStarted(timestamp=1)
    assert heard.raw == json.loads(text)
    retime(heard, lambda ms: ms + 1000, lambda ms: ms + 1000)
    assert (heard.timestamp, heard.raw["timestamp"]) == (1001, 1)
    heard.raw.clear()
    assert heard.raw == json.loads(text)


@pytest.mark.parametrize(
    "sent",
    [
        *(sent for sent, _ in EXAMPLES),
        {"error": "said without a type", "error_code": 3005},
        {"type": "Turn", "turn_order": 1.0, "language_code": 7},
    ],
)
def test_what_came_can_be_read_from_every_message(sent: dict[str, Any]) -> None:
    for text in (json.dumps(sent), json.dumps(sent).encode()):
        event = decode(text)
        assert not isinstance(event, (messages.AudioLost, messages.SilenceSkipped))
        assert event.raw == sent


def test_what_came_is_no_field() -> None:
    text = b'{"type":"Turn","turn_order":1,"new":"x"}'
    turn, made = decode(text), messages.Turn(turn_order=1)
    assert turn == made
    assert repr(turn) == repr(made)
    assert msgspec.json.encode(turn) == msgspec.json.encode(made)
    assert made.raw == {}


def test_a_copy_of_a_turn_has_what_came() -> None:
    turn = decode(b'{"type":"Turn","turn_order":1,"new":"x"}')
    assert isinstance(turn, messages.Turn)
    copied = messages.copy_of(turn)
    copied.turn_order = 2
    assert (turn.turn_order, copied.raw["new"]) == (1, "x")
    assert messages.copy_of(messages.Turn()) == messages.Turn()


def test_what_came_is_let_go_with_the_message() -> None:
    text = b'{"type":"Turn","turn_order":1}' + b" " * 1000
    before = sys.getrefcount(text)
    turns = [decode(text) for _ in range(10)]
    assert sys.getrefcount(text) == before + 10
    assert not any(gc.is_tracked(turn) for turn in turns)
    del turns
    assert sys.getrefcount(text) == before


def test_new_fields_that_cannot_be_read() -> None:
    turn = decode('{"type":"Turn","turn_order":1,"new":1e999}')
    assert isinstance(turn, messages.Turn)
    with pytest.raises(MessageError, match="out of range"):
        turn.raw  # noqa: B018


def test_what_an_error_may_say_of_itself() -> None:
    said = {
        "type": "Error",
        "error": "too many",
        "error_code": 3009,
        "error_type": "rate_limit",
        "param": "speech_model",
        "retryable": True,
        "retry_after_seconds": 2,
    }
    fields = {k: v for k, v in said.items() if k != "type"}
    assert decode(json.dumps(said)) == messages.Error(**fields)  # type: ignore[arg-type]
    assert decode(json.dumps(fields)) == messages.Error(**fields)  # type: ignore[arg-type]
    odd = {**said, "retryable": "maybe", "retry_after_seconds": -1, "param": 3}
    assert decode(json.dumps(odd)) == messages.Error(
        error="too many", error_code=3009, error_type="rate_limit"
    )


def test_redacting_reaches_what_came() -> None:
    event = decode(
        b'{"type":"Error","error":"key k1","param":"k1",'
        b'"new":{"k1":["a k1",{"deep":"k1"}],"n":1}}'
    )
    assert isinstance(event, messages.Error)
    messages.redact(event, lambda text: text.replace("k1", "***"))
    assert (event.error, event.param) == ("key ***", "***")
    assert event.raw == {
        "type": "Error",
        "error": "key ***",
        "param": "***",
        "new": {"***": ["a ***", {"deep": "***"}], "n": 1},
    }
    unreadable = decode(b'{"type":"Warning","warning":"k1","k1":1e999}')
    assert isinstance(unreadable, messages.Warning)
    messages.redact(unreadable, lambda text: text.replace("k1", "***"))
    assert (unreadable.warning, unreadable.raw) == ("***", {})


def test_what_the_server_may_leave_out_has_a_default() -> None:
    assert decode('{"type":"Turn","turn_order":0}') == messages.Turn(turn_order=0)
    nulls = '{"type":"Turn","turn_order":0,"utterance":null,"speaker_label":null}'
    assert decode(nulls) == messages.Turn(turn_order=0)


def test_lists_are_not_shared_between_messages() -> None:
    first, second = (decode('{"type":"Turn","turn_order":0}') for _ in range(2))
    assert isinstance(first, messages.Turn)
    assert isinstance(second, messages.Turn)
    first.words.append(messages.Word(text="x", start=0, end=1))
    assert second.words == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[1]", "object"),
        (b"null", "object"),
        (b"{}", "type"),
        (b'{"type":7}', "type"),
        (b'{"type":null}', "type"),
        (b'{"error":{"a":1}}', "type"),
        (b'{"type":"Turn","turn_order":"1"}', r"\$.turn_order"),
        (b'{"type":"Turn","turn_order":0,"words":[{"text":1}]}', r"\$.words\[0\].text"),
        (b"[" * 100_000, "JSON"),
    ],
)
def test_malformed_messages_are_a_typed_error(text: bytes, where: str) -> None:
    with pytest.raises(MessageError, match=where):
        decode(text)


def test_an_error_quotes_no_transcript() -> None:
    text = '{"type":"Turn","turn_order":0,"transcript":"my secret","words":"my secret"}'
    with pytest.raises(MessageError) as caught:
        decode(text)
    assert "secret" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
known_names = st.sampled_from(
    ["type", "error", "words", "transcript", "turn_order", "timestamp", "revisions"]
)
known_types = st.sampled_from([e.get("type", "") for e, _ in EXAMPLES])


@given(st.binary() | st.text())
def test_any_text_is_an_event_or_a_message_error(text: bytes | str) -> None:
    with contextlib.suppress(MessageError):
        decode(text)


@given(st.dictionaries(known_names, json_values | known_types))
def test_any_object_is_an_event_or_a_message_error(sent: dict[str, Any]) -> None:
    with contextlib.suppress(MessageError):
        decode(json.dumps(sent))


def test_retime_moves_every_time_and_nothing_else() -> None:
    def later(ms: int) -> int:
        return ms + 1000

    word = messages.Word(**WORD)
    moved = messages.Word(**{**WORD, "start": 1120, "end": 1240})
    revision = messages.Revision(turn_order=1, words=[word])
    cases: list[tuple[messages.Event, messages.Event]] = [
        (
            messages.Turn(turn_order=1, words=[messages.Word(**WORD)]),
            messages.Turn(turn_order=1, words=[moved]),
        ),
        (messages.SpeechStarted(timestamp=5), messages.SpeechStarted(timestamp=1005)),
        (
            messages.Silence(start_ms=0, end_ms=10),
            messages.Silence(start_ms=1000, end_ms=1010),
        ),
        (
            messages.SpeakerRevision(revisions=[revision]),
            messages.SpeakerRevision(
                revisions=[messages.Revision(turn_order=1, words=[moved])]
            ),
        ),
        (messages.Termination(), messages.Termination()),
    ]
    for event, expected in cases:
        retime(event, later, later)
        assert event == expected


def test_nulls_and_fractions_lose_no_turn() -> None:
    word = {"text": "a", "start": 10.6, "end": None, "confidence": None}
    turn = {"type": "Turn", "transcript": "a", "words": [word], "language_code": None}
    assert decode(msgspec.json.encode(turn)) == messages.Turn(
        transcript="a", words=[messages.Word(text="a", start=11)]
    )
    heartbeat = {
        "type": "Heartbeat",
        "total_audio_received_ms": 10.2,
        "total_duration_ms": 5,
        "realtime_factor": 1.25,
    }
    assert decode(msgspec.json.encode(heartbeat)) == messages.Heartbeat(
        total_audio_received_ms=10, total_duration_ms=5, realtime_factor=1.25
    )
    with pytest.raises(MessageError, match="words"):
        decode(b'{"type":"Turn","words":[null]}')


TURN: dict[str, Any] = {"type": "Turn", "transcript": "hi", "words": [WORD]}


@pytest.mark.parametrize(
    "unusable",
    ["soon", "1800000000", 10**18, 10**400, -1, -(10**18), 1e300, True, [], {}],
)
def test_a_begin_whose_end_is_unusable_is_a_begin(unusable: Any) -> None:
    sent = {"type": "Begin", "id": "abc", "expires_at": unusable}
    assert decode(json.dumps(sent)) == messages.Begin(id="abc", expires_at=None)


def test_an_end_in_fractions_of_a_second() -> None:
    sent = {"type": "Begin", "expires_at": 1_800_000_000.6}
    assert decode(json.dumps(sent)) == messages.Begin(expires_at=1_800_000_001)


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ({"type": "Begin"}, ["id", "expires_at", "configuration"]),
        (
            TURN,
            [
                "turn_is_formatted",
                "end_of_turn_confidence",
                "utterance",
                "language_code",
                "language_confidence",
                "speaker_label",
            ],
        ),
        ({"type": "SpeechStarted"}, ["timestamp", "confidence"]),
        (
            {"type": "Termination"},
            ["audio_duration_seconds", "session_duration_seconds"],
        ),
        ({"type": "Error", "error": "no"}, ["error_code"]),
        ({"type": "Warning", "warning": "hm"}, ["warning_code"]),
    ],
    ids=lambda x: x.get("type") if isinstance(x, dict) else "",
)
def test_a_side_remark_that_cannot_be_read_is_left_out(
    message: dict[str, Any], names: list[str]
) -> None:
    whole = decode(json.dumps(message))
    for name in names:
        assert decode(json.dumps({**message, name: [["odd"]]})) == whole
    odd = {name: [["odd"]] for name in names}
    assert decode(json.dumps({**message, **odd})) == whole


def test_side_remarks_on_words_are_left_out_too() -> None:
    odd = {**WORD, "confidence": "high", "word_is_final": 1, "speaker": 2}
    plain = {name: WORD[name] for name in ("text", "start", "end")}
    for wrapped in (
        lambda word: {**TURN, "words": [WORD, word]},
        lambda word: {
            "type": "SpeakerRevision",
            "revisions": [{"turn_order": 1, "words": [word]}],
        },
    ):
        assert decode(json.dumps(wrapped(odd))) == decode(json.dumps(wrapped(plain)))


@pytest.mark.parametrize(
    ("message", "where"),
    [
        ({**TURN, "turn_order": "1"}, "turn_order"),
        ({**TURN, "transcript": 7}, "transcript"),
        ({**TURN, "end_of_turn": "yes"}, "end_of_turn"),
        ({**TURN, "words": "hi"}, "words"),
        ({**TURN, "words": [{**WORD, "text": 7}]}, r"words\[0\].text"),
        ({**TURN, "words": [{**WORD, "start": "120"}]}, r"words\[0\].start"),
        ({**TURN, "words": [WORD, {**WORD, "end": True}]}, r"words\[1\].end"),
        ({"type": "Error", "error": 7}, "error"),
        ({"type": "Silence", "start_ms": "0", "end_ms": 1}, "start_ms"),
    ],
)
def test_what_a_message_is_about_must_be_readable(
    message: dict[str, Any], where: str
) -> None:
    """Whatever else is wrong, the error names that."""
    with pytest.raises(MessageError, match=where):
        decode(json.dumps({**message, "language_confidence": "high"}))


def test_what_the_server_understood_is_told_as_it_came() -> None:
    """Also when the rest of Begin needs tidying."""
    configuration: Any = {"speaker_label": 1, "start": 0.5, "mode": None, "id": []}
    sent = {"type": "Begin", "id": 7, "configuration": configuration}
    assert decode(json.dumps(sent)) == messages.Begin(configuration=configuration)
