"""Where a session's samples lie in its stream. Pure, without audio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Place(NamedTuple):
    """A moment of a session, told by its stream.

    `sample` is the stream's; `beyond` is how many samples of padding lie between.
    """

    sample: float
    beyond: float


@dataclass
class _Run:
    """`count` samples of the stream, from `stream` on, which are one stretch of the
    session from `session` on."""

    session: int
    stream: int
    count: int


class Places:
    """A session's audio: stretches of the stream, in order, with padding between."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self.samples = 0
        """How many the session has been sent, padding included."""

    @property
    def begin(self) -> int | None:
        """The stream's sample with which it begins; None before there is one."""
        return self._runs[0].stream if self._runs else None

    @property
    def end(self) -> int | None:
        """The stream's sample up to which it has been sent the audio."""
        return self._runs[-1].stream + self._runs[-1].count if self._runs else None

    def holds(self, sample: float) -> bool:
        """Whether it was sent audio before and after this sample of the stream."""
        begin, end = self.begin, self.end
        return begin is not None and end is not None and begin <= sample < end

    def add(self, stream: int, count: int, padding: int = 0) -> None:
        """The session is sent `count` samples from `stream` on, then `padding`."""
        last = self._runs[-1] if self._runs else None
        if (
            last is not None
            and last.session + last.count == self.samples
            and last.stream + last.count == stream
        ):
            last.count += count
        elif count:
            self._runs.append(_Run(self.samples, stream, count))
        self.samples += count + padding

    def pad(self, count: int) -> None:
        """The session is sent `count` samples that are not the stream's."""
        self.samples += count

    def place(self, sample: float) -> Place:
        """The place in the stream of the session's `sample`; there must be audio."""
        run = self._runs[0]
        for each in self._runs[1:]:
            if each.session > sample:
                break
            run = each
        inside = sample - run.session
        if run is not self._runs[-1]:
            inside = min(inside, run.count)
        return Place(run.stream + inside, sample - run.session - inside)

    def sample(self, place: Place) -> float:
        """The session's sample at a place of the stream; there must be audio.

        What the session was not sent has the place of its nearest audio before.
        """
        run = self._runs[0]
        for each in self._runs[1:]:
            starts = each.stream < place.sample or (
                each.stream == place.sample and not place.beyond
            )
            if not starts:
                break
            run = each
        inside = place.sample - run.stream
        if run is not self._runs[-1]:
            inside = min(inside, run.count)
        return run.session + inside + place.beyond
