"""The how-to pages of the examples: excerpts are the files', and commands run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.examples.pages import ROOT, cut_call
from tests.fleet.running import answers, free_port
from tests.servers import within

HOW_TO = ROOT / "docs" / "how-to"
NAMES = ["browser-tokens", "fastapi", "files", "testing-an-agent"]
BLOCK = re.compile(r"(?ms)^```(\w+)(?: title=\"(.+?)\")?\n(.*?)^```$")
WITH_A_KEY = "$ unset ASSEMBLYAI_BASE_URL\n$ export ASSEMBLYAI_API_KEY=…\n"


def blocks(name: str) -> list[tuple[str, str, str]]:
    """Language, file and text of each."""
    return BLOCK.findall((HOW_TO / f"{name}.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_excerpts_are_the_files(name: str) -> None:
    excerpts = [(file, text) for _, file, text in blocks(name) if file]
    assert excerpts
    for file, text in excerpts:
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        shown = text.splitlines()
        places = [
            textwrap.dedent("\n".join(lines[at : at + len(shown)]))
            for at in range(len(lines))
        ]
        assert text.rstrip("\n") in places, text


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = (HOW_TO / f"{name}.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", page):
        path, _, anchor = link.partition("#")
        if path.startswith("https:"):
            continue
        target = HOW_TO / path
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"(?m)^#+ (.+)$", target.read_text(encoding="utf-8"))
            assert anchor in [each.lower().replace(" ", "-") for each in headings], link


def commands(name: str) -> list[list[str]]:
    """What is typed in each block of a page that needs no key, but for pip: this
    environment has what it would install."""
    typed = []
    for language, _, text in blocks(name):
        if language == "console" and not text.startswith(WITH_A_KEY):
            lines = re.findall(r"(?m)^\$ (.+)$", text)
            pip = [line for line in lines if line.startswith("pip install")]
            for extras in re.findall(r"'\.\[([\w,]+)\]'", " ".join(pip)):
                assert set(extras.split(",")) <= EXTRAS
            typed.append([line for line in lines if line not in pip])
    return typed


EXTRAS = set(
    re.findall(r"(?m)^(\w+) = \[$", (ROOT / "pyproject.toml").read_text("utf-8"))
)


@asynccontextmanager
async def typing(
    folder: Path, lines: list[str], ports: dict[str, int]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A shell in which they are typed, in a clone's folder. Other ports are used, so
    that two tests may do this at once. What is told goes to the file `told`. All that
    was started ends with it."""
    script = "\n".join(["set -e", *lines])
    script = script.replace("stream serve", f"stream serve --port {ports['8765']}")
    script = script.replace(":8765", f":{ports['8765']}")
    script = re.sub(r"^uvicorn", f"uvicorn --port {ports['8000']}", script, flags=re.M)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
    }
    environment.pop("ASSEMBLYAI_API_KEY", None)
    with (folder / "told").open("wb") as told:
        shell = await asyncio.create_subprocess_exec(
            *("bash", "-c", script),
            cwd=folder,
            env=environment,
            stdout=told,
            start_new_session=True,
        )
    try:
        yield shell
    finally:
        with contextlib.suppress(ProcessLookupError):  # nothing of it is left
            os.killpg(shell.pid, signal.SIGTERM)
        await shell.wait()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the examples, whose call is shorter."""
    (tmp_path / "examples").mkdir()
    for path in (ROOT / "examples").iterdir():
        (tmp_path / "examples" / path.name).symlink_to(path)
    call = tmp_path / "examples" / "call.wav"
    call.unlink()
    cut_call(call, 3.5)
    return tmp_path


@pytest.fixture
def ports() -> dict[str, int]:
    return {"8765": free_port(), "8000": free_port()}


@pytest.mark.parametrize("name", ["fastapi", "browser-tokens"])
async def test_a_page_is_served(name: str, clone: Path, ports: dict[str, int]) -> None:
    (lines,) = commands(name)
    async with typing(clone, lines, ports), aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{ports['8000']}"
        await answers(http, url)
        async with http.get(f"{url}/static/page.js") as script:
            assert script.status == 200


async def test_recordings(clone: Path, ports: dict[str, int]) -> None:
    command_line, program = commands("files")
    async with typing(clone, command_line, ports) as shell:
        assert await within(20, shell.wait()) == 0
    subtitles = clone / "subtitles"
    assert "john miller" in (subtitles / "call.srt").read_text()
    (shown,) = (text for _, _, text in blocks("files") if "done before" in text)
    async with typing(clone, program, ports) as shell:
        assert await within(20, shell.wait()) == 0
    told = (clone / "told").read_text().splitlines()
    assert [line for line in told if line.startswith("examples/")] == [
        line for line in shown.splitlines() if not line.startswith("$")
    ]
    assert "john miller" in (subtitles / "call.wav.srt").read_text()


async def test_an_agent_is_tested(clone: Path, ports: dict[str, int]) -> None:
    (lines,) = commands("testing-an-agent")
    async with typing(clone, lines, ports) as shell:
        status = await within(20, shell.wait())
    told = (clone / "told").read_text()
    assert status == 0, told
    assert re.search(r"\b7 passed\b", told)
