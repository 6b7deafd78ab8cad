"""Every code block of the README and the docs, run as it is written, page by page.

A page has one reader, see `reader.py`, who does what it says from top to bottom. A
block with a title is an excerpt of the file of that name, and is not run but compared.
Any other block of a language that is not in `LANGUAGES` fails.
"""

from __future__ import annotations

import configparser
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from tests.docs import commands
from tests.docs.reader import Reader

ROOT = Path(__file__).parents[2]

_FENCES = RawFencedCodeBlockLexer(
    re.compile(r"(?P<language>[^\n]*?)(?: title=\"(?P<title>[^\n\"]+)\")?\n")
)
_SAVED = re.compile(r"Save this as `([\w./]+)`:\s*\Z")
_FAILS = re.compile(r"(?m)^\d+ failed\b")
"""Pytest, as a page shows it."""

_WHOLE_LINE = re.compile(r"(?m)^\$ ((?:.*\\\n)*.+)$")


def _run_python(reader: Reader, source: str, example: Example) -> None:
    before = example.document.text[: example.start]
    if saved := _SAVED.search(before):  # a command runs it
        reader.save(saved[1], source)
        return
    if failure := reader.run_python(source, f"{example.path}:{example.line}"):
        raise AssertionError(failure)


def _run_console(reader: Reader, source: str, example: Example) -> None:
    told = _WHOLE_LINE.findall(source)
    assert told, "no command begins with $"
    fails = _FAILS.search(source) is not None
    for command in told:
        commands.follow(reader, command, fails=fails)
    expected = _WHOLE_LINE.sub("", source).split("\n")
    reader.expect([line for line in expected if line.strip()])


def _apply(reader: Reader, source: str, example: Example) -> None:
    """What it changes, the commands below it show."""
    reader.save("page.diff", source)
    reader.run("git apply page.diff")


def _parsed_by(parse: Callable[[str], Any]) -> Callable[[Reader, str, Example], None]:
    def check(reader: Reader, source: str, example: Example) -> None:
        assert parse(source) is not None

    return check


def _read_ini(text: str) -> list[str]:
    """As a part of a systemd unit, which has its section elsewhere."""
    parser = configparser.ConfigParser()
    parser.read_string(f"[Service]\n{text}")
    return parser.options("Service") or None  # type: ignore[return-value]


def _is_read_elsewhere(reader: Reader, source: str, example: Example) -> None:
    """`test_architecture.py` holds the list of rooms, `test_site.py` the diagrams."""
    assert example.path.endswith("docs/architecture.md")


LANGUAGES: dict[str, Callable[[Reader, str, Example], None]] = {
    "python": _run_python,
    "console": _run_console,
    "diff": _apply,
    "json": _parsed_by(json.loads),
    "yaml": _parsed_by(yaml.safe_load),
    "ini": _parsed_by(_read_ini),
    "mermaid": _is_read_elsewhere,
    "": _is_read_elsewhere,
}


def check_excerpt(title: str, source: str) -> None:
    """The lines are in that file as they stand, but for their indentation."""
    lines = (ROOT / title).read_text().splitlines()
    shown = source.splitlines()
    assert any(
        textwrap.dedent("\n".join(lines[at : at + len(shown)])).splitlines() == shown
        for at in range(len(lines))
    ), f"not in {title}: {source}"


def _evaluate(example: Example) -> None:
    language, title, source = example.parsed
    if title is not None:
        check_excerpt(title, source)
        return
    assert language in LANGUAGES, f"who runs {language}?"
    if "reader" not in example.namespace:
        example.namespace["reader"] = Reader()
    LANGUAGES[language](example.namespace["reader"], source, example)


def _blocks(document: Document) -> Iterator[Region]:
    for fence in _FENCES(document):
        told = fence.lexemes
        parsed = (told["language"].strip(), told["title"], str(told["source"]))
        yield Region(fence.start, fence.end, parsed=parsed, evaluator=_evaluate)


def _get_up(namespace: dict[str, Any]) -> None:
    if "reader" in namespace:
        namespace["reader"].close()


collect = Sybil(
    parsers=[_blocks],
    path=str(ROOT),
    patterns=["README.md", "CONTRIBUTING.md", "docs/*.md", "docs/**/*.md"],
    teardown=_get_up,
).pytest()
