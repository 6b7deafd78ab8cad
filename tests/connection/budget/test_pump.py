"""A thread that works when it is woken, and when its work says so."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from queue import SimpleQueue

from aai_stream.connection.budget.pump import Pump


def test_it_works_when_woken_and_as_often_as_its_work_says() -> None:
    done: SimpleQueue[str] = SimpleQueue()
    waits: Iterator[float] = iter([0.0, 0.001, math.inf, math.inf])

    def work() -> float:
        done.put(threading.current_thread().name)
        return next(waits)

    pump = Pump(work)
    assert done.empty()
    pump.wake()
    assert {done.get(timeout=50) for _ in range(3)} == {"aai-stream budget"}
    pump.wake()
    assert done.get(timeout=50) == "aai-stream budget"
    assert done.empty()


def test_who_is_woken_at_work_works_once_more() -> None:
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def work() -> float:
        begun.release()
        go_on.acquire()
        return math.inf

    pump = Pump(work)
    pump.wake()
    assert begun.acquire(timeout=50)
    pump.wake()
    pump.wake()
    go_on.release()
    assert begun.acquire(timeout=50)
    go_on.release(9)
