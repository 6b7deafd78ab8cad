"""That calls are recorded: the keywords, checked before anything is opened."""

from __future__ import annotations

import importlib.util
import math
import os
import stat
from pathlib import Path
from typing import Any

import pytest

import aai_stream
from aai_stream.errors import MissingExtraError, OptionError
from aai_stream.livekit import STT
from aai_stream.recorder.recording import RecordSettings, recording_of

URL = "ws://127.0.0.1:1"


def test_nothing_is_asked_for() -> None:
    assert recording_of(None, 1000, {}) is None


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_names_no_folder(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AAI_STREAM_RECORD", value)
    assert recording_of(None, 1000, {}) is None


def test_a_variable_may_name_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AAI_STREAM_RECORD", "~/calls")
    recording = recording_of(None, 1000, {})
    assert recording is not None
    assert recording.folder == tmp_path / "calls"


@pytest.mark.parametrize("folder", ["/proc/none", "~nobody-of-that-name/calls"])
def test_a_variable_that_is_wrong_costs_no_call(
    folder: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AAI_STREAM_RECORD", folder)
    assert recording_of(None, 1000, {}) is None
    (line,) = caplog.messages
    assert line.startswith("AAI_STREAM_RECORD: no call is recorded: ")


def test_a_folder_is_made_for_its_user_alone(tmp_path: Path) -> None:
    for folder in (tmp_path / "a" / "b", str(tmp_path / "c")):
        recording = recording_of(folder, 2.5, {"x": 1})
        assert recording == RecordSettings(Path(folder), 2.5e6, {"x": 1})
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert not list(Path(folder).iterdir())


def test_two_names_of_a_folder_are_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    recording = recording_of(tmp_path / "link", 1, {})
    assert recording is not None
    assert recording.folder == tmp_path.resolve()


def test_a_file_tells_when_in_utc_and_which_stream(tmp_path: Path) -> None:
    recording = RecordSettings(tmp_path, math.inf, {})
    file = recording.file(1_700_000_000.9, "0123abcd")
    assert file == tmp_path / "20231114-221320-0123abcd.aai"


@pytest.mark.parametrize("make", [aai_stream.connect, STT])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"record": 3}, "record must be the path of a folder, not 3"),
        ({"record": ""}, "record must be the path of a folder, not ''"),
        (
            {"record": "calls", "record_mb": 0.5},
            "record_mb must be at least 1, not 0.5",
        ),
        ({"record_mb": "9"}, "record_mb must be at least 1, not '9'"),
        ({"record_mb": True}, "record_mb must be at least 1, not True"),
        ({"record_mb": math.nan}, "record_mb must be at least 1, not nan"),
        ({"record": "/proc/none"}, "record: /proc/none can't be written: No such file"),
        ({"record": "/dev/null"}, "record: /dev/null can't be written: File exists"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_opened(
    make: Any, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(OptionError) as caught:
        make(base_url=URL, **options)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("make", [aai_stream.connect, STT])
def test_without_soundfile_the_command_to_get_it_is_told(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    make(base_url=URL)
    with pytest.raises(MissingExtraError, match="pip install soundfile"):
        make(base_url=URL, record=tmp_path)
