"""Connections that a fork inherits, and that are its parent's.

Whatever a child does with them, or leaves undone, it may not write to the parent's
sessions: no Terminate when it collects or closes a stream, no goodbye of TLS when it
exits. So it gets other sockets in their place, whose peer is gone.
"""

from __future__ import annotations

import os
import socket
import weakref
from typing import Protocol


class Inheritable(Protocol):
    """A connection that a fork may inherit."""

    def fileno(self) -> int:
        """Its socket's descriptor, -1 if it is closed."""

    def disown(self) -> None:
        """Tell nothing more, for this is a fork."""


_connections: weakref.WeakSet[Inheritable] = weakref.WeakSet()


def keep_from_forks(connection: Inheritable) -> None:
    """See that no fork of this process touches `connection`."""
    _connections.add(connection)


def _disown_all() -> None:
    inherited = list(_connections)
    _connections.clear()
    if not inherited:
        return
    nowhere, peer = socket.socketpair()
    peer.close()
    with nowhere:
        for connection in inherited:
            connection.disown()
            if (fd := connection.fileno()) >= 0:
                os.dup2(nowhere.fileno(), fd, inheritable=False)


os.register_at_fork(after_in_child=_disown_all)
