"""docs/fleet.md explains every alert, examples/fleet/worker.py its variables."""

from __future__ import annotations

import re

from tests.fleet.test_files import COMPOSE, FLEET, ROOT, container, load
from tests.fleet.test_rules import RULES

PAGE = (ROOT / "docs" / "fleet.md").read_text()
WORKER = (FLEET / "worker.py").read_text()


def test_every_alert_is_explained() -> None:
    rules = [rule for group in load(RULES)["groups"] for rule in group["rules"]]
    alerts = [rule["alert"] for rule in rules if "alert" in rule]
    assert re.findall(r"(?m)^\| `(AaiStream\w+)` \|", PAGE) == alerts


def test_a_workers_variables_are_those_that_it_reads() -> None:
    description, _, code = WORKER.removeprefix('"""').partition('"""')
    told = set(re.findall(r"(?m)^    ([A-Z_]+)(?:=\S+)? ", description))
    assert told == set(re.findall(r'"([A-Z_]+)"', code))
    defaults = dict(re.findall(r"(?m)^    ([A-Z_]+)=(\S+)", description))
    assert defaults == dict(re.findall(r'"([A-Z_]+)", "([\d.]+)"', code))
    others = set(re.findall(r"[A-Z_]{8,}", description)) - told
    given = {entry["name"] for entry in container()["env"]}
    given |= set(load(COMPOSE)["services"]["worker"]["environment"])
    assert given <= told | others
