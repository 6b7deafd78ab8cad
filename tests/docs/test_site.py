"""The site that `make docs` builds has everything that is public, and loads nothing."""

from __future__ import annotations

import inspect
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

import aai_stream
from aai_stream import errors, messages, metrics
from aai_stream import livekit as plugin
from aai_stream.cli import app
from aai_stream.emulator import faults, server
from aai_stream.parameters import RENAMED
from aai_stream.recorder import reading
from website import diagrams

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


class Page(HTMLParser):
    """A built page: the ids in it, its text, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.loads: list[str] = []
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(
        self, tag: str, attributes: list[tuple[str, str | None]]
    ) -> None:
        given = {name: value or "" for name, value in attributes}
        self.ids.add(given.get("id", ""))
        if tag != "a":
            self.loads += [given[name] for name in ("src", "href") if name in given]

    def handle_data(self, data: str) -> None:
        self.text += data


def page(site: Path, name: str) -> Page:
    return Page(site / "reference" / f"{name}.html")


def public_names(module: ModuleType) -> list[str]:
    """What `__all__` names; without one, the classes and functions of its own."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
    ]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (aai_stream, "aai_stream"),
        (messages, "messages"),
        (errors, "errors"),
        (plugin, "livekit"),
        (server, "emulator"),
        (faults, "emulator"),
        (metrics, "metrics"),
        (reading, "recordings"),
    ],
)
def test_every_public_name_is_in_the_reference(
    site: Path, module: ModuleType, name: str
) -> None:
    names = {f"{module.__name__}.{each}" for each in public_names(module)}
    assert len(names) > 0
    assert (
        names - page(site, name).ids - {"aai_stream.errors", "aai_stream.messages"}
        == set()
    )


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (aai_stream.connect, "aai_stream"),
        (aai_stream.transcribe, "aai_stream"),
        (plugin.STT, "livekit"),
    ],
)
def test_every_keyword_is_in_the_reference(
    site: Path, function: type, name: str
) -> None:
    """By itself, or in the table of parameters."""
    keywords = set(inspect.signature(function).parameters) - {"parameters"}
    assert len(keywords) > 20
    explained = words(page(site, name)) | words(page(site, "parameters"))
    assert keywords - explained == set()


def words(page: Page) -> set[str]:
    return set(re.findall(r"[a-z_]+", page.text))


def test_every_field_of_the_statistics_is_explained(site: Path) -> None:
    fields = {
        f"aai_stream.StreamStats.{name}"
        for name in inspect.signature(aai_stream.StreamStats).parameters
    }
    assert fields - page(site, "aai_stream").ids == set()


def test_every_parameter_is_in_its_table(site: Path) -> None:
    text = page(site, "parameters").text
    rows = set(re.findall(r"(?m)^([a-z_]+)$", text))
    assert aai_stream.PARAMETERS.keys() | RENAMED.keys() <= rows


def test_every_parameter_is_said_to_do_something() -> None:
    """In a sentence that a table has room for."""
    told = {name: each.does for name, each in aai_stream.PARAMETERS.items()}
    sentence = re.compile(r"[A-Z`][^|\n]{10,160}\.")
    assert [name for name, does in told.items() if not sentence.fullmatch(does)] == []


def test_every_engine_is_in_the_reference(site: Path) -> None:
    """Those that docs/embedded-server.md names, and what recordings are read by."""
    table = (DOCS / "embedded-server.md").read_text().partition("## Engines")[2]
    engines = re.findall(r"(?m)^\| `(\w+\.\w+)\(", table)
    assert len(engines) == 4
    names = {f"aai_stream.emulator.engines.{each}" for each in engines}
    assert names - page(site, "emulator").ids == set()


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    text = page(site, "command-line").text
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    assert "transcribe" in commands
    for name, command in commands.items():
        _, found, section = text.partition(f"aai-stream {name}¶")
        assert found, name
        section = section.partition("¶")[0]
        options = {opt for each in command.params for opt in each.opts}
        told = set(re.findall(r"--?[a-z-]+", section))
        assert {each for each in options if each.startswith("-")} - told == set()


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    loaded = [load for path in pages for load in Page(path).loads]
    assert [load for load in loaded if re.match(r"[a-z]*:?//", load)] == []
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"url\(['\"]?(?:https?:)?//[^)]*|@import[^;]*", styles) == []
    # Material's script would fetch Mermaid, if it found a diagram to draw.
    assert [path for path in pages if 'class="mermaid"' in path.read_text()] == []


def test_every_diagram_is_drawn_and_every_drawing_used() -> None:
    wanted = {
        diagrams.drawing(source)
        for path in DOCS.rglob("*.md")
        for source in diagrams.sources(path.read_text())
    }
    there = {f"diagrams/{path.name}" for path in DOCS.glob("diagrams/*.svg")}
    assert wanted
    assert there == wanted, "python -m website.diagrams draws them"
