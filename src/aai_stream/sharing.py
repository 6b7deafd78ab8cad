"""How the processes of a user share files: who may be there, and who is alive."""

from __future__ import annotations

import fcntl
import os
import stat


def check_private(path: str | os.PathLike[str]) -> None:
    """Raise `OSError` unless `path` is a directory that no other user can change:
    whoever can could put a link there, or pose as one of the processes."""
    found = os.lstat(path)
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not is_ours or found.st_mode & 0o077:
        name = os.fspath(path)
        raise PermissionError(
            f"{name} is not a directory of this user alone (0700): "
            "it can be changed by other users"
        )


def try_lock(file: int, number: int) -> bool:
    """Lock the byte `number` of an open file, unless another process has it locked.

    The kernel lets go of it when the process dies, however that happens, and when it
    closes any descriptor of that file.
    """
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
    except (BlockingIOError, PermissionError):
        return False
    return True


def unlock(file: int, number: int) -> None:
    """Let go of it."""
    fcntl.lockf(file, fcntl.LOCK_UN, 1, number)
