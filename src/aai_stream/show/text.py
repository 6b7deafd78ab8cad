"""A recorded call, and a folder of them, in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .latencies import Latencies
from .listing import Listed
from .moments import Moment
from .saying import clock_time, count, day_time, length, plain, seconds, stamp
from .timeline import Timeline

_STYLES = {
    "outage": "red",
    "gap": "yellow",
    "warning": "yellow",
    "turn": "bold",
    "session": "cyan",
    "note": "dim",
    "end": "dim",
}


def print_call(console: Console, name: str, call: Timeline) -> None:
    """What is in the call of the file `name`: a summary, what happened, latencies."""
    for title, value in _summary(name, call):
        line = Text.assemble((f"{title:10}", "dim"), plain(value))
        console.print(line, soft_wrap=True)
    console.print()
    console.print(Text(f"{'clock':12}  {'stream':>10}", "dim"))
    for moment in call.moments:
        console.print(_line(moment), soft_wrap=True)
    console.print()
    took = call.latencies
    if any(spread for _, spread in took.named()):
        console.print(_table(took))
    if took.behind_at is not None:
        waited = seconds(took.behind)
        console.print(
            f"At most {waited} of audio waited, at {stamp(took.behind_at.ms)}."
        )


def print_calls(console: Console, calls: Sequence[Listed]) -> None:
    """A table of calls, and below it those that can't be read."""
    table = Table(box=None)
    for column in ("file", "when", "how it ended"):
        table.add_column(column, no_wrap=True)
    for column in ("length", "sessions", "lost", "turns", "audio lost"):
        table.add_column(column, justify="right", no_wrap=True)
    for each in calls:
        if each.call is not None:
            table.add_row(*(Text(plain(cell)) for cell in _cells(each, each.call)))
    console.print(table)
    for each in calls:
        if each.call is None:
            text = plain(f"{each.path.name} can't be read: {each.why}")
            console.print(Text(text, "red"), soft_wrap=True)


def _summary(name: str, call: Timeline) -> Iterator[tuple[str, str]]:
    models = dict.fromkeys(s.model for s in call.sessions if s.model)
    yield "file", name
    yield "stream", f"{call.stream} to {call.host}"
    if models:
        yield "model", ", ".join(models)
    yield "began", day_time(call.began)
    audio = f"{length(call.audio_ms / 1000)} of audio"
    yield "length", f"{length(call.ended - call.began)}, {audio}"
    yield "ended", call.how
    lost = f", {call.lost_sessions} lost" if call.lost_sessions else ""
    yield "sessions", f"{len(call.sessions)}{lost}"
    if call.outages:
        whole = seconds(sum(outage.seconds for outage in call.outages))
        yield "outages", f"{len(call.outages)}: {whole} without a session"
    yield "turns", count(sum(turn.is_final for turn in call.turns), "final turn")
    if call.lost_seconds:
        yield "lost", f"{seconds(call.lost_seconds)} of audio"


def _line(moment: Moment) -> Text:
    when = f"{clock_time(moment.at.unix)}  {stamp(moment.at.ms):>10}  "
    return Text.assemble((when, "dim"), (plain(moment.text), _STYLES[moment.kind]))


def _table(found: Latencies) -> Table:
    table = Table(box=None)
    table.add_column("how long it took")
    for column in ("count", "median", "p95", "most"):
        table.add_column(column, justify="right")
    for what, spread in found.named():
        if spread is not None:
            values = map(seconds, (spread.median, spread.p95, spread.most))
            table.add_row(what, str(spread.count), *values)
    return table


def _cells(listed: Listed, call: Timeline) -> list[str]:
    return [
        listed.path.name,
        day_time(call.began),
        listed.how,
        length(call.audio_ms / 1000),
        str(len(call.sessions)),
        str(call.lost_sessions),
        str(sum(turn.is_final for turn in call.turns)),
        seconds(call.lost_seconds) if call.lost_seconds else "-",
    ]
