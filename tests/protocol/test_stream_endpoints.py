"""Turns that are ended by force: where in the audio, and again in the next session."""

from __future__ import annotations

from typing import Any

import pytest

from tests.audio import hum, speech
from tests.protocol.driver import CHUNK, PER_MS, RATE, Call, numbers
from tests.talks import final

FORCE = {"type": "ForceEndpoint"}


@pytest.mark.parametrize("flush", [False, True])
def test_an_endpoint_comes_behind_the_audio_that_waits(flush: bool) -> None:
    call = Call()
    call.push(1600)
    call.force_endpoint(flush=flush)
    call.push(1000)
    call.force_endpoint(flush=flush)
    peer = call.open()
    call.push(800)
    expected: list[Any] = [numbers(1, 800), numbers(801, 1600), FORCE]
    expected += [numbers(1601, 2400)]
    if flush:
        expected += [numbers(2401, 2600) + [0] * 600, FORCE, numbers(2601, 3400)]
    else:
        expected += [FORCE, numbers(2401, 3200)]
    assert peer.seen == expected


@pytest.mark.parametrize("flush", [False, True])
def test_an_endpoint_with_nothing_waiting_goes_at_once(flush: bool) -> None:
    call = Call()
    peer = call.open()
    call.force_endpoint(flush=flush)
    assert peer.asked == ["ForceEndpoint"]
    call.push(900)
    call.force_endpoint(flush=flush)
    assert peer.asked == ["ForceEndpoint"] * 2
    assert peer.seen[-1] == FORCE
    assert peer.audio[:900] == numbers(1, 900 if flush else 800)


@pytest.mark.parametrize("samples", [801, 1000, 1599])
def test_audio_behind_an_endpoint_is_in_front_of_it_by_less_than_a_chunk(
    samples: int,
) -> None:
    """Chunks are cut without regard to endpoints, while they wait."""
    call = Call()
    call.push(samples)
    call.force_endpoint(flush=True)
    call.push(3200)
    peer = call.open()
    before, _ = peer.around(FORCE)
    assert samples <= len(before) < samples + CHUNK


def test_audio_and_endpoints_wait_for_the_next_session_in_their_order() -> None:
    call = Call()
    first = call.open()
    call.push(RATE)
    first.cut()
    call.push(8000)
    call.force_endpoint()
    call.push(1600)
    second = call.open()
    before, behind = second.around(FORCE)
    assert before == numbers(1, RATE + 8000)
    assert behind == numbers(RATE + 8001, RATE + 9600)


def test_an_endpoint_that_was_not_answered_is_asked_for_again() -> None:
    call = Call()
    first = call.open()
    call.push(RATE)
    call.force_endpoint()
    assert first.asked == ["ForceEndpoint"]
    call.push(RATE)
    first.cut()
    second = call.open()
    assert second.asked == ["ForceEndpoint"]
    assert second.around(FORCE) == (numbers(1, RATE), numbers(RATE + 1, 2 * RATE))


def test_an_endpoint_that_was_answered_is_not() -> None:
    call = Call()
    first = call.open()
    call.push(RATE)
    call.force_endpoint()
    first.say(final(0, ("a", 100, 1000)))
    first.cut()
    call.push(RATE)
    assert call.open().asked == []


def test_a_forced_end_bounds_its_own_final() -> None:
    """Also when a later one was forced before that final came."""
    call = Call()
    peer = call.open()
    call.push(RATE)
    call.force_endpoint()
    call.push(RATE)
    call.force_endpoint()
    peer.say(final(0, ("Hello", 490, 740), ("world.", 740, 990)))
    assert call.acked_ms == 990
    peer.say(final(1, ("So.", 1700, 1950)))
    assert call.acked_ms == 1950


@pytest.mark.parametrize(("forces", "begins_ms"), [(False, 2000), (True, 1850)])
def test_what_sounds_on_behind_a_forced_end_is_the_next_turn_s(
    forces: bool, begins_ms: int
) -> None:
    """The word sounds on for 150 ms behind the end that its final gives it, which
    belongs to it; unless a turn was ended by force meanwhile."""
    call = Call()
    first = call.open()
    word = speech(2, 5000)
    call.write(word[: 2 * 1900 * PER_MS])
    if forces:
        call.force_endpoint()
    call.write(word[2 * 1900 * PER_MS :] + hum(1, 5))
    first.say(final(0, ("a", 100, 1850)))
    first.cut()
    second = call.open()
    assert second.session.timeline.to_stream_ms(0) == pytest.approx(begins_ms, abs=20)
