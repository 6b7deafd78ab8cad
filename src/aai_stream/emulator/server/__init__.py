"""The server: connections, sessions, and the protocol as the service speaks it."""

from .emulator import Emulator
from .service import DOCUMENTED, Service

__all__ = ["DOCUMENTED", "Emulator", "Service"]
