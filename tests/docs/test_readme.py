"""The README leads somewhere: in the repository, and where nothing but it is shown."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
LINK = re.compile(r"\]\(([^)]+)\)")

sys.path.insert(0, str(ROOT / "src"))
from _readme import as_description  # noqa: E402, which setup.py takes from there too


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_a_package_index_shows_no_link_that_leads_nowhere() -> None:
    shown = as_description(README)
    assert all(link.startswith("https://") for link in LINK.findall(shown))
    assert "![" not in shown
    assert "as the embedded server's console shows it" not in shown
    for sentence in (
        "lists, option by option",
        "The LiveKit plugin",
        "make demo",
    ):
        assert sentence in shown
