"""Where in the audio turns shall be ended by force, and where they were."""

from __future__ import annotations

from collections import deque


class Endpoints:
    """Samples of the stream, in their order: those that wait to be reached by what is
    sent, and those asked of a session that may not have heard."""

    def __init__(self) -> None:
        self.waiting: deque[int] = deque()
        self._forced: deque[tuple[int, int]] = deque()  # wanted at, and asked for at

    def add(self, sample: int, sent: int) -> None:
        """A turn shall end at `sample`, but not before an earlier one that waits.

        Of those that what is `sent` has passed already, with nobody to tell, one is
        enough.
        """
        waiting = self.waiting
        if waiting:
            sample = max(sample, waiting[-1])
        if not waiting or sample > waiting[-1]:
            waiting.append(sample)
        while len(waiting) > 1 and waiting[1] <= sent:
            waiting.popleft()

    def force(self, sent: int, acked: int) -> bool:
        """Whether a turn shall end now that so much was `sent`; if so, that was done.
        Audio before `acked` has its finals."""
        if not self.waiting or self.waiting[0] > sent:
            return False
        while self._forced and self._forced[0][1] <= acked:
            self._forced.popleft()
        forced = self.waiting.popleft(), sent
        if not self._forced or self._forced[-1] != forced:
            self._forced.append(forced)
        return True

    def forced_behind(self, sample: int) -> int | None:
        """Where the present session was asked to end the turn that `sample` is in."""
        return next((forced for _, forced in self._forced if forced >= sample), None)

    def restart(self, acked: int) -> None:
        """Another session begins at `acked`: ask again for what has no final."""
        again = [wanted for wanted, _ in self._forced if wanted > acked]
        self.waiting.extendleft(reversed(again))
        self._forced.clear()
