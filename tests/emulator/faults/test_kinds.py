"""Faults as they are written, and what is said of those that are written badly."""

from __future__ import annotations

import pytest

from aai_stream.emulator.faults import KINDS, Fault, fault
from aai_stream.emulator.faults.moments import (
    BEGIN,
    CONNECT,
    EVERY,
    MOMENTS,
    OPEN,
    At,
    On,
)
from aai_stream.errors import OptionError


def test_what_is_not_said_is_as_usual() -> None:
    assert fault("reset") == Fault("reset", BEGIN, EVERY)
    assert fault("status") == Fault("status", CONNECT, code=503)
    assert fault("close") == Fault("close", BEGIN, code=1011)
    assert fault("late-begin") == Fault("late-begin", OPEN, seconds=11)


def test_everything_can_be_said() -> None:
    text = (
        "close,error=out of order,code=3005,at=turn:3,on=2-4,chance=0.5,seed=-7,lasts=9"
    )
    assert fault(text) == Fault(
        "close",
        At("turn", 3),
        On(2, 4),
        chance=0.5,
        seed=-7,
        lasts=9,
        code=3005,
        error="out of order",
    )
    answer = Fault("status", CONNECT, code=429, retry_after=7)
    assert fault("status,code=429,retry-after=7") == answer


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2000ms", At("audio", 2000)),
        ("1.5s", At("seconds", 1.5)),
        ("0s", At("seconds", 0)),
        ("final:2", At("final", 2)),
        ("terminate", At("terminate")),
    ],
)
def test_moments(text: str, at: At) -> None:
    assert At.parse(text) == at
    assert str(at) == text


@pytest.mark.parametrize("text", MOMENTS)
def test_the_moments_that_are_documented_exist(text: str) -> None:
    assert str(At.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "struck"),
    [
        ("every", {1, 2, 3, 4, 5}),
        ("2", {2}),
        ("2-4", {2, 3, 4}),
        ("1-1", {1}),
        ("4-", {4, 5}),
        ("1-", {1, 2, 3, 4, 5}),
    ],
)
def test_connections(text: str, struck: set[int]) -> None:
    on = On.parse(text)
    assert {number for number in range(1, 6) if number in on} == struck
    assert On.parse(str(on)) == on


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_of_a_fault_makes_it_again(kind: str) -> None:
    made = fault(kind)
    assert fault(str(made)) == made
    options = {option.check.name: option.check for option in KINDS[kind].options}
    closes = kind in ("close", "bad-reason")
    values = {"error": "no funds", "code": "1000" if closes else "429"}
    said = "".join(f",{name}={values.get(name, '3')}" for name in options)
    made = fault(f"{kind}{said},on=1-2,chance=0.25,seed=9,lasts=7.5")
    assert fault(str(made)) == made
    assert str(made).count("=") == len(options) + 5


@pytest.mark.parametrize(
    ("text", "named", "allowed"),
    [
        ("", "''", "reset"),
        ("rest", "'rest'", "(did you mean 'reset'?)"),
        ("mute,cutt=3", "'cutt'", "(did you mean 'cut'?)"),
        ("status,after=1", "'after'", "(did you mean 'retry-after'?)"),
        ("reset,at=begn", "'begn'", "(did you mean 'begin'?)"),
        ("reset,at=later", "'later'", "2000ms"),
        ("reset,at=0ms", "0", "from 1 on"),
        ("reset,at=turn:0", "0", "turn:3"),
        ("reset,at=-1s", "'-1s'", "5s"),
        ("reset,on=0", "'0'", "1-3"),
        ("reset,on=3-2", "'3-2'", "every"),
        ("reset,on=all", "'all'", "every"),
        ("reset,chance=2", "2", "from 0 to 1"),
        ("reset,seed=x", "'x'", "a whole number"),
        ("reset,lasts=-1", "-1", "at least 0"),
        ("reset,code=1000", "'code'", "at, on, chance, seed, lasts"),
        ("early-end,ms=0", "0", "at least 1"),
        ("close,code=99", "99", "from 1000 to 4999"),
        ("status,code=200", "200", "from 400 to 599"),
        ("status,at=begin", "begin", "only strike at connect"),
        ("mute,at=connect", "mute", "from open on"),
        ("mute,cut=soon", "'soon'", "a number"),
        ("reset,on=1,on=2", "'on=2'", "once"),
        ("reset,2000ms", "'2000ms'", "OPTION=VALUE"),
    ],
)
def test_bad_faults_are_errors_that_help(text: str, named: str, allowed: str) -> None:
    with pytest.raises(OptionError) as caught:
        fault(text)
    assert named in str(caught.value)
    assert allowed in str(caught.value)


def test_faults_made_without_text_are_checked_too() -> None:
    with pytest.raises(OptionError, match="no fault 'rest'"):
        Fault("rest", BEGIN)
    with pytest.raises(OptionError, match="code must be"):
        Fault("close", BEGIN)
    with pytest.raises(OptionError, match="takes no 'cut'"):
        Fault("reset", BEGIN, cut=1.0)
    with pytest.raises(OptionError, match="no moment"):
        At("end")
    with pytest.raises(OptionError, match="no moment"):
        At("begin", 2)
