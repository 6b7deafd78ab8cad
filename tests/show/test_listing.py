from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from aai_stream.errors import InputError
from aai_stream.recorder.format import EVENTS, Entries
from aai_stream.show.listing import is_folder_of_calls, list_calls
from aai_stream.show.text import print_calls
from tests.show.calls import BEGAN, entries, meta, write_call, write_unfinished


def later(seconds: float) -> list[Entries]:
    return [
        msgspec.structs.replace(entry, unix=entry.unix + seconds) for entry in entries()
    ]


def call_later(path: Path, seconds: float) -> None:
    write_call(path, later(seconds), meta(began=BEGAN + seconds))


def test_newest_first(tmp_path: Path) -> None:
    for name, seconds in (("a", 60), ("b", 3600), ("c", 0)):
        call_later(tmp_path / f"{name}.aai", seconds)
    (tmp_path / "notes.txt").write_text("no call")
    (tmp_path / "folder.aai").mkdir()
    assert [call.path.name for call in list_calls(tmp_path)] == [
        "b.aai",
        "a.aai",
        "c.aai",
    ]


def test_one_that_is_cut_off_is_among_them(tmp_path: Path) -> None:
    write_unfinished(tmp_path / "a.aai.part", entries()[:40])
    write_call(tmp_path / "b.aai")
    assert {c.path.name: c.how for c in list_calls(tmp_path)} == {
        "a.aai.part": "cut off",
        "b.aai": "ended",
    }


LOCKS = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.lockf(file, fcntl.LOCK_EX, 1, 0)
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def process_that_records(folder: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOCKS, str(folder / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


def test_one_that_is_recorded_now_is_not_cut_off(tmp_path: Path) -> None:
    folder = write_unfinished(tmp_path / "a.aai.part", entries()[:40])
    with process_that_records(folder):
        (call,) = list_calls(tmp_path)
        assert call.how == "recorded now"
    (call,) = list_calls(tmp_path)
    assert call.how == "cut off"


TABLE = [
    " file           when                       how it ended  length  sessions  lost"
    "  turns  audio lost",
    " new.aai        2026-11-28 14:00:00 +0200  ended           0:18         2     1"
    "      4      0.40 s",
    " part.aai.part  2026-11-28 14:00:00 +0200  cut off         0:06         1     0"
    "      1           -",
    "odd.aai can't be read: odd.aai is no recorded call: File is not a zip file",
]


@pytest.mark.usefixtures("east")
def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_call(tmp_path / "new.aai")
    (tmp_path / "odd.aai").write_bytes(b"no zip")
    write_unfinished(tmp_path / "part.aai.part", entries()[:40])
    monkeypatch.chdir(tmp_path)
    console = Console(file=io.StringIO(), width=160)
    print_calls(console, list_calls("."))
    assert isinstance(console.file, io.StringIO)
    assert [line.rstrip() for line in console.file.getvalue().splitlines()] == TABLE


def test_a_folder_without_calls_is_told(tmp_path: Path) -> None:
    (tmp_path / "call.wav").write_bytes(b"")
    with pytest.raises(InputError, match=r"no recorded call in .*: no file ….aai, no"):
        list_calls(tmp_path)


def test_the_folder_of_one_call_is_no_folder_of_calls(tmp_path: Path) -> None:
    call = write_unfinished(tmp_path / "a.aai.part", [])
    assert is_folder_of_calls(tmp_path)
    assert not is_folder_of_calls(call)
    assert not is_folder_of_calls(write_call(tmp_path / "b.aai"))
    assert not is_folder_of_calls(tmp_path / "nothing")


def test_a_call_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    call = write_unfinished(tmp_path / "a.aai.part", [])
    (call / EVENTS).unlink()
    (call / EVENTS).mkdir()
    (listed,) = list_calls(tmp_path)
    assert "Is a directory" in listed.why
