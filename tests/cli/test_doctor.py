"""`aai-stream doctor`: lines, JSON, exit statuses, and what it keeps to itself."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
from typer.testing import CliRunner, Result

from aai_stream.cli import app
from aai_stream.cli import doctor as command
from aai_stream.doctor.conformance import Question
from aai_stream.doctor.conversing import Server
from aai_stream.emulator.engines.script import ScriptEngine
from aai_stream.emulator.server import Emulator
from aai_stream.errors import EngineError
from tests.cli.conftest import in_thread

OFFLINE = "ASSEMBLYAI_API_KEY is not set: examining the embedded server, offline\n"
SECRET = "a-key-that-nobody-may-see"


class Deaf(ScriptEngine):
    """A recogniser that isn't installed."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity=capacity)

    async def start(self) -> None:
        raise EngineError("pip install it")


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setattr(command, "PocketsphinxEngine", Deaf)


@pytest.fixture
def url() -> Iterator[str]:
    """A server that takes another key."""

    @contextlib.asynccontextmanager
    async def server() -> AsyncIterator[str]:
        async with Emulator(ScriptEngine(), api_keys={"right"}) as emulator:
            yield emulator.url

    with in_thread(server()) as url:
        yield url


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_without_a_key_the_embedded_server_is_examined() -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert result.stderr == OFFLINE
    lines = result.stdout.splitlines()
    assert lines[0].startswith("✓ Python: ")
    assert "✓ sessions at once: 2 opened" in result.stdout
    assert lines[-2:] == [
        "! words: the embedded server can't hear",
        "    pip install pocketsphinx for speech recognition offline",
    ]


def test_json() -> None:
    result = run("--json", "--sessions", "3")
    assert result.exit_code == 0
    findings = {finding["name"]: finding for finding in json.loads(result.stdout)}
    assert findings["compiled core"]["status"] == "fine"
    assert findings["127.0.0.1: session"]["seconds"] > 0
    assert findings["sessions at once"]["found"].startswith("3 opened")
    assert findings["words"]["status"] == "doubtful"


def test_what_is_wrong_is_the_exit_status(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", SECRET)
    monkeypatch.setenv("https_proxy", f"http://me:{SECRET}@proxy:3128")
    result = run("--url", url)
    assert result.exit_code == 1
    assert "✗ 127.0.0.1: session: Unauthorized Connection: Invalid" in result.stdout
    assert "! account, round trip: not checked" in result.stdout
    assert "! proxies: https: http://***@proxy:3128; not used" in result.stdout
    assert SECRET not in result.output


@pytest.mark.parametrize("arguments", [(), ("--conformance",)])
def test_a_server_elsewhere_needs_a_key(arguments: tuple[str, ...]) -> None:
    result = run("--url", "wss://example.com", *arguments)
    assert result.exit_code == 2
    assert "set ASSEMBLYAI_API_KEY" in result.stderr


@pytest.mark.parametrize("url", ["wss://[", "nonsense", f"wss://{SECRET}@host"])
def test_what_is_no_address_is_bad_usage(url: str) -> None:
    result = run("--url", url)
    assert result.exit_code == 2
    assert "base_url must look like" in result.stderr
    assert result.stdout == ""
    assert SECRET not in result.output


def test_ctrl_c_when_it_asks(url: str) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from aai_stream.cli import main; main()"),
            *("doctor", "--conformance", "--url", url),
        ],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while b"Go on?" not in shown:
        shown += os.read(ours, 4096)
    # One that comes after the prompt and before `input` reads is seen by the next.
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
            break
    assert process.poll() in (130, -signal.SIGINT)
    os.close(ours)


async def _good(server: Server, speech: bytes) -> str:
    return "well"


@pytest.fixture
def _two_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [
        Question("how it is", ("well",), _good),
        Question("how it was", ("bad", "worse"), _good),
    ]
    monkeypatch.setattr(command, "every_question", questions)


@pytest.mark.usefixtures("_two_questions")
def test_answers_are_compared(url: str) -> None:
    result = run("--url", url, "--conformance", "--yes")
    assert result.exit_code == 1
    *table, last = result.stdout.splitlines()
    rows = [row.strip("│ ").split("│") for row in table if row.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["how it is", "well", "well", "✓"],
        ["how it was", "bad | worse", "well", "✗"],
    ]
    assert last == "2 questions, 1 answered otherwise; 0 sessions, 0 s billed"
    result = run("--url", url, "--conformance", "--yes", "--json")
    assert [answer["conforms"] for answer in json.loads(result.stdout)] == [True, False]


@pytest.mark.usefixtures("_two_questions")
def test_nothing_is_billed_unasked(url: str) -> None:
    result = run("--url", url, "--conformance")
    assert result.exit_code == 2
    assert "2 questions, on 51 connections" in result.stderr
    assert "about 3 minutes, of which 3 are billed" in result.stderr
    assert "--yes" in result.stderr
    assert result.stdout == ""


@pytest.mark.usefixtures("_two_questions")
def test_the_embedded_server_needs_ears_to_be_asked() -> None:
    result = run("--conformance")
    assert result.exit_code == 69
    assert "pip install pocketsphinx" in result.stderr


def test_marks_are_for_any_terminal() -> None:
    result = CliRunner(charset="ascii").invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert result.stdout.startswith("+ Python: ")
