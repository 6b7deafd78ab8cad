"""Collects the code blocks of README.md and docs/, each as a test of its own:

pytest docs/livekit.md

What runs them is imported for pages only: other tests start without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> pytest.Collector | None:
    """A page, if it is one."""
    if file_path.suffix != ".md":
        return None
    from tests.docs.blocks import collect

    found: pytest.Collector | None = collect(file_path, parent)
    return found


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say which commands of the pages were checked, but not run, and why."""
    passed = terminalreporter.stats.get("passed", [])
    if not any("md::" in test.nodeid for test in passed):
        return
    from tests.docs.commands import NOT_RUN

    terminalreporter.section("commands of the docs that are checked, not run")
    for rule in NOT_RUN:
        terminalreporter.write_line(f"{rule.prefix}: {rule.why}")
