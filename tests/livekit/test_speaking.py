"""Every start of speech that LiveKit hears of has its end."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from livekit.agents.stt import SpeechEvent, SpeechEventType

from aai_stream.livekit.speaking import QUIET_SECONDS, STALLED_SECONDS, Speaking
from tests.clocks import Clock

START = SpeechEvent(type=SpeechEventType.START_OF_SPEECH)
INTERIM = SpeechEvent(type=SpeechEventType.INTERIM_TRANSCRIPT)
FINAL = SpeechEvent(type=SpeechEventType.FINAL_TRANSCRIPT)
END = SpeechEvent(type=SpeechEventType.END_OF_SPEECH)


class FakeRunner(SimpleNamespace):
    """As much of a runner, and of its protocol, as is looked at."""

    @property
    def protocol(self) -> FakeRunner:
        return self

    @property
    def ring(self) -> SimpleNamespace:
        return SimpleNamespace(written=self.written_samples)

    @property
    def coverage(self) -> FakeRunner:
        return self

    @property
    def sending(self) -> FakeRunner:
        return self

    def do(self, call: Callable[..., object], **named: bool) -> None:
        call(**named)

    def force_endpoint(self, *, flush: bool) -> None:
        assert flush
        self.forced += 1


class Call:
    """A stream whose runner says `awaits_turn`, with a loop turned by hand."""

    def __init__(self, clock: Clock) -> None:
        runner: Any = FakeRunner(
            awaits_turn=True, written_samples=0, silent_seconds=0.0, forced=0
        )
        self.clock = clock
        self.runner = runner
        self.told: list[SpeechEventType] = []
        self.speaking = Speaking(self.runner, self.tell, clock)

    def tell(self, event: SpeechEvent) -> None:
        if self.speaking.is_news(event):
            self.told.append(event.type)

    def live(self, seconds: float) -> None:
        """Audio comes, and time passes."""
        for _ in range(round(seconds * 2)):
            self.runner.written_samples += 8000
            self.clock.run(0.5)

    @property
    def ended(self) -> bool:
        return self.told[-1] is END.type


@pytest.fixture
def call() -> Call:
    return Call(Clock())


def test_a_turn_as_usual_is_told_as_it_is(call: Call) -> None:
    for event in (START, INTERIM, INTERIM, FINAL, END, START, INTERIM, FINAL, END):
        call.tell(event)
    call.live(60)
    assert [kind.name for kind in call.told[:5]] == [
        "START_OF_SPEECH",
        *["INTERIM_TRANSCRIPT"] * 2,
        "FINAL_TRANSCRIPT",
        "END_OF_SPEECH",
    ]
    assert len(call.told) == 9
    assert call.clock.waiting == []


def test_who_speaks_on_is_heard_for_as_long(call: Call) -> None:
    call.tell(START)
    call.live(70)
    assert not call.ended
    call.tell(FINAL)
    call.tell(END)
    assert call.ended


def test_a_start_is_told_once(call: Call) -> None:
    """The next session says it again."""
    call.tell(START)
    call.tell(START)
    assert call.told == [START.type]


@pytest.mark.parametrize("event", [START, INTERIM])
def test_an_end_when_no_turn_is_to_come(call: Call, event: SpeechEvent) -> None:
    call.tell(event)
    call.live(5)
    call.runner.awaits_turn = False
    call.live(1.5)
    assert call.told == [event.type, END.type]
    call.live(5)
    assert len(call.told) == 2


def test_an_end_in_silence_though_a_turn_is_to_come(call: Call) -> None:
    call.tell(INTERIM)
    call.runner.silent_seconds = QUIET_SECONDS - 0.1
    call.live(5)
    assert not call.ended
    call.runner.silent_seconds = QUIET_SECONDS
    call.live(1.5)
    assert call.ended
    call.tell(FINAL)  # it may come after all
    call.tell(END)
    assert call.told[-2:] == [FINAL.type, END.type]


def test_a_microphone_that_is_muted(call: Call) -> None:
    call.tell(START)
    call.live(3)
    call.clock.run(STALLED_SECONDS - 1)
    assert (call.runner.forced, call.ended) == (0, False)
    call.clock.run(2)
    assert (call.runner.forced, call.ended) == (1, False)
    call.clock.run(QUIET_SECONDS)
    assert (call.runner.forced, call.ended) == (1, True)


def test_the_end_of_the_stream_is_one(call: Call) -> None:
    call.speaking.end()
    assert call.told == []
    call.tell(START)
    call.speaking.end()
    assert call.ended
    assert call.clock.waiting == []


def test_it_holds_no_runner() -> None:
    clock = Clock()
    runner: Any = FakeRunner(awaits_turn=True)
    speaking = Speaking(runner, lambda event: None, clock)
    assert speaking.is_news(START)
    del runner
    clock.run(3)
    assert clock.waiting == []
