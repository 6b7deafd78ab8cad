"""Times and texts as people read them."""

from __future__ import annotations

from datetime import datetime


def stamp(ms: float) -> str:
    """A stream time: `00:12.340`, from an hour on `1:00:12.340`."""
    whole = round(abs(ms))
    minutes, rest = divmod(whole, 60_000)
    sign = "-" if ms < 0 and whole else ""
    clock = f"{minutes:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}"
    return f"{sign}{clock}:{rest / 1000:06.3f}"


def seconds(value: float) -> str:
    """A length: in ms below a tenth of a second, and in tenths of them below one."""
    if not 0 < value < 0.1:
        return f"{value:.2f} s"
    return f"{1000 * value:.{0 if value >= 0.001 else 1}f} ms"


def length(value: float) -> str:
    """How long a call is: `0:16`, `1:02:03`."""
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def day_time(unix: float) -> str:
    """A moment, in this machine's time zone: `2026-11-28 20:31:05 +0100`."""
    return f"{datetime.fromtimestamp(unix).astimezone():%Y-%m-%d %H:%M:%S %z}"


def clock_time(unix: float) -> str:
    """A moment of a day that is known: `20:31:05.340`."""
    return f"{datetime.fromtimestamp(unix):%H:%M:%S.%f}"[:-3]


def plain(text: str) -> str:
    """`text` without anything that would steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def count(number: int, what: str) -> str:
    """`1 session`, `2 sessions`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
