"""What a reader does with a command of the docs: runs it, or, where that can't be,
checks what it names.
"""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import typer.main

from aai_stream.cli import app
from tests.docs.reader import Reader

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]

LASTING = (
    "aai-stream listen",
    "aai-stream serve",
    "aai-stream top",
)
"""Commands that go on until Ctrl-C."""

PAGE = "http://127.0.0.1:8000/static/page.js"
"""What a browser loads from our examples' uvicorn."""


def follow(reader: Reader, command: str, *, fails: bool = False) -> None:
    """Do what a line says that begins with $; the page may show that it fails."""
    for rule in NOT_RUN:
        if command.startswith(rule.prefix) and not command.endswith(rule.but_not):
            rule.check(shlex.split(command, comments=True))
            return
    if command.endswith("&"):
        reader.begin(command.removesuffix("&"))
    elif command.startswith("uvicorn"):  # with the key that the page says to export
        reader.begin(f"ASSEMBLYAI_API_KEY=any {command}")
        reader.run(f"curl --fail --retry 9 --retry-delay 1 --retry-connrefused {PAGE}")
        reader.interrupt()
    elif command.startswith(LASTING) and "--once" not in command:
        reader.begin(command)
        reader.interrupt()
    elif command.startswith("curl"):  # what it asks may not be up yet
        reader.run(f"until {command}; do sleep 0.2; done")
    else:
        reader.run(command, fails=fails)


def _extras_exist(words: Sequence[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    package, *others = words[2:]
    asked = re.fullmatch(r"\.(?:\[([a-z,]+)\])?", package)
    assert asked, package
    assert set(others) <= {each.name for each in distributions()}
    unknown = set((asked[1] or "").split(",")) - {"", *project["optional-dependencies"]}
    assert not unknown


def _targets_exist(words: Sequence[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in words[1:]:
        name, is_variable, _ = target.partition("=")
        wanted = rf"(?m)^{name} \?=" if is_variable else rf"(?m)^{name}:.* ##"
        assert re.search(wanted, makefile), target


def _files_exist(words: Sequence[str]) -> None:
    for word in words:
        if word.startswith(("examples/", "docs/", "benchmarks/", "tests/")):
            assert (ROOT / word).exists(), word


def _options_exist(words: Sequence[str]) -> None:
    """Of a command of ours, or of a module with argparse."""
    if words[0] == "aai-stream":
        command = typer.main.get_command(app).commands[words[1]]  # type: ignore[attr-defined]
        known = {name for each in command.params for name in each.opts}
    else:
        known = _options_of(words[2])
    assert {word for word in words if word.startswith("--")} <= known


@functools.cache
def _options_of(module: str) -> set[str]:
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(re.findall(r"--[a-z-]+", done.stdout))


def _is_here_already(words: Sequence[str]) -> None:
    """The tests run in such an environment."""


@dataclass(frozen=True)
class NotRun:
    """Commands that begin so, unless they end so; why they are not run; and what is
    checked instead."""

    prefix: str
    why: str
    check: Callable[[Sequence[str]], None]
    but_not: str = "\0"


NOT_RUN = [
    NotRun("pip install", "extras exist, other packages are installed", _extras_exist),
    NotRun("python3 -m venv", "the tests run in one", _is_here_already),
    NotRun(". .venv/bin/activate", "the tests run in it", _is_here_already),
    NotRun("export ASSEMBLYAI_API_KEY=…", "only you have the key", _is_here_already),
    NotRun("export GRAFANA_PASSWORD=…", "likewise", _is_here_already),
    NotRun("export LIVEKIT_URL=…", "likewise", _is_here_already),
    NotRun("make", "targets exist; they run these tests", _targets_exist),
    NotRun("docker", "files exist; there is no Docker", _files_exist),
    NotRun("kubectl", "files exist; there is no Kubernetes", _files_exist),
    NotRun(
        "python -m livekit.agents start",
        "files exist; needs LiveKit's server, but where it has a stand-in",
        _files_exist,
        but_not="&",
    ),
    NotRun("apt-get install", "changes the machine", _is_here_already),
    NotRun("aai-stream bench", "options exist; takes minutes", _options_exist),
    NotRun(
        "aai-stream doctor --conformance",
        "options exist; tests/doctor asks the same",
        _options_exist,
    ),
    NotRun("python -m benchmarks", "options exist; takes minutes", _options_exist),
    NotRun("pgrep", "looks at the load of `bench`", _is_here_already),
    NotRun("py-spy", "profiles the load of `bench`", _is_here_already),
    NotRun("perf", "profiles the load of `bench`", _is_here_already),
]
