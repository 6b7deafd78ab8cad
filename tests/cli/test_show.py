"""`aai-stream show`: what it writes, and what it says to bad input."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import webbrowser
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from aai_stream.cli import app
from aai_stream.recorder.format import AUDIO, EVENTS, META
from tests.show.calls import entries, meta, write_call, write_unfinished


def show(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, ["show", *map(str, arguments)])


@pytest.fixture
def call(tmp_path: Path) -> Path:
    return write_call(tmp_path / "20261128-120000-5f0a93c1.aai")


def test_the_page_is_beside_the_call_and_for_its_user_alone(call: Path) -> None:
    done = show(call)
    page = call.with_suffix(".html")
    assert (done.exit_code, done.stdout) == (0, f"{page}\n")
    assert page.stat().st_mode & 0o777 == 0o600
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert sorted(call.parent.iterdir()) == [call, page]


def test_a_page_that_was_there_is_replaced(call: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    page.chmod(0o644)
    assert show(call, "-o", page).exit_code == 0
    assert page.stat().st_mode & 0o777 == 0o600
    assert "old" not in page.read_text("utf-8")[:100]


def test_a_page_may_go_to_standard_output(call: Path) -> None:
    command = [sys.executable, "-c", "from aai_stream.cli import main; main()"]
    done = subprocess.run(
        [*command, "show", str(call), "-o", "-"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith(b"<!doctype html>")
    assert done.stdout.endswith(b"</html>\n")
    assert list(call.parent.iterdir()) == [call]


def test_a_call_that_was_cut_off_has_a_page(tmp_path: Path) -> None:
    write_unfinished(tmp_path / "a.aai.part", entries()[:40])
    done = show(tmp_path / "a.aai.part")
    assert done.stdout == f"{tmp_path / 'a.html'}\n"


def test_a_call_as_text(call: Path) -> None:
    done = show(call, "--text")
    assert done.exit_code == 0
    assert "  session 1 lost: the connection was reset; trying again" in done.stdout
    assert list(call.parent.iterdir()) == [call]


def test_a_folder(call: Path) -> None:
    done = show(call.parent)
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["file", call.name]


@pytest.mark.parametrize("there", [True, False])
def test_it_opens_a_browser(
    call: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    opened: list[str] = []

    def fake(url: str) -> bool:
        opened.append(url)
        return there

    monkeypatch.setattr(webbrowser, "open", fake)
    done = show(call, "--open")
    page = call.with_suffix(".html")
    assert opened == [page.as_uri()]
    assert page.exists()
    assert done.exit_code == (0 if there else 2)
    assert ("--open found no browser" in done.stderr) is not there


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--text", "-o", "x.html"], "-o and --open are for the page"),
        (["--text", "--open"], "-o and --open are for the page"),
        (["-o", "-", "--open"], "--open needs a file, not standard output"),
    ],
)
def test_options_that_don_t_go_together(
    call: Path, options: list[str], why: str
) -> None:
    done = show(call, *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"aai-stream: {why}" in done.stderr


@pytest.mark.parametrize("options", [["--text"], ["--open"], ["-o", "x.html"]])
def test_a_folder_has_no_options(call: Path, options: list[str]) -> None:
    done = show(call.parent, *options)
    assert done.exit_code == 2
    assert "is a folder of calls" in done.stderr


def test_what_isn_t_there(tmp_path: Path) -> None:
    done = show(tmp_path / "no.aai")
    assert done.exit_code == os.EX_NOINPUT
    assert done.stderr == f"aai-stream: {tmp_path}/no.aai: No such file or directory\n"


def test_a_folder_without_calls(tmp_path: Path) -> None:
    done = show(tmp_path)
    assert done.exit_code == 2
    assert "there is no recorded call in" in done.stderr


def test_a_page_that_can_t_be_written(call: Path, tmp_path: Path) -> None:
    done = show(call, "-o", tmp_path / "no" / "page.html")
    assert done.exit_code == os.EX_NOINPUT
    assert done.stderr == f"aai-stream: {tmp_path}/no: No such file or directory\n"
    done = show(call, "-o", tmp_path)
    assert done.exit_code == 2
    assert f"-o {tmp_path} is a folder, not a file" in done.stderr
    assert list(tmp_path.iterdir()) == [call]


def flac(audio: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, audio, 16_000, format="FLAC")
    return file.getvalue()


def altered(**changes: bytes | None) -> Callable[[Path], None]:
    """A call with other entries in its zip, or without them."""

    def write(path: Path) -> None:
        whole = write_call(path.with_name("whole.aai"))
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
            for name in (META, AUDIO, EVENTS):
                data = changes.get(name.split(".")[0], old.read(name))
                if data is not None:
                    new.writestr(name, data)

    return write


def damaged(path: Path) -> None:
    """A deflated zip with a byte that is another one."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(META, msgspec.json.encode(meta()))
    data = bytearray(path.read_bytes())
    data[40] ^= 0xFF
    path.write_bytes(data)


def about(**changes: Any) -> bytes:
    return json.dumps({**msgspec.to_builtins(meta()), **changes}).encode()


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda path: path.write_bytes(b""), "is no recorded call"),
        (lambda path: path.write_bytes(b"RIFF" * 99), "is no recorded call"),
        (damaged, "call.aai is no recorded call"),
        (altered(meta=None), "no item named 'meta.json'"),
        (altered(audio=None), "no item named 'audio.flac'"),
        (altered(meta=b"{}"), "meta.json of the call can't be read"),
        (altered(meta=about(version=99)), "recorded by a later version: format 99"),
        (altered(meta=about(sample_rate=0)), "must be from 1000 to 384000, not 0"),
        (altered(events=b'{"kind":"x"}\n'), "line 1 of events.jsonl"),
        (altered(audio=b"fLaC"), "audio.flac of the call can't be read: F"),
        (
            altered(audio=flac(np.zeros((9, 2), np.int16))),
            "audio.flac of the call must be mono, not 2 channels",
        ),
    ],
)
def test_what_is_no_recorded_call(
    tmp_path: Path, write: Callable[[Path], object], why: str
) -> None:
    path = tmp_path / "call.aai"
    write(path)
    done = show(path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert why in done.stderr
    assert done.stderr.startswith("aai-stream: ")
    assert done.stderr.count("\n") == 1
    assert not path.with_suffix(".html").exists()


def test_a_call_without_audio(tmp_path: Path) -> None:
    """It was refused before anybody spoke."""
    altered(audio=b"", events=b"")(tmp_path / "call.aai")
    assert show(tmp_path / "call.aai").exit_code == 0


def test_without_soundfile(call: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text needs none."""
    monkeypatch.setitem(sys.modules, "soundfile", None)
    done = show(call)
    assert done.exit_code == os.EX_UNAVAILABLE
    assert "pip install soundfile" in done.stderr
    assert show(call, "--text").exit_code == 0
