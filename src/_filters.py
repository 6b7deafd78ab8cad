"""Designs the low-pass filters for a change of rate by a small ratio.

The build calls this, and the core applies what `as_header` says; none of it is
installed. Each filter is a sinc under a Kaiser window, in whole numbers. In units of
the lower of the two rates its pass band ends at 0.425 and its stop band begins at
0.5375: 6.8 and 8.6 kHz of 16.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 6
"""Of both numbers of a reduced ratio: 8, 12, 16, 24, 32, 48 and 96 kHz have no larger
ones to 16 kHz. Filters have 40 taps a phase, times the ratio if the rate goes down."""

_TAPS = 40
_CUTOFF = 0.476
_STOP = 0.5375
_BETA = 7.416  # Kaiser's for 76 dB
_TOLERANCE = 0.03  # how much an error in the pass band weighs, by one in the stop band
_EXACT = 100.0  # … and one of the gain of a phase


class Filter(NamedTuple):
    """What makes one rate of another: `up` phases, taken `down` apart."""

    up: int
    down: int
    coefficients: NDArray[np.int16]
    """(up, taps): those of each phase, for the oldest sample first. Each phase's sum is
    2 ** `shift`, so that its gain is 1, and no int16 input makes a sum of products
    overflow int32, rounding included."""
    shift: int


def between(rate_in: int, rate_out: int) -> Filter | None:
    """The filter for two rates, None if their reduced ratio isn't small."""
    divisor = math.gcd(rate_in, rate_out)
    up, down = rate_out // divisor, rate_in // divisor
    return design(up, down) if max(up, down) <= LARGEST else None


RATIOS = [
    (up, down)
    for up in range(1, LARGEST + 1)
    for down in range(1, LARGEST + 1)
    if up != down and math.gcd(up, down) == 1
]
"""Every ratio that there is a filter for, as (up, down)."""


def as_header() -> str:
    """All filters as tables in C, for the core to include."""
    tables, rows = [], []
    for up, down in RATIOS:
        name = f"TAPS_{up}_{down}"
        form = design(up, down)
        taps = ", ".join(str(tap) for tap in form.coefficients.reshape(-1))
        tables.append(f"static const int16_t {name}[] = {{{taps}}};")
        count = form.coefficients.shape[1]
        rows.append(f"    {{{up}, {down}, {count}, {form.shift}, {name}}},")
    return "\n".join(
        [
            "#include <stdint.h>",
            *tables,
            f"enum {{LARGEST = {LARGEST}, FILTERS = {len(RATIOS)}}};",
            "typedef struct {",
            "    int up, down, taps, shift;",
            "    const int16_t *coefficients;",
            "} Filter;",
            "static const Filter filters[] = {",
            *rows,
            "};",
            "",
        ]
    )


@functools.cache
def design(up: int, down: int) -> Filter:
    """The filter that makes `up` samples of `down`."""
    most = max(up, down)
    taps = 8 * math.ceil(_TAPS * most / up / 8)
    # The first of an even number is 0, so that the rest has its middle on a sample.
    length = up * taps
    time = np.arange(length) - length // 2
    ideal = np.sinc(2 * _CUTOFF / most * time) * np.kaiser(length + 1, _BETA)[:-1]
    ideal[0] = 0
    phases = ideal.reshape(taps, up)
    phases /= phases.sum(axis=0)
    # 65535 times the loudest sample, and rounding, fit into int32; 40 are kept for what
    # rounding the coefficients adds.
    largest = np.abs(phases).sum(axis=0).max()
    shift = math.floor(math.log2((65_535 - 40) / largest))
    shift = min(shift, math.floor(math.log2(32_767 / np.abs(phases).max())))
    coefficients = _round(ideal * 2**shift, up, _STOP / most).reshape(taps, up)
    # Of a row, the first coefficient is for the newest sample.
    table = np.ascontiguousarray(coefficients.T[:, ::-1], np.int16)
    table.flags.writeable = False
    return Filter(up, down, table, shift)


def _round(ideal: NDArray[np.float64], up: int, stop: float) -> NDArray[np.float64]:
    """Whole coefficients whose errors lie in the pass band, and sum to 0 in each phase.

    Rounded each by itself they would spoil the stop band: 69 dB of 76. So the error is
    weighed by a quadratic form, and coefficients are rounded one after the other, each
    to what is best with those that are rounded already (Babai's nearest plane).
    """
    count = len(ideal)
    apart = np.subtract.outer(np.arange(count), np.arange(count))
    weights = (1 + _TOLERANCE) * np.eye(count) - 2 * stop * np.sinc(2 * stop * apart)
    weights += _EXACT * (apart % up == 0)
    root = np.linalg.cholesky(weights).T
    rounded, errors = np.zeros(count), np.zeros(count)
    for i in reversed(range(count)):
        rounded[i] = np.round(ideal[i] - root[i] @ errors / root[i, i])
        errors[i] = rounded[i] - ideal[i]
    return rounded


if __name__ == "__main__":
    print(as_header())
