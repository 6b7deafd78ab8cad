"""docs/debugging.md leads from a recorded call to a test, which fails until the fix."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from aai_stream.recorder.reading import read_call
from examples.debugging import make_call

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "debugging.md").read_text()
EXAMPLE = ROOT / "examples" / "debugging"
PAGES_URL = "ws://127.0.0.1:8765"
MAIN = "from aai_stream.cli import main; main()"


def blocks(language: str) -> list[str]:
    """The page's fenced blocks of one language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", PAGE)


def commands() -> list[str]:
    """What the page's reader types, in order."""
    return re.findall(r"(?m)^\$ (.+)$", "\n".join(blocks("console")))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of the repository, as far as the page needs one."""
    shutil.copytree(EXAMPLE, tmp_path / "examples" / "debugging")
    shutil.copy(ROOT / "examples" / "call.wav", tmp_path / "examples")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.fixture
def address(clone: Path) -> Iterator[str]:
    """Where the page's `aai-stream serve` listens; on any port that is free."""
    (served,) = (each for each in commands() if each.startswith("aai-stream serve"))
    block = next(each for each in blocks("console") if served in each)
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, *shlex.split(served)[1:], "--port", "0"],
        cwd=clone,
        env=environment(clone),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline() + process.stdout.readline()
            (url,) = re.findall(r"ws://[\d.:]+", said)
            told = said.replace(url, PAGES_URL)
            assert block == f"$ {served}\n{told}"
            yield url
        finally:
            process.terminate()


def environment(clone: Path) -> dict[str, str]:
    """That of a terminal in the clone, without a key."""
    inherited = {n: v for n, v in os.environ.items() if n != "ASSEMBLYAI_API_KEY"}
    return {**inherited, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{clone}"}


def run(command: str, clone: Path) -> subprocess.CompletedProcess[str]:
    """What becomes of a command that is typed in the clone."""
    program, *arguments = shlex.split(command)
    starts = {"aai-stream": ["-c", MAIN], "python": []}[program]
    return subprocess.run(
        [sys.executable, *starts, *arguments],
        cwd=clone,
        env=environment(clone),
        capture_output=True,
        text=True,
    )


def test_commands_do_what_the_page_says(clone: Path, address: str) -> None:
    left = [c for c in commands() if not c.startswith(("aai-stream serve", "python"))]
    assert len(left) == 5
    for command in left:
        done = run(command.replace(PAGES_URL, address), clone)
        assert done.returncode == 0, done.stderr
        if "--url" in command:
            assert done.stdout.splitlines() == [
                "Hello this is John Miller speaking.",
                "I need to change my appointment on Monday morning.",
                "My account number is seven three nine four five eight.",
            ]
            assert "code 1006; trying again" in done.stderr


def test_the_test_fails_before_the_fix_and_passes_after_it(clone: Path) -> None:
    (command,) = (each for each in commands() if each.startswith("python"))
    failed = run(command, clone)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    (why,) = re.findall(r"(?s)It fails: `(.*?)`", PAGE)
    assert why.replace("\n", " ") in failed.stdout

    (diff,) = blocks("diff")
    name = re.findall(r"(?m)^\+\+\+ b/(.+)$", diff)[0]
    old = "".join(re.findall(r"(?m)^-(?!--)(.*\n)", diff))
    new = "".join(re.findall(r"(?m)^\+(?!\+\+)(.*\n)", diff))
    code = (clone / name).read_text()
    assert code.count(old) == 1
    (clone / name).write_text(code.replace(old, new))
    passed = run(command, clone)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "1 passed" in passed.stdout


def test_the_page_shows_the_test() -> None:
    (shown,) = blocks("python")
    assert shown in (EXAMPLE / "test_frontdesk.py").read_text()


def test_the_call_is_what_its_script_makes(tmp_path: Path) -> None:
    path = tmp_path / "unheard.aai"
    make_call.main(path)
    made, kept = read_call(path), read_call(EXAMPLE / "unheard.aai")
    assert (made.meta, made.entries) == (kept.meta, kept.entries)
    assert made.audio.tolist() == kept.audio.tolist()
    assert (EXAMPLE / "unheard.aai").stat().st_size < 150_000
    with zipfile.ZipFile(path) as archive, archive.open("audio.flac") as flac:
        assert soundfile.info(flac).samplerate == kept.meta.sample_rate
