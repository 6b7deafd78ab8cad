"""Cursors, chunks, memory and accounts of `AudioRing`; see also the properties."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from aai_stream._core import AudioRing
from aai_stream.errors import AudioError, StateError
from tests import reference
from tests.audio import count_up, next_chunk, to_samples

RATE = 16000


# -- chunks --


@pytest.mark.parametrize(
    ("chunk_ms", "samples"),
    [(30, 480), (50, 800), (0.1 * 3 * 100, 480), (62.5, 1000), (1000, 16000), (1, 16)],
)
def test_chunks_have_the_exact_length(chunk_ms: float, samples: int) -> None:
    ring = AudioRing(RATE, chunk_ms=chunk_ms)
    assert (ring.chunk_ms, ring.chunk_samples) == (chunk_ms, samples)
    ring.write(count_up(0, samples - 1), RATE)
    assert ring.next_chunk() is None
    ring.write(count_up(samples - 1, 1), RATE)
    chunk = next_chunk(ring)
    assert bytes(chunk) == count_up(0, samples)
    assert (chunk.start, chunk.samples, chunk.padding) == (0, samples, 0)
    assert len(chunk) == 2 * samples
    assert ring.next_chunk() is None


def test_a_fraction_of_a_sample_is_rounded_up() -> None:
    assert AudioRing(11025, chunk_ms=50).chunk_samples == 552  # of 551.25
    assert AudioRing(44100, chunk_ms=0.1 * 3 * 100).chunk_samples == 1323


def test_chunk_ms_may_change_at_any_time() -> None:
    ring = AudioRing(RATE, chunk_ms=50, replay_seconds=1)
    ring.write(count_up(0, 5000), RATE)
    start = 0
    for chunk_ms in [50, 7, 200, 1, 50]:
        ring.chunk_ms = chunk_ms
        assert bytes(next_chunk(ring)) == count_up(start, 16 * chunk_ms)
        start += 16 * chunk_ms
    with pytest.raises(AudioError, match="chunk_ms must be from 1 to 1000, not 0"):
        ring.chunk_ms = 0
    assert (ring.chunk_ms, ring.sent) == (50, start)


def test_longer_chunks_than_the_ring_was_made_for() -> None:
    ring = AudioRing(1000, chunk_ms=1, replay_seconds=1)
    ring.write(count_up(0, 900), 1000)
    ring.chunk_ms = 1000
    ring.write(count_up(900, 100), 1000)
    assert bytes(next_chunk(ring)) == count_up(0, 1000)
    ring.chunk_ms = 1
    for start in range(1000, 5000, 10):
        ring.write(count_up(start, 10), 1000)
        for offset in range(10):
            assert bytes(next_chunk(ring)) == count_up(start + offset, 1)
    assert ring.memory_bytes == 2 * (1000 + 1)


@pytest.mark.parametrize("step", [1, 37])
@pytest.mark.parametrize("chunk_ms", [*range(1, 40), 249, 250, 251, 500, 1000])
def test_chunks_of_any_length_lie_in_one_piece_over_the_end(
    chunk_ms: int, step: int
) -> None:
    ring = AudioRing(1000, chunk_ms=chunk_ms, replay_seconds=2)
    sent = 0
    for start in range(0, 7400, step):
        ring.write(count_up(start, step), 1000)
        while (chunk := ring.next_chunk()) is not None:
            assert bytes(chunk) == count_up(sent, chunk_ms)
            sent += chunk_ms
            ring.ack(sent)
    assert sent == 7400 // chunk_ms * chunk_ms


def test_a_chunk_is_a_read_only_buffer_of_bytes() -> None:
    ring = AudioRing(RATE)
    ring.write(count_up(0, 1600), RATE)
    view = memoryview(next_chunk(ring))
    assert (view.format, view.itemsize, view.nbytes) == ("B", 1, 1600)
    assert (view.readonly, view.contiguous, view.ndim) == (True, True, 1)
    with pytest.raises(TypeError, match="read-write"):
        io.BytesIO(b"!").readinto(next_chunk(ring))


# -- flush --


@pytest.mark.parametrize("min_ms", [0, 20, 50, 75, 1000])
@pytest.mark.parametrize("samples", [1, 159, 320, 799, 800, 801, 2399, 2400])
@pytest.mark.parametrize(
    ("encoding", "silence"), [("pcm_s16le", b"\0\0"), ("pcm_mulaw", b"\xff")]
)
def test_flush_pads_the_tail_and_does_not_count_it(
    min_ms: int, samples: int, encoding: str, silence: bytes
) -> None:
    ring = AudioRing(RATE, encoding=encoding)  # type: ignore[arg-type]
    ring.write(count_up(5, samples), RATE)
    chunks = ring.flush(min_ms)
    rest = samples % 800
    padding = max(16 * min_ms - rest, 0) if rest else 0
    assert ring.padded_samples == padding
    assert (ring.sent, ring.written) == (samples, samples)
    assert sum(chunk.samples for chunk in chunks) == samples
    assert [chunk.padding for chunk in chunks][:-1] == [0] * (len(chunks) - 1)
    assert chunks[-1].padding == padding
    model = reference.Ring(RATE, encoding, 50, 30)
    audio = model.encode(to_samples(count_up(5, samples))) + silence * padding
    assert b"".join(map(bytes, chunks)) == audio
    assert ring.flush(min_ms) == []
    ring.ack(samples)


def test_a_padded_tail_can_be_replayed_without_its_padding() -> None:
    ring = AudioRing(RATE)
    ring.write(count_up(0, 100), RATE)
    (tail,) = ring.flush()
    assert bytes(tail) == count_up(0, 100) + bytes(1400)
    ring.rewind(0)
    ring.write(count_up(100, 700), RATE)
    assert bytes(next_chunk(ring)) == count_up(0, 800)


@pytest.mark.parametrize("min_ms", [-1, 1001, None, "50", float("nan")])
def test_flush_refuses_other_minimums(min_ms: object) -> None:
    ring = AudioRing(RATE)
    ring.write(bytes(400), 24000)
    with pytest.raises(AudioError, match="min_ms must be from 0 to 1000, not"):
        ring.flush(min_ms)  # type: ignore[arg-type]
    assert ring.pending_ms > 0


# -- cursors --


def test_ack_and_rewind_move_their_cursors() -> None:
    ring = AudioRing(RATE)
    ring.write(count_up(0, 3000), RATE)
    next_chunk(ring)
    next_chunk(ring)
    ring.ack(500)
    ring.ack(300)  # a late answer changes nothing
    assert (ring.acked, ring.sent, ring.written) == (500, 1600, 3000)
    ring.rewind(600)
    again = next_chunk(ring)
    assert (again.start, bytes(again)) == (600, count_up(600, 800))
    assert ring.sent_seconds == 1400 / 16000
    assert ring.written_seconds == 3000 / 16000


@pytest.mark.parametrize("sample", [-1, 801, 2**70, 1.0, None, True])
def test_ack_refuses_what_was_not_sent(sample: object) -> None:
    ring = AudioRing(RATE)
    ring.write(count_up(0, 2000), RATE)
    next_chunk(ring)
    with pytest.raises(AudioError, match=f"ack must .* from 0 to 800, not {sample}"):
        ring.ack(sample)  # type: ignore[arg-type]
    assert (ring.acked, ring.sent) == (0, 800)


@pytest.mark.parametrize("sample", [99, 801, -(2**70), 500.5, "500"])
def test_rewind_refuses_what_is_not_kept(sample: object) -> None:
    ring = AudioRing(RATE)
    ring.write(count_up(0, 2000), RATE)
    next_chunk(ring)
    ring.ack(100)
    with pytest.raises(AudioError, match=r"rewind must .* from 100 to 800, not"):
        ring.rewind(sample)  # type: ignore[arg-type]
    assert (ring.acked, ring.sent) == (100, 800)


# -- threads --


CALLS: dict[str, Callable[[AudioRing], object]] = {
    "write": lambda ring: ring.write(b"\0\0", 24000),
    "drain": AudioRing.drain,
    "next_chunk": AudioRing.next_chunk,
    "flush": AudioRing.flush,
    "ack": lambda ring: ring.ack(0),
    "rewind": lambda ring: ring.rewind(0),
    "chunk_ms": lambda ring: setattr(ring, "chunk_ms", 20),
    "check_owner": AudioRing.check_owner,
}


def in_another_thread(call: Callable[[], object]) -> BaseException | None:
    caught: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except StateError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return caught[0] if caught else None


@pytest.mark.parametrize("call", CALLS)
def test_another_thread_is_refused(call: str) -> None:
    ring = AudioRing(RATE)
    ring.write(bytes(1600), 24000)
    before = (ring.written, ring.sent, ring.pending_ms, ring.chunk_ms)
    error = in_another_thread(lambda: CALLS[call](ring))
    assert isinstance(error, StateError)
    assert "belongs to the thread that used it first" in str(error)
    assert before == (ring.written, ring.sent, ring.pending_ms, ring.chunk_ms)
    assert ring.memory_bytes >= 0  # what only reads may come from anywhere
    CALLS[call](ring)


@pytest.mark.parametrize("call", CALLS)
def test_the_first_use_binds_a_ring_not_its_making(call: str) -> None:
    ring = AudioRing(RATE)
    ring.chunk_ms = 30
    assert in_another_thread(lambda: CALLS[call](ring)) is None
    if call in ("chunk_ms", "check_owner"):
        ring.next_chunk()
    else:
        with pytest.raises(StateError):
            ring.next_chunk()


IN_A_FORK = """
import os
from tests.test_core_ring import CALLS, RATE, AudioRing, StateError

used, unused = AudioRing(RATE), AudioRing(RATE)
used.write(bytes(1600), 24000)
if os.fork():
    status = os.waitpid(-1, 0)[1]
    used.write(bytes(1600), 24000)
    unused.write(bytes(1600), 24000)
    os._exit(os.waitstatus_to_exitcode(status))
for call in CALLS.values():
    try:
        call(used)
    except StateError as error:
        assert "belongs to the process that used it first" in str(error), error
    else:
        os._exit(1)
unused.write(bytes(1600), 24000)
if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1]))
try:
    unused.next_chunk()
except StateError:
    os._exit(0)
os._exit(2)
"""


def test_a_fork_is_refused() -> None:
    """A ring that was made before, and not used, is the first user's."""
    run = subprocess.run(
        [sys.executable, "-c", IN_A_FORK], cwd=Path(__file__).parents[1], timeout=50
    )
    assert run.returncode == 0
