"""What a page is told: everything at first, then what is new, and never twice."""

from __future__ import annotations

import pytest

from aai_stream.emulator.console import session as session_module
from aai_stream.emulator.console.calls import Calls
from aai_stream.emulator.console.outages import Outages
from aai_stream.emulator.console.page import Page
from aai_stream.emulator.faults.running import Faults
from tests.emulator.console.helpers import begin, hear, noise, silence, turn
from tests.emulator.helpers import ManualClock


async def shut(seconds: float) -> None:
    raise AssertionError


class Scene:
    """Calls, and pages that look at them."""

    def __init__(self, clock: ManualClock) -> None:
        self.calls = Calls(clock)
        faults = Faults([], clock, shut)
        self.outages = Outages(faults, self.calls.changed)

    def page(self) -> Page:
        return Page(self.calls, self.outages)


@pytest.fixture
def scene(clock: ManualClock) -> Scene:
    return Scene(clock)


def test_a_page_that_comes_late_is_told_all_of_it(scene: Scene) -> None:
    session = begin(scene.calls, 7)
    hear(session, silence(0.1))
    session.told({"type": "SpeechStarted", "timestamp": 20, "confidence": 1.0})
    session.told(turn(0, ("hi", 20, 90)))
    told = scene.page().update()
    (shown,) = told["sessions"]
    assert shown.pop("facts") == {
        "lane": 7,
        "offset": 0,
        "id": "id-7",
        "options": {"speech_model": "u3-rt-pro"},
        "rate": 16_000,
        "began": 0.0,
        "end": None,
        "how": "",
    }
    assert shown == {
        "n": 7,
        "ms": 100,
        "lead": 100,
        "wave": [0, [0, 0, 0, 0]],
        "turns": [
            {
                "order": 0,
                "final": False,
                "text": "hi",
                "words": [(20, 90, "hi")],
                "all": 1,
            }
        ],
        "marks": [["speech", 20, None, ""]],
    }
    assert told["outages"] == {"on": [], "applied": []}


def test_then_it_is_told_what_is_new(scene: Scene) -> None:
    session, other = begin(scene.calls, 1), begin(scene.calls, 2)
    page = scene.page()
    page.update()
    assert page.update() == {}
    hear(session, silence(0.05))
    assert page.update()["sessions"] == [
        {"n": 1, "ms": 50, "lead": 50, "wave": [0, [0, 0]]}
    ]
    other.told(turn(0, ("yes", 0, 9), final=True))
    (shown,) = page.update()["sessions"]
    assert (shown["n"], shown["turns"][0]["text"]) == (2, "yes")
    assert shown["marks"] == [["endpoint", 9, None, ""]]
    assert page.update() == {}


def test_a_page_that_lags_is_told_where_things_stand(scene: Scene) -> None:
    """However long it does not ask, what it is told then is bounded."""
    session = begin(scene.calls, 1)
    page = scene.page()
    page.update()
    for at in range(2000):
        session.told(turn(0, (f"w{at}", 0, 9)))
        session.silence(at, at + 1)
    (shown,) = page.update()["sessions"]
    assert [t["text"] for t in shown["turns"]] == ["w1999"]
    assert len(shown["marks"]) == session_module.MOST_MARKS
    assert len(session.lines) == session_module.MOST_MESSAGES


def test_messages_are_told_to_who_reads_them(scene: Scene) -> None:
    session = begin(scene.calls, 1)
    page = scene.page()
    assert "messages" not in page.update()
    hear(session, silence(0.15))
    session.said('{"type":"ForceEndpoint"}')
    page.read(1)
    told = page.update()["messages"]
    assert (told["n"], told["first"]) == (1, True)
    assert [item[1:4] for item in told["items"]] == [
        ["out", '{"type":"Begin","id":"id-1"}', 1],
        ["in", "audio, 50 ms", 3],
        ["in", '{"type":"ForceEndpoint"}', 1],
    ]
    hear(session, silence(0.05))
    told = page.update()["messages"]
    assert not told["first"]
    assert [item[1:4] for item in told["items"]] == [["in", "audio, 50 ms", 1]]
    page.read(None)
    session.said("{}")
    assert "messages" not in page.update()


def test_a_session_that_is_forgotten_is_gone(scene: Scene) -> None:
    begin(scene.calls, 1)
    page = scene.page()
    page.update()
    del scene.calls.sessions[1]
    assert page.update()["gone"] == [1]
    assert page.update() == {}


def test_who_joins_a_lane_is_told_anew(scene: Scene) -> None:
    talk = noise(2)
    first = begin(scene.calls, 1)
    hear(first, talk)
    first.told(turn(0, ("one", 0, 300), final=True))
    first.over(None, terminated=False)
    second = begin(scene.calls, 2)
    second.told(turn(0, ("one", 0, 300)))
    page = scene.page()
    page.update()
    hear(second, talk)
    (shown,) = page.update()["sessions"]
    assert (shown["facts"]["lane"], shown["facts"]["offset"]) == (1, 0)
    assert [(t["words"], t["all"]) for t in shown["turns"]] == [([], 1)]


def test_how_timely_audio_came_at_best(scene: Scene, clock: ManualClock) -> None:
    """A client that is 0.3 s late now was 0.1 s late at best."""
    session = begin(scene.calls, 1)
    clock.advance(0.15)
    hear(session, silence(0.05))
    clock.advance(0.25)
    hear(session, silence(0.05))
    (shown,) = scene.page().update()["sessions"]
    assert (shown["ms"], shown["lead"]) == (100, -100)
