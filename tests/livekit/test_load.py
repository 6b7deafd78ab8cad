"""How full a worker says it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from aai_stream.connection.connector import Connector
from aai_stream.connection.credentials import Credentials
from aai_stream.errors import OptionError
from aai_stream.livekit.load import Sample, load_fnc, load_of, memory_share
from tests.servers import until, within


@pytest.mark.parametrize(
    ("samples", "load"),
    [
        pytest.param([], 0.0, id="nothing is known yet"),
        pytest.param([(0.5, 0.1, 0)], 0.5, id="CPU"),
        pytest.param([(0.2, 0.1, 0), (0.8, 0.1, 0)], 0.5, id="CPU, a while"),
        pytest.param([(0.1, 0.9, 0), (0.1, 0.6, 0)], 0.6, id="memory, now"),
        pytest.param([(0.1, 0.1, 70)], 0.7, id="lag"),
        pytest.param([(0, 0, 0), (0, 0, 900), (0, 0, 10)], 0.1, id="late once"),
        pytest.param([(1.3, 0.1, 0)], 1.0, id="full"),
    ],
)
def test_it_is_the_highest_of_all(
    samples: list[tuple[float, float, float]], load: float
) -> None:
    told = load_of([Sample(*sample) for sample in samples], most_lag_ms=100)
    assert told == pytest.approx(load)


@pytest.mark.parametrize("bad", [0, -1, float("nan"), "100", None])
def test_a_lag_that_is_none(bad: Any) -> None:
    with pytest.raises(OptionError, match="most_lag_ms must be above 0"):
        load_fnc(most_lag_ms=bad)


def container(folder: Path, limit: str) -> Path:
    """One whose programs have taken 700 bytes, 200 of them for files."""
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text("700\n")
    (folder / "memory.stat").write_text("anon 500\ninactive_file 200\n")
    return folder


def test_memory_is_a_share_of_what_a_container_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Memory:
        percent = 25.0

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    assert memory_share(container(tmp_path, "1000")) == 0.5
    assert memory_share(container(tmp_path, "max")) == 0.25
    assert memory_share(container(tmp_path, "10000")) == 0.25  # the host is fuller
    assert memory_share(tmp_path / "none") == 0.25


async def test_an_account_that_is_full_makes_a_worker_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker has no streams itself: its jobs do."""
    monkeypatch.setattr("aai_stream.livekit.load.load_of", lambda *_: 0.25)
    url = "ws://127.0.0.1:1"
    load = load_fnc(base_url=url, max_sessions=4)
    assert await asyncio.to_thread(load) == 0.25
    job = Connector(Credentials(host="127.0.0.1"), url, max_sessions=4)
    places = [await within(5, job.admit(lambda: 0.0)) for _ in range(3)]
    assert await asyncio.to_thread(load) == 0.75
    for place in places:
        assert place is not None
        place.release()
    assert await asyncio.to_thread(load) == 0.25


@pytest.mark.parametrize("bad", [0, 1.5, "9"])
def test_sessions_that_are_none(bad: Any) -> None:
    with pytest.raises(OptionError, match="max_sessions must be a whole number"):
        load_fnc(max_sessions=bad, base_url="ws://127.0.0.1:1")


async def test_this_host_has_a_load() -> None:
    load = load_fnc()
    assert load() == 0.0
    await until(lambda: load() > 0)
    assert load() <= 1
