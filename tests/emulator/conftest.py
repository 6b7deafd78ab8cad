from __future__ import annotations

import pytest

from tests.emulator.helpers import ManualClock, PuppetEngine


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def engine() -> PuppetEngine:
    return PuppetEngine()
