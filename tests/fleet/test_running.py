"""A worker of examples/fleet at work, and what a real Prometheus sees of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from aai_stream.emulator.server import Emulator
from tests.fleet.running import Prometheus, eventually, fleet, prometheus
from tests.fleet.test_files import FLEET, KUBERNETES, load

DASHBOARD = json.loads((FLEET / "grafana" / "dashboard.json").read_text())
GRAFANA = {"$instance": ".*", "$__rate_interval": "30s", "$__range": "1h"}
"""What it fills in."""

CALLS = 2
FAULTS = [
    "reset,at=turn:1,on=1",
    "status,code=503,on=3",
    # What that session has open is lost.
    "reset,at=turn:1,on=5",
    "status,code=401,on=7",
]


def queries() -> dict[str, str]:
    """Those of the dashboard, by panel and letter."""
    return {
        f"{panel['title']}, {target['refId']}": filled_in(target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    }


def filled_in(query: str) -> str:
    """As Prometheus gets it."""
    for name, value in GRAFANA.items():
        query = query.replace(name, value)
    return query


def scaling() -> str:
    """What the autoscaler's adapter asks about its pods."""
    (rule,) = load(KUBERNETES / "adapter.yaml")["rules"]["custom"]
    series, _, labels = rule["seriesQuery"].partition("{")
    assert labels == 'namespace!="",pod!=""}'
    query: str = rule["metricsQuery"]
    return (
        query.replace("<<.Series>>", series)
        .replace("<<.LabelMatchers>>", 'namespace="calls",pod=~"pod-1|pod-2"')
        .replace("<<.GroupBy>>", "pod")
    )


@pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus isn't installed"
)
async def test_all_is_seen(tmp_path: Path) -> None:
    async with (
        fleet(CALLS, FAULTS) as calls,
        calls.worker(tmp_path, SESSIONS_PER_MINUTE="1000") as worker,
        prometheus(
            tmp_path / "prometheus",
            f"127.0.0.1:{worker.metrics_port}",
            {"namespace": "calls", "pod": "pod-1"},
        ) as seen,
    ):
        await everything_has_data(seen)
        await every_rule_runs(seen)
        await words_are_missed(seen)
        await eventually(lambda: is_seen(seen, scaling(), CALLS))
        await eventually(lambda: has_begun(calls.emulator, 5 * CALLS))
    # Not by call, but by calls at a time, and some of the worker's own.
    assert len(list((tmp_path / "metrics").glob("*.db"))) < 3 * 3 * CALLS


async def has_begun(emulator: Emulator, sessions: int) -> bool:
    """Whether there have been so many."""
    return emulator.sessions_opened >= sessions


async def is_seen(prometheus: Prometheus, query: str, value: float) -> bool:
    """Whether that is what it sees, and nothing else."""
    return await prometheus.values(query) == [value]


async def everything_has_data(seen: Prometheus) -> None:
    """Each query of the dashboard, at one time or another."""
    left = queries()

    async def none_is_left() -> bool:
        for name, query in list(left.items()):
            if await seen.values(query):
                del left[name]
        return not left

    await eventually(none_is_left, left)


async def every_rule_runs(seen: Prometheus) -> None:
    """All have been evaluated, without an error."""
    groups = load(FLEET / "prometheus" / "rules.yml")["groups"]
    count = sum(len(group["rules"]) for group in groups)

    async def all_are_well() -> bool:
        groups: list[dict[str, Any]] = (await seen.ask("rules"))["groups"]
        health = [rule["health"] for group in groups for rule in group["rules"]]
        assert "err" not in health
        return health == ["ok"] * count

    await eventually(all_are_well)


async def words_are_missed(seen: Prometheus) -> None:
    """The alert goes off, and the dashboard says how much it was."""

    async def alerted() -> bool:
        alerts = (await seen.ask("alerts"))["alerts"]
        return "AaiStreamWordsLost" in {each["labels"]["alertname"] for each in alerts}

    await eventually(alerted)
    (lost,) = await seen.values(queries()["Audio lost in the time shown, A"])
    assert lost > 0
