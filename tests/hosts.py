"""Hosts with networks of their own, on this machine: namespaces, each on a cable."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import pytest


class Host:
    """One of them. `address` is where it finds this machine."""

    def __init__(self, number: int, address: str) -> None:
        self._name = f"aai-{os.getpid()}-{number}"
        self._cable = f"aai{os.getpid() % 100_000}-{number}"
        self._address = address
        self._number = number

    def plug_in(self) -> None:
        own = f"10.231.{self._number}"
        _ip("netns", "add", self._name)
        peer = ("peer", "name", "eth0", "netns", self._name)
        _ip("link", "add", self._cable, "type", "veth", *peer)
        _ip("address", "add", f"{own}.1/24", "dev", self._cable)
        _ip("link", "set", self._cable, "up")
        self._inside("address", "add", f"{own}.2/24", "dev", "eth0")
        self._inside("link", "set", "lo", "up")
        self.connect()

    def connect(self) -> None:
        """It reaches this machine."""
        self._inside("link", "set", "eth0", "up")
        route = (self._address, "via", f"10.231.{self._number}.1")
        self._inside("route", "replace", *route)

    def cut(self) -> None:
        """It reaches nobody, and nobody tells it so."""
        self._inside("link", "set", "eth0", "down")

    def remove(self) -> None:
        for what in (["netns", "del", self._name], ["link", "del", self._cable]):
            subprocess.run(["ip", *what], stderr=subprocess.DEVNULL, check=False)

    def command(self, *command: str) -> list[str]:
        """What runs that there."""
        return ["ip", "netns", "exec", self._name, *command]

    def _inside(self, *arguments: str) -> None:
        _ip("-n", self._name, *arguments)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def hosts(count: int, address: str) -> Iterator[list[Host]]:
    """So many, that find this machine at `address`, which is made for them."""
    with ExitStack() as stack:
        _ip("address", "add", f"{address}/32", "dev", "lo")
        stack.callback(_ip, "address", "del", f"{address}/32", "dev", "lo")
        made = []
        for number in range(1, count + 1):
            host = Host(number, address)
            stack.callback(host.remove)
            host.plug_in()
            made.append(host)
        yield made


@cache
def _can() -> bool:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    try:
        with hosts(1, "10.231.0.1"):
            return True
    except subprocess.CalledProcessError:
        return False


def skip_without_hosts() -> None:
    """Where no networks may be made."""
    if not _can():
        pytest.skip("network namespaces take root, iproute2 and a kernel's leave")
