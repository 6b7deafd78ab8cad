"""A sound card that hears silence, in the place of python-sounddevice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np


class PortAudioError(Exception):
    """Never raised here."""


def query_devices(*_: Any) -> dict[str, float]:
    """Of the one there is."""
    return {"default_samplerate": 48000.0}


class InputStream:
    """Calls back every 50 ms, in a thread of its own, as the real one does."""

    sample: type[np.number[Any]] = np.float32

    def __init__(
        self, samplerate: int, channels: int, callback: Callable[..., None], **_: Any
    ) -> None:
        self._block = np.zeros((samplerate // 20, channels), self.sample)
        self._callback = callback
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._hear)

    def _hear(self) -> None:
        while not self._over.wait(0.05):
            self._callback(self._block, len(self._block), None, None)

    def __enter__(self) -> InputStream:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._over.set()
        self._thread.join()


class RawInputStream(InputStream):
    """The same in int16."""

    sample = np.int16
