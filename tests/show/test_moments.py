"""What happened, in sentences; also those of decisions.py."""

from __future__ import annotations

from typing import Any

import pytest

from aai_stream.errors import InputError
from aai_stream.recorder.format import Decided, Entries, Finished, Pushed, Told
from aai_stream.show.moments import Moment
from aai_stream.show.timeline import timeline
from tests.show.calls import BEGAN, entries, meta

RESET = "session 1 lost: the connection was reset"


def moments(made: list[Entries]) -> list[Moment]:
    return timeline(meta(), made).moments


def decided(at: float, what: str, number: int | None = 1, **fields: Any) -> Decided:
    return Decided(
        unix=BEGAN + at, stream_ms=0, what=what, fields=fields, session=number
    )


def texts(*made: Entries) -> list[tuple[str, str]]:
    """Kinds and texts, in a call that ends as it should."""
    end = Finished(unix=BEGAN + 99, stream_ms=0, why="ended")
    return [(each.kind, each.text) for each in moments([*made, end])[:-1]]


def test_the_whole_call() -> None:
    turns = [
        ("Hello, this is John Miller speaking.", "0.59"),
        ("I need to change my appointment on Monday morning.", "0.57"),
        ("Is there anything available on Wednesday afternoon?", "2.06"),
        ("My account number is seven three nine four five eight.", "0.51"),
    ]
    said = [("turn", f"{text}  ({late} s after its end)") for text, late in turns]
    why = "the stream was closed before it was transcribed"
    assert [(moment.kind, moment.text) for moment in moments(entries())] == [
        ("session", "session 1 is asked for"),
        ("session", "session 1 is open after 0.43 s: u3-rt-pro"),
        ("session", "session 1 hears the stream from its beginning"),
        *said[:2],
        ("outage", f"{RESET}; trying again in 0.50 s"),
        ("session", "session 2 is asked for"),
        ("session", "session 2 is open after 0.43 s: u3-rt-pro"),
        ("session", "session 2 goes on at 00:09.300: 2.70 s are sent again"),
        ("gap", "silence left out, 00:09.300 to 00:09.800"),
        ("session", "session 2 has caught up after 1.57 s"),
        *said[2:],
        ("gap", f"audio lost, 00:17.800 to 00:18.200: {why}"),
        ("session", "session 2 has ended"),
        ("end", "the call has ended"),
    ]


FAILURE = {"type": "BusyError", "text": "too many sessions", "code": 1008}


@pytest.mark.parametrize(
    ("what", "fields", "expected"),
    [
        ("Opened", {"seconds": 0.5}, ("session", "session 1 is open after 0.50 s")),
        (
            "Resumed",
            {"sample": 16_000, "sent": 16_000, "after": "a"},
            ("session", "session 1 goes on at 00:01.000"),
        ),
        (
            "Resumed",
            {"sample": 24_000, "sent": 16_000, "after": "a"},
            ("session", "session 1 goes on at 00:01.500: 0.50 s are left out"),
        ),
        (
            "Admitted",
            {"seconds": 2.25},
            ("session", "waited 2.25 s for a place among the account's sessions"),
        ),
        (
            "Over",
            {"outcome": "replaced"},
            ("session", "session 1 was replaced, as planned"),
        ),
        (
            "Over",
            {"outcome": "closed"},
            ("session", "session 1 was closed: nobody wanted it any more"),
        ),
        (
            "Over",
            {"outcome": "not_opened", "failure": FAILURE},
            ("outage", "session 1 could not be opened: too many sessions"),
        ),
        (
            "Retry",
            {"failure": FAILURE, "seconds": 0.05},
            ("outage", "too many sessions; trying again in 50 ms"),
        ),
        ("Note", {"text": "so it is", "level": 20}, ("note", "so it is")),
        ("Note", {"text": "beware", "level": 30}, ("warning", "beware")),
        ("Later", {"x": [1]}, ("session", 'Later: {"x":[1]}')),
    ],
)
def test_a_decision_in_a_sentence(
    what: str, fields: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert texts(decided(1, what, **fields)) == [expected]


def test_who_did_not_wait_for_a_place_is_not_told_to_have_waited() -> None:
    assert texts(decided(1, "Admitted", None, seconds=0.0001)) == []


def test_a_retry_long_after_a_loss_is_a_moment_of_its_own() -> None:
    over = decided(1, "Over", outcome="lost", failure=FAILURE)
    retry = decided(2, "Retry", None, failure=FAILURE, seconds=1.0)
    assert [text for _, text in texts(over, retry)] == [
        "session 1 lost: too many sessions",
        "too many sessions; trying again in 1.00 s",
    ]


@pytest.mark.parametrize(
    ("why", "text"),
    [
        ("closed", "the stream was closed"),
        ("failed", "the stream has failed"),
        ("full", "the recording ends here: it was full"),
        ("tired", "tired"),
    ],
)
def test_how_it_ended(why: str, text: str) -> None:
    end = Finished(unix=BEGAN, stream_ms=0, why=why)
    assert [(m.kind, m.text) for m in moments([end])] == [("end", text)]


def test_a_call_without_an_end_was_cut_off() -> None:
    last = moments(entries()[:50])[-1]
    assert last.kind == "end"
    assert "cut off here" in last.text


def test_what_the_server_says_of_itself() -> None:
    said = [{"type": "Error", "error": "no"}, {"type": "Warning", "warning": "hm"}]
    made = [Told(unix=BEGAN + 1, stream_ms=0, message=message) for message in said]
    assert texts(*made) == [
        ("warning", "the server reports: no"),
        ("warning", "the server warns: hm"),
    ]


def test_a_turn_that_never_became_final_is_told_so() -> None:
    message = {"type": "Turn", "transcript": "So", "speaker_label": "B"}
    assert texts(Told(unix=BEGAN + 1, stream_ms=0, message=message)) == [
        ("turn", "B: So … (never final)")
    ]


def test_a_pause_is_a_moment() -> None:
    first = Pushed(unix=BEGAN + 1, stream_ms=0, pushes=[(16_000, 0)])
    later = Pushed(unix=BEGAN + 9, stream_ms=0, pushes=[(16_800, 0)])
    assert texts(first, later) == [("note", "nothing was pushed for 8.00 s")]


def test_a_decision_that_makes_no_sense_is_told() -> None:
    with pytest.raises(InputError, match="a Retry of the call can't be read"):
        moments([decided(1, "Retry", failure=FAILURE, seconds="soon")])
