"""Where a host's processes keep what they share."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from aai_stream.connection.budget.files import Members, file_name, shared_directory


@pytest.fixture
def _no_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))


def test_it_is_in_the_user_s_own_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert shared_directory() == tmp_path / "aai-stream"
    assert stat.S_IMODE(shared_directory().stat().st_mode) == 0o700


@pytest.mark.usefixtures("_no_runtime")
def test_without_one_it_is_among_temporary_files(tmp_path: Path) -> None:
    ours = tmp_path / f"aai-stream-{os.geteuid()}"
    assert shared_directory() == shared_directory() == ours
    assert stat.S_IMODE(ours.stat().st_mode) == 0o700


@pytest.mark.usefixtures("_no_runtime")
@pytest.mark.parametrize("kind", ["missing", "open to others"])
def test_a_runtime_directory_that_is_none_is_left_alone(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runtime = tmp_path / "run"
    if kind != "missing":
        runtime.mkdir()
        runtime.chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert shared_directory() == tmp_path / f"aai-stream-{os.geteuid()}"


@pytest.mark.usefixtures("_no_runtime")
@pytest.mark.parametrize("kind", ["link", "open to others", "file", "another's"])
def test_what_another_may_have_put_there_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / f"aai-stream-{os.geteuid()}"
    if kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        there.symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        there.touch(mode=0o600)
    else:
        there.mkdir(mode=0o700)
    if kind == "open to others":
        there.chmod(0o770)
    if kind == "another's":
        we = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: we)
        there.rename(tmp_path / f"aai-stream-{we}")
    with pytest.raises(OSError, match=r"can be changed by other users|exists"):
        shared_directory()


def test_its_name_tells_neither_server_nor_account() -> None:
    name = file_name("server", "account")
    assert "server" not in name
    assert "account" not in name
    assert name == file_name("server", "account")
    assert name != file_name("server", "other")
    assert name != file_name("other", "account")


MEMBER = """
import sys
from pathlib import Path
from aai_stream.connection.budget.files import Members
members = Members(Path(sys.argv[1]))
print(members.join(1), members.join(2), flush=True)
sys.stdin.read()
"""


def test_a_number_is_free_when_its_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "members"
    members = Members(path)
    assert members.join(1)
    assert not members.join(1)
    command = [sys.executable, "-c", MEMBER, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "False True\n"
        assert not members.is_dead(1)
        assert not members.is_dead(2)
        assert not members.join(2)
        other.kill()
        other.wait()
        assert members.is_dead(2)
        assert members.join(2)
        assert not members.is_dead(2)
