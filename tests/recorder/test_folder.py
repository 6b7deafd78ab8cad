"""A folder of recordings: what gives way, and what dead processes left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from aai_stream.recorder.folder import LOCK, Shelf, shelf_of
from aai_stream.recorder.format import EVENTS, META, UNFINISHED_AUDIO
from aai_stream.recorder.packing import open_private, pack
from aai_stream.recorder.reading import read_call
from tests.audio import count_up
from tests.recorder.keeping import META as SOME_META

NOW = time.time()
LINE = b'{"kind":"connected","unix":1000.5,"stream_ms":0,"session":1}\n'


def unfinished(folder: Path, number: int = 1, events: bytes = LINE) -> Path:
    """The folder of a call whose process is no more."""
    part = folder / f"20260101-00000{number}-0123abcd.aai.part"
    part.mkdir(0o700)
    (part / META).write_bytes(msgspec.json.encode(SOME_META))
    (part / UNFINISHED_AUDIO).write_bytes(count_up(0, 1000))
    (part / EVENTS).write_bytes(events)
    (part / LOCK).touch()
    return part


def finished(folder: Path, number: int, size: int) -> Path:
    path = folder / f"20260101-00000{number}-0123abcd.aai"
    path.write_bytes(bytes(size))
    return path


# ---- what gives way ----


def test_the_oldest_recordings_give_way(tmp_path: Path) -> None:
    files = [finished(tmp_path, number, 300) for number in (2, 1, 3)]
    shelf = Shelf(tmp_path)
    assert shelf.reserve(100, 1000)
    assert all(file.exists() for file in files)
    assert shelf.reserve(200, 1000)
    assert [file.exists() for file in files] == [True, False, True]


def test_what_is_no_recording_is_neither_counted_nor_touched(tmp_path: Path) -> None:
    others = [tmp_path / name for name in ("notes.aai", "20260101.txt", ".hidden")]
    for other in others:
        other.write_bytes(bytes(1000))
    assert Shelf(tmp_path).reserve(900, 1000)
    assert all(other.exists() for other in others)


def test_calls_that_last_count_and_stay(tmp_path: Path) -> None:
    part = unfinished(tmp_path)
    size = sum(path.stat().st_size for path in part.iterdir())
    file = finished(tmp_path, 2, 500)
    shelf = Shelf(tmp_path)
    assert not shelf.reserve(1001, size + 1000)
    assert not file.exists()  # in vain, but it was to be tried
    assert shelf.reserve(1000, size + 1000)
    assert part.exists()


def test_no_more_is_written_than_may_be(tmp_path: Path) -> None:
    """Though the folder isn't looked at each time, and others write there, too."""
    part = unfinished(tmp_path)
    audio = part / UNFINISHED_AUDIO
    shelf, most = Shelf(tmp_path), 64_000
    others = 0
    while shelf.reserve(100, most):
        with audio.open("ab") as growing:
            growing.write(bytes(100))
        if audio.stat().st_size == 32_000:
            others = finished(tmp_path, 1, 10_000).stat().st_size
        assert audio.stat().st_size < 2 * most
    assert others
    used = sum(path.stat().st_size for path in part.iterdir())
    assert most - 100 < used <= most


def test_of_a_call_that_is_packed_its_own_file_stays(tmp_path: Path) -> None:
    old = finished(tmp_path, 0, 500)
    part = unfinished(tmp_path)
    Shelf(tmp_path).finish(part, most=1)
    assert not old.exists()
    assert [path.name for path in tmp_path.iterdir()] == [part.with_suffix("").name]


# ---- packed ----


@pytest.mark.parametrize("torn", [b"", b'{"kind":"conn', b"\0" * 10])
def test_a_line_that_is_half_written_is_left_out(tmp_path: Path, torn: bytes) -> None:
    part = unfinished(tmp_path, events=LINE + LINE + torn)
    before = read_call(part)
    pack(part)
    after = read_call(part.with_suffix(""))
    assert after.meta == SOME_META
    assert after.audio.tobytes() == count_up(0, 1000)
    assert before.audio.tobytes() == after.audio.tobytes()
    assert len(after.entries) == 2
    assert before.entries == after.entries
    assert not part.exists()


