"""The dashboard and the alerts: they know the metrics that there are, and no others."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client import REGISTRY

from aai_stream.telemetry import instruments
from tests.fleet.test_files import KUBERNETES, load
from tests.fleet.test_rules import NAMES, RULES
from tests.fleet.test_running import DASHBOARD, queries

instruments.event_loop_lag()  # is in the registry from here on
METRICS = {
    metric.name: metric.type
    for metric in REGISTRY.collect()
    if metric.name.startswith("aai_stream_")
}
SERIES = {"counter": "_total", "gauge": "", "histogram": "_bucket"}
"""What is asked for of a kind of metric."""

SOURCE = "${datasource}"
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def names_in(query: str) -> set[str]:
    """The series of ours that it asks for."""
    return set(re.findall(r"(?<![\w:])aai_stream_\w+", query))


def series() -> set[str]:
    """All that there are to ask for."""
    return {name + SERIES[kind] for name, kind in METRICS.items()}


def test_every_metric_has_its_panel() -> None:
    assert len(METRICS) == 13
    assert set.union(*map(names_in, queries().values())) == series()


def test_rules_and_the_autoscaler_ask_for_what_there_is() -> None:
    rules = [rule["expr"] for group in load(RULES)["groups"] for rule in group["rules"]]
    (adapter,) = load(KUBERNETES / "adapter.yaml")["rules"]["custom"]
    for query in [*rules, adapter["seriesQuery"]]:
        assert names_in(query) <= series()
        recorded = set(re.findall(r"job:\w+:\w+", query))
        assert recorded <= set(NAMES)


def test_grafana_can_read_it() -> None:
    assert DASHBOARD["schemaVersion"] >= 36  # the first with data sources as objects
    assert DASHBOARD["uid"]
    first, second = DASHBOARD["templating"]["list"]
    assert (first["name"], first["type"]) == ("datasource", "datasource")
    assert (second["name"], second["datasource"]["uid"]) == ("instance", SOURCE)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_a_panel_is_whole(panel: dict[str, Any]) -> None:
    assert panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    for part in [panel, *panel["targets"]]:
        assert part["datasource"] == {"type": "prometheus", "uid": SOURCE}
    letters = [target["refId"] for target in panel["targets"]]
    assert letters == sorted(set(letters))


def test_no_panel_covers_another() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in PANELS)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
