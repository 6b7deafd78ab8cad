"""What is sent again, to the sample, where audio is passed over meanwhile."""

from __future__ import annotations

import pytest

from aai_stream.messages import AudioLost, SilenceSkipped, Turn
from aai_stream.protocol.events import Admitted, Opened
from aai_stream.telemetry.counting import Counting
from tests.audio import hum, speech
from tests.protocol.driver import CHUNK, RATE, Call
from tests.telemetry.counted import Counted, all_values


def count(call: Call) -> tuple[Counted, Counting]:
    """What the metrics say of all that `call` told."""
    counted = Counted()
    counting = Counting(call.protocol, "local")
    for told in call.everything:
        if not isinstance(told, Turn):
            counting.take(told)
    counting.sample()
    return counted, counting


def audio(counted: Counted) -> dict[str, float]:
    return counted.of_each("audio_seconds_total", "outcome")


def test_all_of_it_is_sent_again() -> None:
    call = Call()
    first = call.open()
    call.push(3 * RATE)
    first.cut()
    call.push(RATE)
    second = call.open(id="session-2")
    assert len(second.audio) == 4 * RATE
    assert audio(count(call)[0]) == {"sent": 4.0, "replayed": 3.0}


def live(call: Call, seconds: float, peak: float) -> None:
    """Push audio as it is spoken."""
    said = speech(seconds, peak)
    for start in range(0, len(said), 2 * CHUNK):
        call.write(said[start : start + 2 * CHUNK])
        call.run(CHUNK / RATE)


def test_it_is_sent_again_twice() -> None:
    """The second time as far as it had come."""
    call = Call(catch_up_rate=1.25, skip_silence=False)
    first = call.open()
    live(call, 6, 5000)
    first.cut()
    second = call.open(id="session-2")
    call.run(2)
    second.cut()
    third = call.open(id="session-3")
    call.run(10)
    lengths = [len(peer.audio) / RATE for peer in (first, second, third)]
    assert 6 == lengths[0] == lengths[2] > lengths[1] > 2
    told = audio(count(call)[0])
    assert told["sent"] == pytest.approx(6.0)
    assert told["replayed"] == pytest.approx(6.0 + lengths[1])


def test_silence_in_it_is_not_sent_again() -> None:
    call = Call(replay_seconds=60)
    first = call.open()
    call.write(speech(2, 5000) + hum(30, 5))
    assert len(first.audio) == 32 * RATE  # before anything was decided of it
    first.cut()
    call.protocol.sending.pacer.rate = 1.25
    second = call.open(id="session-2")
    call.run(30)
    (skipped,) = call.all(SilenceSkipped)
    left_out = (skipped.end_sample - skipped.start_sample) / RATE
    assert left_out > 10
    again = len(second.audio) / RATE
    assert again == pytest.approx(32 - left_out)
    told = audio(count(call)[0])
    assert told == {
        "sent": pytest.approx(32.0),
        "replayed": pytest.approx(again),
        "skipped": round(left_out, 6),
    }


def test_what_is_lost_of_it_is_not_sent_again() -> None:
    call = Call(replay_seconds=5, skip_silence=False)
    first = call.open()
    call.push(4 * RATE)
    first.cut()
    second = call.ask().connect()
    second.has_room = False
    second.begin(id="session-2")
    call.push(4 * RATE)
    second.make_room()
    call.run(1)
    lost = sum(each.end_sample - each.start_sample for each in call.all(AudioLost))
    assert lost == 3 * RATE
    assert len(second.audio) == 5 * RATE
    told = audio(count(call)[0])
    assert told == {"sent": 8.0, "replayed": 1.0, "lost": 3.0}


def test_waiting_for_a_place_is_no_part_of_a_connect() -> None:
    call = Call()
    counted, counting = count(call)
    counting.take(Admitted(5.0))
    counting.take(Opened("session-1", "universal-3-6-pro", None, 6.5))
    counting.take(Opened("session-2", "universal-3-6-pro", None, 0.5))
    assert counted("connect_seconds_sum") == 2.0
    assert counted("admission_wait_seconds_sum") == 5.0


def gauges() -> list[float]:
    """Of streams and of what they hold, exactly."""
    names = "aai_stream_streams", "aai_stream_replay_buffer_seconds"
    return [
        sum(value for key, value in all_values().items() if key[0] == name)
        for name in names
    ]


def test_a_stream_leaves_nothing_in_the_gauges() -> None:
    """Whatever the rate: sums of floats would."""
    before = gauges()
    call = Call()
    call.open()
    counting = Counting(call.protocol, "local")
    for _ in range(10):
        call.push(1237)
        counting.sample()
    assert gauges() != before
    counting.end()
    assert gauges() == before
