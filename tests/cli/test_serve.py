"""`aai-stream serve` with faults."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner

from aai_stream.cli import app
from aai_stream.emulator.faults import KINDS
from aai_stream.emulator.faults.moments import MOMENTS
from aai_stream.version import __version__


def test_help_lists_every_fault_and_moment() -> None:
    done = CliRunner(env={"COLUMNS": "100"}).invoke(app, ["serve", "--help"])
    lines = [line.strip() for line in done.output.splitlines()]
    for word in (*KINDS, *MOMENTS):
        assert any(line.startswith(f"{word}: ") for line in lines), word


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("boom", "there is no fault 'boom'; choose of refuse, status"),
        ("rest", "there is no fault 'rest' (did you mean 'reset'?); choose of refuse"),
        ("close,code=7", "code must be from 1000 to 4999, not 7"),
    ],
)
def test_a_bad_fault_is_told_before_anything_starts(text: str, why: str) -> None:
    done = CliRunner().invoke(app, ["serve", "--fault", "reset", "--fault", text])
    assert done.exit_code == 2
    assert f"aai-stream: {why}" in done.stderr
    assert "Listening" not in done.stdout


def test_a_model_that_is_none() -> None:
    done = CliRunner().invoke(app, ["serve", "--model", "universal-3-6-por"])
    assert done.exit_code == 2
    assert "there is no model 'universal-3-6-por' (did you mean" in done.stderr
    assert "Listening" not in done.stdout


def test_the_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"{__version__}\n")


async def statuses(url: str) -> list[int]:
    """What three attempts to open a websocket are answered with."""
    found = []
    async with aiohttp.ClientSession(headers={"Authorization": "key"}) as http:
        for _ in range(3):
            try:
                async with http.ws_connect(f"{url}/v3/ws"):
                    found.append(101)
            except aiohttp.WSServerHandshakeError as exc:
                found.append(exc.status)
    return found


def test_faults_happen_and_are_shown() -> None:
    pytest.importorskip("pocketsphinx", reason="needs the extra `local`")
    code = "from aai_stream.cli import main; main()"
    options = ["--fault", "status,code=429,on=1", "--fault", "status,on=2"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert process.stdout is not None
    url = process.stdout.readline().split()[2].rstrip(";")
    assert asyncio.run(statuses(url)) == [429, 503, 101]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    lines = [line.split(" ", 1)[1] for line in err.splitlines()]  # without the time
    assert lines[:2] == [
        "fault on connection 1, 0 ms of audio: status,at=connect,on=1,code=429",
        "fault on connection 2, 0 ms of audio: status,at=connect,on=2,code=503",
    ]
    opened, closed = lines[2:]
    assert re.fullmatch(r"session \w{8} open: universal-3-6-pro, 16000 Hz", opened)
    assert "closed (" in closed
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], []),
        (["--console"], ["The console is at http://127.0.0.1:"]),
        (
            ["--console", "--allow-remote"],
            ["The console is at http://127.0.0.1:", "It asks for this token: "],
        ),
    ],
)
def test_the_console_and_its_token_are_shown(
    options: list[str], said: list[str]
) -> None:
    pytest.importorskip("pocketsphinx", reason="needs the extra `local`")
    code = "from aai_stream.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in ("Listening", *said)]
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=20)
    assert rest == ""
    for line, start in zip(lines[1:], said, strict=True):
        assert line.startswith(start)


CALL = str(Path(__file__).parents[2] / "examples/debugging/unheard.aai")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--model", "universal-3-6-pro"], "--model doesn't go with --replay"),
        (["--deny-model", "universal-3-6-pro"], "--deny-model doesn't go with"),
        (["--capture", CALL], "--capture doesn't go with --replay"),
    ],
)
def test_what_a_replay_settles_can_t_be_asked_for(options: list[str], why: str) -> None:
    done = CliRunner().invoke(app, ["serve", "--replay", CALL, *options])
    assert done.exit_code == 2
    assert why in done.stderr


def test_a_call_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "call.aai"
    done = CliRunner().invoke(app, ["serve", "--replay", str(path)])
    assert done.exit_code == os.EX_NOINPUT
    path.write_text("no zip")
    done = CliRunner().invoke(app, ["serve", "--replay", str(path)])
    assert done.exit_code == 2
    assert "is no recorded call" in done.stderr
