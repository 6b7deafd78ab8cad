"""`aai-stream listen` with a microphone made of marked audio."""

from __future__ import annotations

import asyncio
import builtins
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from aai_stream.cli import app, hearing
from aai_stream.cli.running import Stop
from aai_stream.cli.screen import Screen
from aai_stream.emulator.engines.marked import MarkedEngine, marked_audio
from aai_stream.recorder.reading import read_call


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
    monkeypatch.setattr(hearing, "PocketsphinxEngine", lambda capacity: MarkedEngine())


def listen(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["listen", *arguments])


class PortAudioError(Exception):
    """As sounddevice's own."""


class Microphone:
    """Says four words as soon as it is opened, then ends the program as Ctrl-C does."""

    def __init__(self, callback: Callable[..., None], **options: Any) -> None:
        if options["device"] == "broken":
            raise PortAudioError("Invalid device")
        self.options = options
        self._callback = callback

    def __enter__(self) -> None:
        opened.append(self.options)
        audio = marked_audio(4, sample_rate=self.options["samplerate"])
        size = self.options["blocksize"]
        for start in range(0, len(audio), size):
            self._callback(audio[start : start + size].tobytes(), None, None, None)

    def __exit__(self, *_: object) -> None:
        opened.append("closed")


opened: list[Any] = []


@pytest.fixture
def _microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    def devices(device: object = None, kind: str | None = None) -> Any:
        if kind is None:
            return "0 Built-in, 1 Headset"
        if device == "none":
            raise ValueError("No input device matching 'none'")
        return {"default_samplerate": 48_000.0}

    fake = SimpleNamespace(
        query_devices=devices,
        RawInputStream=Microphone,
        PortAudioError=PortAudioError,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    opened.clear()


@pytest.mark.usefixtures("_microphone")
def test_what_the_microphone_hears_is_told_until_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = Screen.write

    def write(self: Screen, text: str) -> None:
        written(self, text)
        if text:  # somebody has read enough
            stops[0].set()

    stops: list[Any] = []
    made = Stop.__init__

    def make(self: Any) -> None:
        made(self)
        stops.append(self)

    monkeypatch.setattr(Stop, "__init__", make)
    monkeypatch.setattr(Screen, "write", write)
    result = listen("--device", "1")
    assert result.exit_code == 0, result.output
    assert result.stdout == "W0000 w0001 w0002 w0003.\n"
    options, closed = opened
    assert options["device"] == 1
    assert (options["samplerate"], options["blocksize"]) == (48_000, 2400)
    assert (options["channels"], options["dtype"]) == (1, "int16")
    assert closed == "closed"


@pytest.mark.usefixtures("_microphone")
def test_what_is_heard_is_kept_on_file_if_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Stop) -> None:
        asyncio.get_running_loop().call_later(0.5, self.set)

    monkeypatch.setattr(Stop, "listen", stop)
    result = listen("--record", str(tmp_path / "calls"))
    assert result.exit_code == 0, result.output
    (file,) = (tmp_path / "calls").iterdir()
    assert "this call is recorded, with all that is said\n" in result.stderr
    assert f"recorded: {file}\n" in result.stderr
    assert read_call(file).meta.sample_rate == 16_000


@pytest.mark.usefixtures("_microphone")
def test_the_microphones_are_listed() -> None:
    assert listen("--devices").stdout == "0 Built-in, 1 Headset\n"


@pytest.mark.usefixtures("_microphone")
@pytest.mark.parametrize("device", ["none", "broken"])
def test_a_microphone_that_isn_t_there(device: str) -> None:
    result = listen("--device", device)
    assert result.exit_code == 65
    assert "the microphone can't be opened: " in result.stderr
    assert "--devices lists" in result.stderr


def test_without_sounddevice_the_command_to_get_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = listen()
    assert result.exit_code == 69
    assert "pip install sounddevice" in result.stderr


def test_without_portaudio_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def no_portaudio(name: str, *rest: Any) -> Any:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_portaudio)
    result = listen()
    assert result.exit_code == 69
    assert "needs PortAudio: apt install libportaudio2" in result.stderr
