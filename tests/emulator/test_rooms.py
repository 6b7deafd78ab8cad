"""Which of the emulator's rooms are loaded by which."""

from __future__ import annotations

import subprocess
import sys

import pytest

ROOMS = ("engines", "faults", "server")


@pytest.mark.parametrize(
    ("module", "loads"),
    [
        ("engines.marked", ["engines"]),
        ("engines.capture", ["engines"]),
        ("engines.pocketsphinx", ["engines"]),
        ("engines.worker", ["engines"]),
        ("faults", ["faults"]),
        ("faults.transport", ["faults"]),
        ("faults.running", ["faults"]),
    ],
)
def test_rooms_load_only_rooms_below_them(module: str, loads: list[str]) -> None:
    code = (
        f"import sys; import aai_stream.emulator.{module}; "
        f"print(*(r for r in {ROOMS} if 'aai_stream.emulator.' + r in sys.modules))"
    )
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.split() == loads
