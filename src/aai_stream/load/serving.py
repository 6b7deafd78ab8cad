"""The load server in a process of its own."""

from __future__ import annotations

import asyncio
import time
from array import array
from dataclasses import dataclass
from multiprocessing.connection import Connection

from .lag import LagProbe, percentile
from .process import GONE, Child
from .server import LoadServer
from .tls import Certificate, server_context

MOST_CPU = 0.9
"""Of its core, above which a server counts as full."""


@dataclass(frozen=True)
class ServerReport:
    """What a server did since it was last told to begin."""

    heard_bytes: dict[str, int]
    """Of audio, by session, since the session's beginning."""
    arrivals: dict[str, array[float]]
    """See `Heard.arrivals`."""
    lag_p99_ms: float
    """Of its event loop, see `LagProbe`."""
    cpu: float
    """Share of its core."""

    @property
    def is_full(self) -> bool:
        """Whether what was measured against it is its own figure, and no client's."""
        return self.cpu > MOST_CPU


class ServerProcess(Child):
    """Use it in a `with` statement; `url` is where it listens then.

    `spread` is the `LoadServer`'s.
    """

    def __init__(
        self, core: int, certificate: Certificate | None, *, spread: bool = True
    ) -> None:
        super().__init__(_serve, certificate, spread, cores={core})

    def __enter__(self) -> ServerProcess:
        super().__enter__()
        self.url: str = self.answer()
        return self

    def begin(self, *, record: bool = False) -> None:
        """Count from here on; note when audio arrives if `record`."""
        self.ask(record)  # it answers when it has begun

    def report(self) -> ServerReport:
        """What it did since `begin`."""
        report: ServerReport = self.ask(None)
        return report


def _serve(pipe: Connection, certificate: Certificate | None, spread: bool) -> None:
    asyncio.run(_Service(pipe, certificate, spread).run())


class _Service:
    def __init__(
        self, pipe: Connection, certificate: Certificate | None, spread: bool
    ) -> None:
        self._pipe = pipe
        tls = certificate and server_context(certificate)
        self._server = LoadServer(tls, spread=spread)
        self._began = self._cpu = 0.0

    async def run(self) -> None:
        self._lag = LagProbe()
        self._over = asyncio.Event()
        await self._server.start()
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._answer)
        self._pipe.send(self._server.url)
        await self._over.wait()

    def _answer(self) -> None:
        try:
            record = self._pipe.recv()
        except GONE:
            self._over.set()
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            return
        if record is None:
            self._pipe.send(self._report())
        else:
            self._begin(record)
            self._pipe.send(None)

    def _begin(self, record: bool) -> None:
        self._server.recording = record
        for heard in self._server.heard.values():
            heard.arrivals = array("d")
        self._lag.restart()
        self._began, self._cpu = time.monotonic(), time.process_time()

    def _report(self) -> ServerReport:
        heard = self._server.heard
        seconds = time.monotonic() - self._began
        return ServerReport(
            heard_bytes={name: each.bytes for name, each in heard.items()},
            arrivals={name: each.arrivals for name, each in heard.items()},
            lag_p99_ms=percentile(self._lag.late_ms(), 99),
            cpu=(time.process_time() - self._cpu) / seconds,
        )
