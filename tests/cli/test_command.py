"""The installed command as a process: terminals, pipes, signals, real speech."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import jiwer
import pytest
import soundfile

from aai_stream import transcribe
from aai_stream.emulator.marked import marked_audio

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMAND = [sys.executable, "-c", "from aai_stream.cli import main; main()"]


@pytest.fixture
def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k != "ASSEMBLYAI_API_KEY"}
    return {**kept, "COLUMNS": "100", "TERM": "xterm"}


@pytest.mark.parametrize("name", ["call.wav", "call-stereo-44k.flac"])
def test_the_demo_speech_is_recognised(name: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [*COMMAND, "transcribe", "--fast", str(EXAMPLES / name)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    said = (EXAMPLES / "call.txt").read_text()
    assert len(done.stdout.splitlines()) == len(said.splitlines())
    assert jiwer.wer(bare(said), bare(done.stdout)) <= 0.15, done.stdout


def bare(text: str) -> str:
    """The words alone, on one line, in lower case."""
    return " ".join(re.findall("[a-z']+", text.lower()))


def test_ctrl_c_keeps_what_is_final(environment: dict[str, str], url: str) -> None:
    """Audio that never ends, until Ctrl-C: the last turn is told, the status is 130."""
    environment["ASSEMBLYAI_API_KEY"] = "right"
    process = subprocess.Popen(
        [*COMMAND, "transcribe", "--url", url, "-"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(marked_audio(2).tobytes() + bytes(32_000))
    process.stdin.write(marked_audio(1, first=7).tobytes())
    process.stdin.flush()
    assert process.stdout.readline() == b"W0000 w0001.\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert err == b""
    assert out in (b"W0007.\n", b"")  # the second turn may not have been sent yet
    assert process.returncode == 130


def test_a_terminal_shows_partials_times_and_progress(
    environment: dict[str, str], url: str, speech: Path
) -> None:
    environment["ASSEMBLYAI_API_KEY"] = "right"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "transcribe", "--url", url, str(speech)],
        env=environment,
        stdout=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:  # how Linux tells the end of a terminal
        pass
    os.close(ours)
    assert process.wait(20) == 0
    text = shown.decode()
    assert "00:00." in text
    assert "W0000 w0001 w0002 w0003." in text
    assert "w0000 w0001" in text.replace("W0000", "")  # a partial
    assert "s of audio" in text


def test_serve_recognises_speech_for_any_client(environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--max-sessions", "1", "--key", "mine"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Listening on ws://127.0.0.1:"), line
    speech, rate = soundfile.read(EXAMPLES / "call.wav", frames=64_000, dtype="int16")
    turns = asyncio.run(
        transcribe(
            speech,
            sample_rate=rate,
            api_key="mine",
            base_url=line.split()[2].rstrip(";"),
            realtime=False,
        )
    )
    assert turns[0].transcript.startswith("Hello this is")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("", "", 0)


def test_serve_stays_on_loopback_unless_told(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [*COMMAND, "serve", "--host", "0.0.0.0"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 2
    assert "not a loopback address" in done.stderr


def test_without_the_extra_the_command_to_get_it_is_told() -> None:
    code = "import sys; sys.modules['typer'] = None; import aai_stream.cli"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 1
    assert "pip install 'aai-stream[cli]'" in done.stderr
