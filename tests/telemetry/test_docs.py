"""docs/fleet.md names every metric, label, field and attribute, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from aai_stream.protocol.events import Outcome
from aai_stream.telemetry import instruments, labels, spans
from aai_stream.telemetry.reporter import Reporter
from tests.runs import Run

PAGE = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table behind that heading, or that header."""
    lines = PAGE.split(heading, 1)[1].splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("|---"))
    found = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def names(heading: str) -> list[str]:
    return [row[0].strip("`") for row in rows(heading)]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def values(label: str) -> set[str]:
    (cell,) = (row[1] for row in rows("| label |") if row[0] == label)
    return quoted(cell)


def test_metrics() -> None:
    told = []
    for metric in (*vars(instruments).values(), instruments.event_loop_lag()):
        if isinstance(metric, MetricWrapperBase):
            (described,) = metric.describe()
            name = described.name + "_total" * (described.type == "counter")
            text = described.documentation
            told.append(
                [
                    f"`{name}`",
                    described.type,
                    ", ".join(metric._labelnames),
                    text[0].lower() + text[1:],
                ]
            )
    shown = rows("| metric |")
    assert len(told) == len(shown) == 13
    by_name = {row[0]: row for row in told}
    for name, kind, of, text in shown:
        assert (kind, of) == tuple(by_name[name][1:3]), name
        if name != "`aai_stream_audio_seconds_total`":
            assert text == by_name[name][3]


def test_labels() -> None:
    assert values("`cause`") == {*labels.CAUSES.values(), labels.OTHER}
    assert values("`outcome` of sessions") == {outcome.value for outcome in Outcome}
    assert values("`outcome` of audio") - {"AudioLost"} == {
        "sent",
        "replayed",
        "skipped",
        "lost",
    }
    assert values("`region`") == {"global", *labels.REGIONS, "local", labels.OTHER}
    assert values("`code`") == {labels.NONE, labels.OTHER}


def test_log_fields() -> None:
    assert names("| field |") == list(Reporter(Run().protocol, "127.0.0.1").fields())


def test_spans_and_their_attributes() -> None:
    assert names("| span |") == [spans.SESSION, spans.CONNECT, spans.REPLAY]
    source = Path(spans.__file__).read_text()
    used = re.findall(r'"((?:gen_ai|lk|server|error|aai_stream)\.[\w.]+)"', source)
    assert set(names("| attribute |")) == set(used)
