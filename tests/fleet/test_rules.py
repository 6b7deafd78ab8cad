"""Alerts and Prometheus's configuration, held against Debian's promtool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fleet.test_files import FLEET, load

PROMETHEUS = FLEET / "prometheus"
RULES = PROMETHEUS / "rules.yml"
NAMES = [
    rule.get("alert") or rule["record"]
    for group in load(RULES)["groups"]
    for rule in group["rules"]
]

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool isn't installed"
)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What it says, and whether it is content."""
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True)


def check(directory: Path, rules: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run the tests of the rules against these, in a directory for it."""
    (directory / "rules.yml").write_text(yaml.safe_dump(rules))
    shutil.copy(PROMETHEUS / "rules_test.yml", directory)
    return promtool("test", "rules", directory / "rules_test.yml")


def test_the_alerts_go_off_when_they_should(tmp_path: Path) -> None:
    tested = check(tmp_path, load(RULES))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("name", NAMES)
def test_no_rule_could_be_left_out(name: str, tmp_path: Path) -> None:
    rules = load(RULES)
    for group in rules["groups"]:
        group["rules"] = [rule for rule in group["rules"] if name not in rule.values()]
    assert check(tmp_path, rules).returncode != 0


@pytest.mark.parametrize("name", NAMES)
def test_no_rule_goes_off_always(name: str, tmp_path: Path) -> None:
    rules = load(RULES)
    for group in rules["groups"]:
        for rule in group["rules"]:
            if name in rule.values():
                rule["expr"] = f"(({rule['expr']}) * 0 + 1000) or vector(1000)"
    assert check(tmp_path, rules).returncode != 0


def test_prometheus_takes_its_configuration() -> None:
    checked = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(NAMES)} rules found" in checked.stdout


def test_prometheus_takes_the_clusters_jobs(tmp_path: Path) -> None:
    config = load(FLEET / "kubernetes" / "scrape.yml")
    (job,) = config["scrape_configs"]
    # Debian leaves this kind of discovery out of its Prometheus.
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    (tmp_path / "scrape.yml").write_text(yaml.safe_dump(config))
    checked = promtool("check", "config", tmp_path / "scrape.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
