from __future__ import annotations

import json

import pytest

from aai_stream.errors import InputError
from aai_stream.recorder.format import Entries, Pushed, Received, Sent
from aai_stream.show.timeline import timeline
from tests.show.calls import BEGAN, entries, meta


def test_the_call_as_a_whole() -> None:
    call = timeline(meta(), entries())
    assert (call.stream, call.host) == ("5f0a93c1", "streaming.assemblyai.com")
    assert (call.how, call.audio_ms, call.began) == ("ended", 18_200, BEGAN)
    assert call.ended - call.began == pytest.approx(19.62, abs=0.01)
    assert (call.lost_sessions, call.lost_seconds) == (1, 0.4)
    (outage,) = call.outages
    assert outage.seconds == pytest.approx(0.931)


def test_messages_go_both_ways() -> None:
    found = timeline(meta(), entries()).messages
    assert [m.kind for m in found if m.session == 2] == [
        "Begin",
        "SpeechStarted",
        "Turn",
        "SpeechStarted",
        "Turn",
        "Turn",
        "Turn",
        "Terminate",
        "Termination",
        "close",
    ]
    ways = {m.kind: m.way for m in found}
    assert (ways["Terminate"], ways["Turn"], ways["close"]) == ("out", "in", "in")
    assert [m.text for m in found if m.kind == "close"] == ["1006", "1000"]
    begin = json.loads(found[0].text)
    assert begin["id"] == "aaaa-1"


@pytest.mark.parametrize("message", [[1], "text", None, {"type": 7}])
def test_a_message_may_be_anything(message: object) -> None:
    made = [Received(unix=BEGAN, stream_ms=0, session=1, message=message)]
    (found,) = timeline(meta(), made).messages
    assert (found.kind, json.loads(found.text)) == ("", message)


def test_what_is_no_json_is_shown_as_it_came() -> None:
    made = [Received(unix=BEGAN, stream_ms=0, session=1, text="<oops")]
    (found,) = timeline(meta(), made).messages
    assert (found.kind, found.text) == ("", "<oops")


def test_a_call_in_which_nothing_happened() -> None:
    call = timeline(meta(), [])
    assert (call.how, call.audio_ms, call.moments) == ("cut off", 0, [])
    assert call.ended == call.began


@pytest.mark.parametrize("unix", [-1.0, 1e12])
def test_a_time_outside_the_calendar_is_told(unix: float) -> None:
    with pytest.raises(InputError, match="which is no unix time"):
        timeline(meta(), [Pushed(unix=unix, stream_ms=0, pushes=[])])
    with pytest.raises(InputError, match="which is no unix time"):
        timeline(meta(began=unix), [])


@pytest.mark.parametrize(
    "entry",
    [
        Pushed(unix=BEGAN, stream_ms=0, pushes=[(10**400, 0)]),
        Pushed(unix=BEGAN, stream_ms=0, pushes=[(0, 10**400)]),
        Sent(unix=BEGAN, stream_ms=0, session=1, chunks=[(0, 10**400, 0, 0)]),
    ],
    ids=["sample", "microseconds", "length"],
)
def test_a_number_beyond_all_measure_is_told(entry: Entries) -> None:
    with pytest.raises(InputError, match="beyond all measure"):
        timeline(meta(), [entry])
