"""The server itself: sessions as AssemblyAI's service was seen to hold them."""

from .emulator import Emulator
from .service import DOCUMENTED, Service

__all__ = ["DOCUMENTED", "Emulator", "Service"]
