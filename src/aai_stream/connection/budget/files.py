"""Where the processes of a host keep what they share, and which of them are alive."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from hashlib import blake2b
from pathlib import Path

from ...sharing import check_private, try_lock, unlock


def shared_directory() -> Path:
    """A directory of this user's alone: in XDG_RUNTIME_DIR, or else in the temporary
    directory.

    Raises `OSError` if it can't be made, or isn't this user's alone: another could have
    put a link there.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and _is_private(runtime):
        directory = Path(runtime) / "aai-stream"
    else:
        directory = Path(tempfile.gettempdir()) / f"aai-stream-{os.geteuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    check_private(directory)
    return directory


def _is_private(directory: str) -> bool:
    try:
        check_private(directory)
    except OSError:
        return False
    return True


FORMAT = "3"
"""What a file is like inside. Another one is another file."""


def file_name(host: str, account: str) -> str:
    """Tells neither. Clocks begin anew when the machine does, and so does the file."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    text = "\0".join((host, account, boot, FORMAT))
    return blake2b(text.encode(), digest_size=16).hexdigest() + ".sqlite"


class Members:
    """The processes that share a file, by number: each holds a lock while it lives,
    which the kernel lets go of when it dies, however that happens."""

    def __init__(self, path: Path) -> None:
        # Never closed: that would let go of all locks.
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._ours: set[int] = set()

    def join(self, number: int) -> bool:
        """Take that number, unless another has it."""
        if number in self._ours or not try_lock(self._file, number):
            return False
        self._ours.add(number)
        return True

    def is_dead(self, number: int) -> bool:
        """Whether whoever took that number is no more."""
        if number in self._ours or not try_lock(self._file, number):
            return False
        unlock(self._file, number)
        return True

    def touch(self) -> None:
        """Keep those away who clear out what is old."""
        os.utime(self._file)


@cache
def members_of(path: Path) -> Members:
    """Those of that file; for a process it is always the same object."""
    return Members(path)


# The locks are the parent's, not the fork's.
os.register_at_fork(after_in_child=members_of.cache_clear)
