"""How long audio messages may be."""

from __future__ import annotations

SHORTEST_MS = 50
LONGEST_MS = 1000


class Lengths:
    """The lengths of one session's audio messages, checked as v3 checks them.

    Messages that are too short are tolerated until there are more than `short_ms` of
    audio in them. The last message may be short in any case: clients send what is left
    before Terminate. So short messages are judged when more audio follows.
    """

    def __init__(self, sample_rate: int, short_ms: float) -> None:
        self._rate = sample_rate
        self._tolerated_ms = short_ms
        self._short_ms = 0.0  # of audio in short messages
        self._last_short_ms = 0.0

    def violation(self, samples: int) -> float | None:
        """The length in ms that breaks the rules, now that `samples` have come."""
        length_ms = samples * 1000 / self._rate
        if length_ms > LONGEST_MS:
            return length_ms
        if self._short_ms > self._tolerated_ms:
            return self._last_short_ms
        # 50 ms need not be a whole number of samples, hence the one to spare.
        if (samples + 1) * 1000 <= SHORTEST_MS * self._rate:
            self._short_ms += length_ms
            self._last_short_ms = length_ms
        return None
