"""`aai-stream transcribe` in this process, with an engine that hears marked audio."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from aiohttp import web
from typer.testing import CliRunner, Result

import aai_stream
from aai_stream.cli import app, hearing
from aai_stream.cli import transcribe as commands
from aai_stream.cli.writing import (
    CUE_CHARACTERS,
    CUE_MS,
    Format,
    split_into_cues,
    writer,
)
from aai_stream.emulator.engines.marked import MarkedEngine, marked_audio
from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import Emulator
from aai_stream.errors import EngineError, OptionError
from aai_stream.messages import Turn, Word
from aai_stream.parameters import PARAMETERS
from aai_stream.recorder.reading import read_call
from tests.cli.conftest import in_thread
from tests.servers import BEGIN, begin_then, terminate_when_asked, websocket_server

OFFLINE = "ASSEMBLYAI_API_KEY is not set: recognising on this machine, offline\n"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
    monkeypatch.setattr(hearing, "PocketsphinxEngine", lambda capacity: MarkedEngine())


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["transcribe", *map(str, arguments)])


def test_without_a_key_the_embedded_server_is_used_and_says_so(speech: Path) -> None:
    result = run(speech, "--fast")
    assert result.exit_code == 0, result.output
    assert result.stderr == OFFLINE
    assert result.stdout == "W0000 w0001 w0002 w0003.\n"


def test_json_is_one_object_a_line(speech: Path) -> None:
    result = run(speech, speech, "--fast", "-f", "json")
    assert result.exit_code == 0, result.output
    turns = [json.loads(line) for line in result.stdout.splitlines()]
    assert [turn["file"] for turn in turns] == ["speech.wav"] * 2
    assert turns[0]["transcript"] == "W0000 w0001 w0002 w0003."
    assert turns[0]["words"][1]["text"] == "w0001"
    assert turns[0]["type"] == "Turn"


@pytest.mark.parametrize(
    ("kind", "head", "mark"), [("srt", "1\n00:00:00,", ","), ("vtt", "WEBVTT\n", ".")]
)
def test_subtitles(speech: Path, kind: str, head: str, mark: str) -> None:
    result = run(speech, "--fast", "--format", kind)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(head)
    assert "W0000 w0001 w0002 w0003." in result.stdout
    assert f"00:00:00{mark}" in result.stdout


def test_several_files_have_headings(speech: Path) -> None:
    result = run(speech, speech, "--fast")
    said = "W0000 w0001 w0002 w0003."
    heading = f"==> {speech} <=="
    assert result.stdout == f"{heading}\n{said}\n\n{heading}\n{said}\n"


@pytest.mark.parametrize(
    ("kind", "suffix", "has"),
    [("text", "txt", "W0000 w"), ("json", "jsonl", '"file":'), ("srt", "srt", "-->")],
)
def test_each_file_gets_one_in_a_folder(
    speech: Path, kind: str, suffix: str, has: str
) -> None:
    other = speech.with_name("other.wav")
    other.write_bytes(speech.read_bytes())
    folder = speech.parent / "new" / "folder"
    result = run(speech, other, "--fast", "-f", kind, "--output-dir", folder)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert sorted(path.name for path in folder.iterdir()) == [
        f"other.{suffix}",
        f"speech.{suffix}",
    ]
    for path in folder.iterdir():
        assert has in path.read_text()


def test_speakers_are_named() -> None:
    words = [Word(text="Hi.", start=61_250, end=61_500)]
    turn = Turn(words=words, transcript="Hi.", speaker_label="A")
    assert writer(Format.TEXT, "x", stamped=False).turn(turn) == "A: Hi.\n"
    assert writer(Format.TEXT, "x", stamped=True).turn(turn) == "01:01.2  A: Hi.\n"
    turn.speaker_label = "PENDING"
    assert writer(Format.TEXT, "x", stamped=False).turn(turn) == "Hi.\n"


def test_formatted_turns_are_printed_once(speech: Path) -> None:
    model = ("-m", "universal-streaming-english", "-o", "format_turns=true")
    result = run(speech, "--fast", *model)
    assert result.stdout == "W0000 w0001 w0002 w0003.\n"


def test_a_call_is_kept_on_file_if_asked_for(
    speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(speech, speech, "--fast", "--record", "calls")
    assert result.exit_code == 0, result.output
    files = sorted(Path("calls").iterdir())
    assert len(files) == 2
    said = result.stderr.removeprefix(OFFLINE).splitlines()
    assert said[0::2] == ["this call is recorded, with all that is said"] * 2
    assert sorted(said[1::2]) == [f"recorded: {file}" for file in files]
    for file in files:
        assert read_call(file).audio.tobytes() == marked_audio(4).tobytes()


def test_a_call_that_fails_is_on_file_all_the_same(
    speech: Path, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "wrong")
    result = run(speech, "--url", url, "--record", tmp_path / "calls")
    assert result.exit_code == 77
    (file,) = (tmp_path / "calls").iterdir()
    assert f"recorded: {file}\n" in result.stderr


def test_a_folder_that_can_t_be_written_is_one_line(speech: Path) -> None:
    result = run(speech, "--fast", "--record", "/proc/none")
    assert result.exit_code == 2
    (line,) = result.stderr.removeprefix(OFFLINE).splitlines()
    assert line.startswith("aai-stream: record: /proc/none can't be written: ")


def test_with_a_key_the_server_named_is_used(
    speech: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "right")
    result = run(speech, "--fast", "--url", url)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert result.stdout == "W0000 w0001 w0002 w0003.\n"


def test_a_server_on_this_machine_needs_no_key(speech: Path) -> None:
    server = Emulator(MarkedEngine())

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[str]:
        async with server:
            yield f"{server.url}/v3/ws"

    with in_thread(running()) as url:
        result = run(speech, "--fast", "--url", url)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "W0000 w0001 w0002 w0003.\n"


def test_every_parameter_is_in_the_help_and_reaches_the_server(
    speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, str] = {}

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        asked.update(request.query)
        await begin_then(socket)
        await terminate_when_asked(socket)

    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "k")
    with in_thread(websocket_server(handler)) as url:
        result = run(
            *(speech, "--fast", "--url", url, "-m", "u3-rt-pro"),
            *("-k", "Zoe", "-k", "Ann", "-o", "max_speakers=2", "--prompt", "a clinic"),
            *("--speaker-labels", "-o", 'llm_gateway={"model":"m"}', "-l", "en"),
            *("--extra", "some_day=7", "--extra", "other=a=b"),
        )
    assert result.exit_code == 0, result.output
    assert asked == {
        "speech_model": "u3-rt-pro",
        "keyterms_prompt": '["Zoe","Ann"]',
        "max_speakers": "2",
        "speaker_labels": "true",
        "llm_gateway": '{"model":"m"}',
        "language_codes": '["en"]',
        "prompt": "a clinic",
        "some_day": "7",
        "other": "a=b",
        "sample_rate": "16000",
        "encoding": "pcm_s16le",
    }
    shown = run("--help").stdout.replace("│", "").split()
    names = {word.removesuffix(":") for word in shown if word.endswith(":")}
    assert names >= PARAMETERS.keys() - {"sample_rate", "encoding"}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["none.wav"], 66, "none.wav: No such file or directory"),
        (["{text}"], 65, "text.wav: "),
        (
            ["{speech}", "-o", "nonsense=1"],
            2,
            "lists, not 'nonsense'; --extra",
        ),
        (["{speech}", "-o", "promt=x"], 2, "not 'promt' (did you mean 'prompt'?)"),
        (["{speech}", "-o", "vad_threshold=2"], 2, "from 0 to 1, not 2"),
        (["{speech}", "-o", "max_speakers=x"], 2, "max_speakers must be a whole"),
        (
            ["{speech}", "{speech}", "-f", "srt"],
            2,
            "files needs --output-dir",
        ),
        (["{speech}", "-o", "nonsense"], 2, "take NAME=VALUE, not 'nonsense'"),
        (["{speech}", "--extra", "=1"], 2, "take NAME=VALUE, not ''"),
        (["{speech}", "-m", "a", "-o", "speech_model=b"], 2, "speech_model is given t"),
        (["{speech}", "--rate", "8000"], 2, "raw PCM on standard input"),
        (["{speech}", "--channels", "2"], 2, "raw PCM on standard input"),
        (["-", "-"], 2, "can be read only once"),
        (["{speech}", "{speech}", "-d", "{out}"], 2, "two recordings would be writt"),
        (["{speech}", "-l", "english"], 2, "takes ISO 639-1 codes"),
        (["{speech}", "--url", "wss://x", "--fast"], 2, "--fast"),
        (["{speech}", "--url", "wss://x"], 2, "ASSEMBLYAI_API_KEY"),
        (["{speech}", "--url", "x"], 2, "base_url must look like"),
        (["{speech}", "-o", "encoding=pcm_mulaw"], 2, "encoding can't be set: "),
        (["{empty}"], 65, "empty.wav: the file is empty"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_status(
    speech: Path, arguments: list[str], status: int, says: str
) -> None:
    text = speech.parent / "text.wav"
    text.write_text("this is not audio")
    empty = speech.parent / "empty.wav"
    empty.touch()
    out = speech.parent / "out"
    names = {"speech": speech, "text": text, "empty": empty, "out": out}
    result = run(*(a.format(**names) for a in arguments))
    assert result.exit_code == status
    (line,) = result.stderr.replace(OFFLINE, "").splitlines()
    assert line.startswith("aai-stream: ")
    assert says in line
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("key", "host", "status", "says"),
    [
        ("wrong", "{url}", 77, "Unauthorized Connection: Invalid API key"),
        ("right", "ws://127.0.0.1:1", 69, "cannot connect to 127.0.0.1:1"),
    ],
)
def test_a_server_that_will_not(
    speech: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    host: str,
    status: int,
    says: str,
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", key)
    result = run(speech, "--url", host.format(url=url))
    assert result.exit_code == status
    *warnings, last = result.stderr.splitlines()
    assert says in last
    assert all("trying again" in warning for warning in warnings)
    assert key not in result.stderr


def test_a_model_that_there_is_not_is_refused(
    speech: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "right")
    result = run(speech, "--url", url, "-m", "u3-pro-typo")
    assert result.exit_code == 77
    (line,) = result.stderr.splitlines()
    assert "u3-rt-pro" in line


def test_that_nobody_speaks_is_said(tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, marked_audio(0), 16000)
    result = run(silence, "--fast")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == f"{OFFLINE}aai-stream: {silence}: no speech was heard\n"


def test_without_the_recogniser_the_command_to_get_it_is_told(
    speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Missing(MarkedEngine):
        async def start(self) -> None:
            raise EngineError("pip install pocketsphinx")

    monkeypatch.setattr(hearing, "PocketsphinxEngine", lambda capacity: Missing())
    result = run(speech)
    assert result.exit_code == 69
    assert result.stderr == OFFLINE + "aai-stream: pip install pocketsphinx\n"


def test_a_server_that_dies_is_told_after_what_was_final(
    speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word: dict[str, Any] = {"text": "Kept.", "start": 0, "end": 9, "confidence": 1}
    turn = {
        "type": "Turn",
        "turn_order": 0,
        "end_of_turn": True,
        "transcript": "Kept.",
        "words": [word],
    }

    dead = False

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        nonlocal dead
        if not dead:
            dead = True
            await begin_then(socket, turn)
            await socket.receive()
        await socket.close(code=3005, message=b"sorry")

    @contextlib.asynccontextmanager
    async def server() -> AsyncIterator[str]:
        async with websocket_server(handler) as url:
            yield url

    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "k")
    with in_thread(server()) as url:
        result = run(speech, "--url", url)
    assert result.exit_code == 75
    assert result.stdout == "Kept.\n"
    assert f"{speech}: not transcribed: " in result.stderr
    assert "code 3005: sorry" in result.stderr


def test_a_stream_that_fails_keeps_its_turns_and_names_the_rest(
    speech: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    longer = speech.parent / "longer.wav"
    soundfile.write(longer, marked_audio(40), 16000)

    @contextlib.asynccontextmanager
    async def server() -> AsyncIterator[str]:
        faults = [fault("reset,at=4000ms,on=1")]
        async with Emulator(MarkedEngine(), faults=faults) as emulator:
            yield emulator.url

    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "k")
    monkeypatch.setattr(commands, "FILE_RETRIES", 0)
    with in_thread(server()) as url:
        result = run(longer, speech, "--fast", "-d", tmp_path, "--url", url)
    assert result.exit_code == 75
    text = (tmp_path / "longer.txt").read_text()
    assert text.startswith("W0000 w0001 w0002 w0003 w0004.\n")
    assert (tmp_path / "speech.txt").read_text() == "W0000 w0001 w0002 w0003.\n"
    whole = soundfile.info(longer).duration
    assert f"aai-stream: {longer}: not transcribed: " in result.stderr
    assert f" to {whole:.2f} s (the server closed the session" in result.stderr


def test_live_audio_outlives_longer_outages_than_a_file(
    speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def connect(**options: Any) -> Any:
        asked.append(options["max_retries"])
        raise OptionError("that is enough")

    monkeypatch.setattr(commands, "connect", connect)
    assert [run(name).exit_code for name in (speech, "-")] == [2, 2]
    as_ever = inspect.signature(aai_stream.connect).parameters["max_retries"].default
    assert asked == [3, as_ever]


def test_what_was_not_transcribed_is_told_and_the_next_file_is_done(
    speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = speech.parent / "longer.wav"
    soundfile.write(longer, marked_audio(8), 16000)

    @contextlib.asynccontextmanager
    async def server() -> AsyncIterator[str]:
        faults = [fault("no-final,at=2000ms,on=1"), fault("no-final,at=begin,on=2")]
        async with Emulator(MarkedEngine(), faults=faults) as emulator:
            yield emulator.url

    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "k")
    with in_thread(server()) as url:
        result = run(longer, speech, "--fast", "--url", url)
    assert result.exit_code == 75
    assert result.stdout.splitlines() == [
        f"==> {longer} <==",
        "W0000 w0001 w0002 w0003 w0004.",
        "",
        f"==> {speech} <==",
        "W0000 w0001 w0002 w0003.",
    ]
    assert result.stderr.splitlines()[-1] == (
        f"aai-stream: {longer}: not transcribed: 1.36 to 4.10 s "
        "(the server never ended this turn)"
    )


def test_warnings_are_told_on_stderr(
    speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's and our own, each in a line, without key, term or control code."""
    term = "a very long term " * 4

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await socket.send_json(
            {**BEGIN, "configuration": {"model": "universal-streaming-english"}}
        )
        text = "the key swordfish is old\n\x1b[2Jsee wss://x/?a=swordfish"
        await socket.send_json({"type": "Warning", "warning": text})
        await terminate_when_asked(socket)

    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "swordfish")
    with in_thread(websocket_server(handler)) as url:
        result = run(
            *(speech, "--fast", "--url", url, "-m", "u3-rt-pro"),
            *("-o", f"keyterms_prompt={term}", "-o", "prompt=a clinic"),
        )
    assert (result.exit_code, result.stdout) == (0, "")
    *before, warned, counted, silent = result.stderr.splitlines()
    assert before == [
        "aai-stream: keyterms_prompt has 1 of more than 50 characters, which "
        "AssemblyAI may not use",
        "aai-stream: session session-1: the session's model is "
        "universal-streaming-english, but u3-rt-pro was asked for",
        "aai-stream: session session-1: universal-streaming-english does not take: "
        "prompt",
    ]
    # What the server says is read, our own is told at once: either may be the first.
    assert {warned, counted} == {
        "aai-stream: the server warns: the key *** is old  [2Jsee wss://x/",
        "aai-stream: session session-1 was sent 2.10 s of audio, the server counted "
        "1.00 s",
    }
    assert silent == f"aai-stream: {speech}: no speech was heard"
    assert not logging.getLogger("aai_stream").handlers


def test_subtitles_are_of_a_length_that_can_be_read() -> None:
    words = [Word(text="word" * 3, start=k * 300, end=k * 300 + 250) for k in range(40)]
    cues = split_into_cues(words)
    assert [word for cue in cues for word in cue] == words
    assert all(len(" ".join(w.text for w in cue)) <= CUE_CHARACTERS for cue in cues)
    assert all(cue[-1].end - cue[0].start <= CUE_MS for cue in cues)
    assert len(cues) == 7
    assert split_into_cues([]) == []
