"""A figure, and how far the rounds that it comes from lie apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """Median, least and most of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of at least one value."""
        ranked = sorted(values)
        return cls(median(ranked), ranked[0], ranked[-1])

    def __str__(self) -> str:
        digits = 0 if self.median >= 20 else 1
        median, low, high = (
            f"{value:.{digits}f}" for value in (self.median, self.low, self.high)
        )
        return f"{median} ({low} to {high})"
