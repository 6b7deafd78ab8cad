"""Outages by a click: for whom, how long, and what is told of them."""

from __future__ import annotations

import pytest

from aai_stream.emulator.console.outages import PRESETS, Outages
from aai_stream.emulator.faults import fault
from aai_stream.emulator.faults.running import Faults
from aai_stream.errors import OptionError
from tests.emulator.console.test_page import shut
from tests.emulator.helpers import ManualClock


@pytest.fixture
def faults(clock: ManualClock) -> Faults:
    return Faults([], clock, shut)


@pytest.fixture
def outages(faults: Faults) -> Outages:
    changes = iter(range(1, 100))
    return Outages(faults, lambda: next(changes))


def test_presets_are_faults_and_say_whether_they_strike_open_sessions() -> None:
    assert {p.name: p.live for p in PRESETS} == {
        "Reset": True,
        "Freeze": True,
        "503": False,
        "Too many sessions": False,
        "Expiry": True,
        "Slow": True,
        "Garbage": True,
    }
    for preset in PRESETS:
        fault(preset.text)


def test_the_next_connection_only(outages: Outages, faults: Faults) -> None:
    outages.start("status,code=503", "next", number=None, seconds=5)
    outages.start("reset,on=2-3", "next", number=None, seconds=5)
    assert list(faults) == [fault("status,on=1"), fault("reset,on=2-3")]


def test_all_for_a_while_or_until_it_is_stopped(
    outages: Outages, faults: Faults
) -> None:
    outages.start("reset", "all", number=None, seconds=15)
    outages.start("reset", "all", number=None, seconds=None)
    outages.start("reset,lasts=2", "all", number=None, seconds=15)
    assert list(faults) == [
        fault("reset,lasts=15"),
        fault("reset"),
        fault("reset,lasts=2"),
    ]
    assert [f["text"] for f in outages.told(0.0)["on"]] == [
        "reset,lasts=15",
        "reset",
        "reset,lasts=2",
    ]
    outages.stop()
    assert outages.told(0.0)["on"] == []
    assert outages.version == 4


@pytest.mark.parametrize(
    ("text", "scope", "why"),
    [
        ("rest", "all", "did you mean 'reset'"),
        ("status", "session", "to come; choose the next connection or all"),
        ("reset,on=2", "open", "to come; choose the next connection or all"),
        ("reset", "session", "no session is chosen"),
        ("reset", "some", "scope 'some' must be one of session, open, next, all"),
    ],
)
def test_what_can_not_be_is_refused(
    outages: Outages, faults: Faults, text: str, scope: str, why: str
) -> None:
    with pytest.raises(OptionError, match=why):
        outages.start(text, scope, number=None, seconds=None)
    assert list(faults) == []
    assert outages.version == 0
