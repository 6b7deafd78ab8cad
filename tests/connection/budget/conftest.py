from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connection.budget.books import Fleet
from tests.redises import RedisServer, redis_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def fleet(server: RedisServer, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(server.url, tmp_path)
    yield fleet
    fleet.close()
