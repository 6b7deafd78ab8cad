"""A real Redis, which can be killed and started again."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server isn't installed"
)


class RedisServer:
    """redis-server on a port, with nothing kept on disk."""

    def __init__(self, directory: Path, host: str = "127.0.0.1") -> None:
        with socket.create_server((host, 0)) as listener:
            self._port: int = listener.getsockname()[1]
        self._directory = directory
        self._host = host
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://{host}:{self._port}"

    def start(self) -> None:
        options = ["--port", str(self._port), "--bind", self._host, "--save", ""]
        options += ["--protected-mode", "no"]  # other hosts may ask
        self._process = subprocess.Popen(
            ["redis-server", *options, "--dir", str(self._directory)],
            stdout=subprocess.DEVNULL,
        )
        with self.client() as client:
            for _ in range(1000):
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    time.sleep(0.01)
        raise RuntimeError("redis-server doesn't answer")

    def kill(self) -> None:
        """Without a word, and with all that it knew."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> redis.Redis:
        """Somebody else, to look and to meddle."""
        return redis.Redis.from_url(self.url, decode_responses=True)


@contextmanager
def redis_server(directory: Path, host: str = "127.0.0.1") -> Iterator[RedisServer]:
    """On that address of this machine."""
    server = RedisServer(directory, host)
    server.start()
    try:
        yield server
    finally:
        server.kill()