def test_a_sample_that_is_half_written_is_left_out(tmp_path: Path) -> None:
    part = unfinished(tmp_path)
    with (part / UNFINISHED_AUDIO).open("ab") as audio:
        audio.write(b"x")
    pack(part)
    assert read_call(part.with_suffix("")).audio.tobytes() == count_up(0, 1000)


@pytest.mark.parametrize("size", [0, 1])
def test_a_call_without_audio(tmp_path: Path, size: int) -> None:
    part = unfinished(tmp_path)
    (part / UNFINISHED_AUDIO).write_bytes(bytes(size))
    pack(part)
    assert read_call(part.with_suffix("")).seconds == 0


def test_who_died_when_packing_is_no_hindrance(tmp_path: Path) -> None:
    part = unfinished(tmp_path)
    for name in ("packed", "audio.flac"):
        (part / name).write_bytes(b"half")
    pack(part)
    assert read_call(part.with_suffix("")).entries
    again = unfinished(tmp_path)
    pack(again)  # died before the folder was removed
    assert [path.name for path in tmp_path.iterdir()] == [part.with_suffix("").name]


def test_a_new_file_is_its_user_s_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        part = unfinished(tmp_path)
        pack(part)
    finally:
        os.umask(old)
    assert part.with_suffix("").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):  # nor is a link followed
        open_private(part.with_suffix(""))


# ---- left by the dead ----


def test_what_dead_processes_left_is_packed(tmp_path: Path) -> None:
    parts = [unfinished(tmp_path, number) for number in (1, 2)]
    Shelf(tmp_path).pack_leftovers(NOW)
    for part in parts:
        assert read_call(part.with_suffix("")).entries
        assert not part.exists()


def test_what_is_recorded_in_this_process_is_left_alone(tmp_path: Path) -> None:
    part = unfinished(tmp_path)
    shelf = shelf_of(tmp_path)
    shelf.add(part)
    assert shelf_of(tmp_path) is shelf
    shelf.pack_leftovers(NOW)
    assert part.exists()
    shelf.leave(part)
    shelf.pack_leftovers(NOW)
    assert not part.exists()


HOLD = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(file, fcntl.LOCK_EX, 1, 0)
print("locked", flush=True)
sys.stdin.readline()
"""


def test_what_another_process_records_is_left_alone_until_it_dies(
    tmp_path: Path,
) -> None:
    part = unfinished(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, part / LOCK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        Shelf(tmp_path).pack_leftovers(NOW)
        assert part.exists()
        holder.send_signal(signal.SIGKILL)
    Shelf(tmp_path).pack_leftovers(NOW)
    assert not part.exists()


def test_what_isn_t_complete_yet_is_left_alone_until_its_process_must_be_dead(
    tmp_path: Path,
) -> None:
    part = unfinished(tmp_path)
    (part / LOCK).unlink()
    made = part.stat().st_mtime
    Shelf(tmp_path).pack_leftovers(made + 59)
    assert part.exists()
    Shelf(tmp_path).pack_leftovers(made + 61)
    assert not any(tmp_path.iterdir())


def test_what_can_t_be_opened_is_told_and_the_others_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = unfinished(tmp_path, 1), unfinished(tmp_path, 2)
    (bad / LOCK).unlink()
    (bad / LOCK).symlink_to(good)
    Shelf(tmp_path).pack_leftovers(NOW)
    assert bad.exists()
    assert read_call(good.with_suffix("")).entries
    assert f"{bad} can't be packed" in caplog.text


def test_what_can_t_be_packed_is_told_and_the_others_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = unfinished(tmp_path, 1), unfinished(tmp_path, 2)
    (bad / META).write_bytes(b"{")
    Shelf(tmp_path).pack_leftovers(NOW)
    assert bad.exists()
    assert read_call(good.with_suffix("")).entries
    assert f"{bad} can't be packed" in caplog.text
