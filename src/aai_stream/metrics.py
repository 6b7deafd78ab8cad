"""Prometheus metrics of a program's streams, for a server that scrapes them.

    from aai_stream import metrics

    metrics.serve(9400)

In a LiveKit worker they are at its own `/metrics` without that.
"""

from __future__ import annotations

import os

from .errors import MissingExtraError, OptionError

try:
    import prometheus_client
except ImportError:
    raise MissingExtraError(
        "metrics need prometheus_client: pip install prometheus_client"
    ) from None

from .telemetry import instruments as _instruments  # noqa: F401, shown from here on

__all__ = ["serve"]


def serve(port: int, host: str = "127.0.0.1") -> int:
    """Serve the default registry at `/metrics`, in a thread; gives the port, which the
    system chooses if `port` is 0.

    In prometheus_client's multiprocess mode (`PROMETHEUS_MULTIPROC_DIR`) it is what all
    processes count. Call it before the first stream begins: streams that began before
    this module was imported are not counted.

    Raises `OptionError` for a port that is none, `OSError` if it can't be had.
    """
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise OptionError(f"port must be from 0 to 65535, not {port!r}")
    server, _ = prometheus_client.start_http_server(port, host, registry=_registry())
    return int(server.server_port)


def _registry() -> prometheus_client.CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return prometheus_client.REGISTRY
    from prometheus_client import multiprocess

    registry = prometheus_client.CollectorRegistry(auto_describe=True)
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
