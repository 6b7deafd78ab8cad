"""That calls are to be recorded: the keywords, checked."""

from __future__ import annotations

import importlib.util
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError, OptionError
from .format import SUFFIX

RECORD_VARIABLE = "AAI_STREAM_RECORD"
"""The environment variable that names the folder where none is passed."""

RECORD_MB = 1000.0
"""The most that a folder may hold, in MB (10^6 bytes), unless given."""


logger = logging.getLogger("aai_stream")


@dataclass(frozen=True)
class RecordSettings:
    """That calls are to be recorded, and where.

    Attributes:
        folder: holds their files.
        most_bytes: of them all.
        asked: what such a stream was asked for, besides its `Settings`.
    """

    folder: Path
    most_bytes: float
    asked: Mapping[str, Any]

    def file(self, unix: float, name: str) -> Path:
        """The file of a call that begins now, of the stream with that name."""
        begins = time.strftime("%Y%m%d-%H%M%S", time.gmtime(unix))
        return self.folder / f"{begins}-{name}{SUFFIX}"


def recording_of(
    record: str | os.PathLike[str] | None, record_mb: float, asked: Mapping[str, Any]
) -> RecordSettings | None:
    """What the keywords of that name ask for; None for nothing. `asked` is noted.

    The environment is a whole host's: what is wrong with it is a warning, and the call
    is not recorded.

    Raises `OptionError` for a folder that can't be written, or a bad `record_mb`;
    `MissingExtraError` without soundfile.
    """
    is_number = isinstance(record_mb, (int, float)) and not isinstance(record_mb, bool)
    if not is_number or not record_mb >= 1:
        raise OptionError(f"record_mb must be at least 1, not {record_mb!r}")
    if record is not None:
        return _recording(record, record_mb, asked)
    if not (told := os.environ.get(RECORD_VARIABLE, "").strip()):
        return None
    try:
        return _recording(Path(told).expanduser(), record_mb, asked)
    except (OptionError, MissingExtraError, RuntimeError) as exc:  # of an unknown home
        logger.warning("%s: no call is recorded: %s", RECORD_VARIABLE, exc)
        return None


def _recording(
    record: str | os.PathLike[str], record_mb: float, asked: Mapping[str, Any]
) -> RecordSettings:
    if not isinstance(record, (str, os.PathLike)) or not os.fspath(record):
        raise OptionError(f"record must be the path of a folder, not {record!r}")
    if importlib.util.find_spec("soundfile") is None:
        raise MissingExtraError("recording needs soundfile: pip install soundfile")
    folder = Path(record).resolve()  # a process knows its calls by their paths
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise OptionError(
            f"record: {folder} can't be written: {exc.strerror or exc}"
        ) from None
    return RecordSettings(folder, record_mb * 1e6, asked)
