"""Pictures of pages for the docs, each made by a command."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol


class Take(Protocol):
    """Puts a picture of a page, so wide and high, into a file."""

    def __call__(
        self, path: Path, *, dark: bool, width: int, height: int
    ) -> Coroutine[Any, Any, None]: ...


def make(take: Take, description: str | None, *, height: int) -> None:
    """Do what the command line asks for; `height` unless it says another one."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("path", type=Path)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=height)
    given = parser.parse_args()
    asyncio.run(
        take(given.path, dark=given.dark, width=given.width, height=given.height)
    )
