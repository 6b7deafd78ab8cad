"""The installed command as a process: terminals, pipes, signals, real speech."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import jiwer
import pytest
import soundfile
from aiohttp import web

from aai_stream import transcribe
from tests.cli.conftest import in_thread
from tests.servers import begin_then, http_server, websocket_server

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMAND = [sys.executable, "-c", "from aai_stream.cli import main; main()"]


@pytest.fixture
def environment() -> dict[str, str]:
    mine = {"ASSEMBLYAI_API_KEY": "right", "COLUMNS": "100", "TERM": "xterm"}
    return {**os.environ, **mine}


@pytest.mark.parametrize("name", ["call.wav", "call-stereo-44k.flac"])
def test_the_demo_speech_is_recognised(name: str, environment: dict[str, str]) -> None:
    del environment["ASSEMBLYAI_API_KEY"]
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


def talking_server(
    began: threading.Event, *, ends: bool
) -> AbstractAsyncContextManager[str]:
    """A server that tells its one turn after Terminate, or else never ends."""
    word = {"text": "Kept.", "start": 0, "end": 9, "confidence": 1}
    turn = {"type": "Turn", "turn_order": 0, "transcript": "Kept.", "words": [word]}

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket, turn)
        async for message in socket:
            began.set()
            if ends and message.type is web.WSMsgType.TEXT:
                await socket.send_json({**turn, "end_of_turn": True})
                await socket.send_json({"type": "Termination"})
                await socket.close()

    return websocket_server(handler)


def test_a_file_on_standard_input_is_refused(
    url: str, speech: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [*COMMAND, "transcribe", "--url", url, "-"],
        env=environment,
        input=speech.read_bytes(),
        capture_output=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stdout) == (os.EX_DATAERR, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("aai-stream: the audio begins like a file: WAV")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_ctrl_c_keeps_what_is_final(
    environment: dict[str, str], number: signal.Signals, status: int
) -> None:
    """Audio that never ends, until Ctrl-C; then the last turn is still told."""
    began = threading.Event()
    with in_thread(talking_server(began, ends=True)) as url:
        process = start("transcribe", "--url", url, "-", environment=environment)
        speak_until(began, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == (b"Kept.\n", b"", status)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_does_not_wait(
    environment: dict[str, str], number: signal.Signals
) -> None:
    began = threading.Event()
    with in_thread(talking_server(began, ends=False)) as url:
        process = start("transcribe", "--url", url, "-", environment=environment)
        speak_until(began, process)
        process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # it waits for the last turn
        process.send_signal(number)
        process.communicate(timeout=8)
    assert process.returncode in (130, -signal.SIGTERM)


def test_ctrl_c_while_connecting(environment: dict[str, str]) -> None:
    arrived = threading.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    with in_thread(http_server(handler)) as url:
        speech = str(EXAMPLES / "call.wav")
        process = start("transcribe", "--url", url, speech, environment=environment)
        assert arrived.wait(20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=8)
    assert (out, err, process.returncode) == (b"", b"", 130)


def test_a_reader_that_has_had_enough(
    environment: dict[str, str], url: str, speech: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "transcribe", "--fast", "--url", url, str(speech)],
        env=environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=20,
    )
    os.close(writer)
    assert (done.stderr, done.returncode) == (b"", 141)


def test_a_terminal_shows_partials_times_and_progress(
    environment: dict[str, str], url: str, speech: Path
) -> None:
    shown, status, _ = on_terminal(environment, "--url", url, str(speech))
    assert status == 0
    assert "00:00." in shown
    assert "W0000 w0001 w0002 w0003." in shown
    assert "W0000 w0001 w0002." in shown  # a partial
    assert len(set(re.findall(r"(\d\.\d) / 2\.\d s heard", shown))) > 2
    assert shown.count("\x1b[?25h") == shown.count("\x1b[?25l") > 0  # the cursor


def test_progress_is_on_standard_error_where_the_text_goes_elsewhere(
    environment: dict[str, str], url: str, speech: Path
) -> None:
    """The text of two files in a pipe, what is heard of them on the terminal."""
    files = [str(speech)] * 2
    pipe = subprocess.PIPE
    command = ["--url", url, "-f", "json", *files]
    shown, status, out = on_terminal(environment, *command, stdout=pipe)
    assert status == 0
    assert len(out.splitlines()) == 2
    assert "W0000" in shown  # a partial
    assert "speech.wav" in shown
    assert re.search(r"all .+ / 4\.\d s heard", shown)

    assert shown.count("\x1b[?25h") == shown.count("\x1b[?25l") > 0


def test_an_error_leaves_the_terminal_as_it_was(
    environment: dict[str, str], speech: Path
) -> None:
    environment["ASSEMBLYAI_API_KEY"] = "wrong"
    server = ("--url", "ws://127.0.0.1:1")
    shown, status, _ = on_terminal(environment, *server, str(speech))
    assert status == 69
    assert "\x1b[?25l" not in shown


def start(*arguments: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*COMMAND, *arguments], env=environment, stdin=pipe, stdout=pipe, stderr=pipe
    )


def speak_until(began: threading.Event, process: subprocess.Popen[bytes]) -> None:
    """Give the process a second of audio and leave its input open."""
    assert process.stdin is not None
    process.stdin.write(bytes(32_000))
    process.stdin.flush()
    assert began.wait(20)


def on_terminal(
    environment: dict[str, str], *arguments: str, stdout: int | None = None
) -> tuple[str, int, str]:
    """What `transcribe` shows on a terminal of 100 columns, its exit status, and what
    it writes to `stdout`, if that is a pipe and no terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "transcribe", *arguments],
        env=environment,
        stdout=stdout or theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:  # how Linux tells the end of a terminal
        pass
    os.close(ours)
    written = process.communicate(timeout=20)[0] or b""
    return shown.decode(), process.returncode, written.decode()


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
    assert (out, process.returncode) == ("", 0)
    opened, closed = err.splitlines()
    assert "open: universal-3-6-pro, " in opened
    assert "closed (1000): universal-3-6-pro, 4.0 s of audio in " in closed


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
    assert "pip install pysubs2 rich soundfile typer" in done.stderr
