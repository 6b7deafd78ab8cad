"""examples/files.py: many recordings, errors by type, and what a repetition does."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pysubs2
import pytest

import aai_stream
from aai_stream.emulator.engines.script import ScriptEngine, say
from aai_stream.emulator.server import Emulator, Service
from aai_stream.errors import BusyError, DroppedError, LostAudioError, RefusedError
from aai_stream.messages import AudioLost, Turn, Word
from examples import files
from tests.examples.pages import cut_call

LONG = "one two three four five six seven eight nine ten eleven"
LINES = ["One two three four five six seven eight nine ten", "eleven."]


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def texts(path: Path) -> list[str]:
    return [line.text for line in pysubs2.load(str(path))]


def failing(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, name: str = "a.wav"
) -> None:
    """Let the recording of that name fail, and all others be heard."""

    async def transcribe(path: Path, **options: object) -> list[Turn]:
        if path.name == name:
            raise failure
        return [heard("fine")]

    monkeypatch.setattr(aai_stream, "transcribe", transcribe)


def heard(text: str) -> Turn:
    return Turn(transcript=text, words=[Word(text=text, start=0, end=500)])


async def test_many_a_few_at_a_time(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(files, "AT_ONCE", 2)
    script = ScriptEngine([say(LONG, at_ms=200)], capacity=2)
    paths = [cut_call(tmp_path / f"{name}.wav", 4) for name in "abcd"]
    folder = tmp_path_factory.mktemp("subtitles")
    service = Service(place_seconds=0)
    async with Emulator(script, service=service) as server:
        monkeypatch.setenv("ASSEMBLYAI_BASE_URL", server.url)
        assert await files.transcribe_all(folder, paths) == 0
        assert server.sessions_opened == 4
        again = [*paths, cut_call(tmp_path / "e.wav", 4)]
        assert await files.transcribe_all(folder, again) == 0
        assert server.sessions_opened == 5
    for name in "abcde":
        assert texts(folder / f"{name}.wav.srt") == LINES
    assert len(names(folder)) == 5
    told = capsys.readouterr().out.splitlines()
    assert [line.rpartition(": ")[2] for line in told] == (
        ["done"] * 4 + ["done before"] * 4 + ["done"]
    )


async def test_what_is_lost_is_heard_by_a_repetition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gap = AudioLost(start_sample=0, end_sample=16, start_ms=0, end_ms=1, why="so it is")
    failing(monkeypatch, LostAudioError([gap], [heard("rest")]))
    paths = [Path("a.wav"), Path("b.wav")]
    assert await files.transcribe_all(tmp_path, paths) == 75
    assert texts(tmp_path / "a.wav.part.srt") == ["rest"]
    assert texts(tmp_path / "b.wav.srt") == ["fine"]
    assert "a.wav: incomplete: not transcribed: 0.00 to" in capsys.readouterr().out
    failing(monkeypatch, DroppedError("…"), name="none")
    assert await files.transcribe_all(tmp_path, paths) == 0
    assert names(tmp_path) == ["a.wav.srt", "b.wav.srt"]
    assert "b.wav: done before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (BusyError("too many"), "failed, may be tried again: too many"),
        (aai_stream.errors.EndedError("why"), "failed: why"),
        (aai_stream.errors.AudioError("no audio"), "can't be read: no audio"),
        (FileNotFoundError("no such file"), "can't be read: no such file"),
    ],
)
async def test_others_go_on(
    failure: Exception,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing(monkeypatch, failure)
    assert await files.transcribe_all(tmp_path, [Path("a.wav"), Path("b.wav")]) == 75
    assert names(tmp_path) == ["b.wav.srt"]
    assert f"a.wav: {said}" in capsys.readouterr().out


async def test_a_refused_key_stops_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def transcribe(path: Path, **options: object) -> list[Turn]:
        if path.name == "a.wav":
            raise RefusedError("the key was refused")
        await asyncio.Event().wait()
        raise AssertionError("it should have been stopped")

    monkeypatch.setattr(aai_stream, "transcribe", transcribe)
    assert await files.transcribe_all(tmp_path, [Path("a.wav"), Path("b.wav")]) == 77
    assert names(tmp_path) == []
    assert "all stopped: the key was refused" in capsys.readouterr().err
    assert len(asyncio.all_tasks()) == 1
