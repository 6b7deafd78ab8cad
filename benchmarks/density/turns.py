"""Hosts of different clients that take turns at the same core."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from aai_stream.load.clients import Client, Setting
from aai_stream.load.host import HostProcess, Ran, Run
from aai_stream.load.process import two_sides
from aai_stream.load.ramp import Step
from aai_stream.load.serving import ServerProcess, ServerReport
from aai_stream.load.tls import Certificate, make_certificate
from aai_stream.models import DEFAULT_MODEL

UNIVERSAL_STREAMING = "universal-streaming-english"

Make = Callable[[Setting], Client]

OURS, THEIRS, HARNESS = "ours", "theirs", "harness"

MOST_SERVER_LAG_MS = 10.0
"""p99, above which the server may be what was measured."""

SETTLE_SECONDS = 0.2


@dataclass(frozen=True)
class Bench:
    """A machine's two cores, a certificate, and how much is to be measured."""

    core: int
    server_core: int
    certificate: Certificate
    rounds: int
    seconds: float
    scale: float = 1.0
    """Of the numbers of streams; less than 1 only tries the harness."""
    jobs: int = 40
    """Of each kind, where each has a process."""
    jobs_tls: bool = True

    @classmethod
    def of_this_machine(cls, rounds: int, seconds: float, scale: float) -> Bench:
        """Raises `StateError` if there is no second core."""
        server_core, cores = two_sides()
        certificate = make_certificate()
        return cls(cores[-1], server_core, certificate, rounds, seconds, scale)

    def streams(self, number: int) -> int:
        """That many, scaled."""
        return max(2, round(number * self.scale))

    @contextlib.contextmanager
    def hosts(
        self,
        makes: Mapping[str, Make],
        sample_rate: int,
        frame_ms: int = 50,
        model: str = DEFAULT_MODEL,
        run: Run = asyncio.run,
    ) -> Iterator[Hosts]:
        """A new server, and a host for each kind of client."""
        with (
            ServerProcess(self.server_core, self.certificate) as server,
            contextlib.ExitStack() as stack,
        ):
            setting = Setting(server.url, sample_rate, frame_ms, model)
            hosts = {
                name: stack.enter_context(
                    HostProcess(
                        make,
                        setting,
                        core=self.core,
                        ca=self.certificate.ca,
                        run=run,
                    )
                )
                for name, make in makes.items()
            }
            yield Hosts(server, hosts, setting)


class Hosts:
    """They share a server and a core, and speak one at a time."""

    def __init__(
        self, server: ServerProcess, hosts: dict[str, HostProcess], setting: Setting
    ) -> None:
        self.server = server
        self.hosts = hosts
        self.setting = setting

    def rounds(
        self, streams: int, rounds: int, seconds: float, *, record: bool = False
    ) -> list[dict[str, Step]]:
        """Each speaks for so long, in turns.

        A round in which the server was late is done again, `rounds` times in all.
        """
        for host in self.hosts.values():
            host.connect(streams)
        made: list[dict[str, Step]] = []
        spare = rounds
        while len(made) < rounds:
            steps = {
                name: self._speak(host, streams, seconds, record)
                for name, host in self.hosts.items()
            }
            if spare and not is_trusty(list(steps.values())):
                spare -= 1
            else:
                made.append(steps)
        return made

    def _speak(
        self, host: HostProcess, streams: int, seconds: float, record: bool
    ) -> Step:
        self.server.begin(record=record)
        ran = host.speak(seconds, record=record)
        step = Step(streams, ran, self.server.report())
        heard = step.server.heard_bytes
        # What a client couldn't send in time must not fall on the next one.
        while True:
            time.sleep(SETTLE_SECONDS)
            before, heard = heard, self.server.report().heard_bytes
            if heard == before:
                return step


def missing_ms(ran: Ran, step: Step, setting: Setting) -> list[float]:
    """Of each stream, ms of audio that was pushed and is not with the server."""
    return [
        frames * setting.frame_ms - step.server.heard_bytes[session] / 32
        for session, frames in ran.pushes.items()
    ]


def is_trusty(steps: list[Step]) -> bool:
    """Whether the server had time enough."""
    return all(is_idle(step.server) for step in steps)


def is_idle(server: ServerReport) -> bool:
    """Whether it had time enough."""
    return not server.is_full and server.lag_p99_ms <= MOST_SERVER_LAG_MS


def net_us(steps: dict[str, Step], name: str) -> float:
    """CPU for 50 ms of one stream, without the harness, in µs."""
    pushes = 50 / (1000 * _period(steps[name]))
    return (steps[name].us_per_frame - steps[HARNESS].us_per_frame) * pushes


def _period(step: Step) -> float:
    window = step.ran.window
    return step.streams * window.seconds / window.due_frames
