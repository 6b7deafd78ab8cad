"""Docker's and Kubernetes' files of examples/fleet, as far as neither is needed.

Nothing here builds an image or asks a cluster: the files are held against the schemas
of what reads them, and against each other.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "examples" / "fleet"
COMPOSE = FLEET / "compose.yaml"
DOCKERFILE = FLEET / "Dockerfile"
KUBERNETES = FLEET / "kubernetes"
HADOLINT = Path(sys.executable).parent / "hadolint"

CHECKS = {
    "compose": [
        *(sys.executable, "-m", "check_jsonschema"),
        *("--builtin-schema", "vendor.compose-spec", str(COMPOSE)),
    ],
    "kubernetes": [
        *(sys.executable, "-m", "kubernetes_validate", "--strict"),
        str(KUBERNETES / "worker.yaml"),
    ],
    "dockerfile": [str(HADOLINT), str(DOCKERFILE)],
}
UNITS = {"s": 1, "m": 60}


def load(path: Path) -> Any:
    """The YAML file's one document."""
    return yaml.safe_load(path.read_text())


def manifest(kind: str) -> dict[str, Any]:
    """The manifest of that kind."""
    manifests = yaml.safe_load_all((KUBERNETES / "worker.yaml").read_text())
    (found,) = [each for each in manifests if each["kind"] == kind]
    assert isinstance(found, dict)
    return found


def pod() -> dict[str, Any]:
    """What a worker's pod is made of."""
    spec: dict[str, Any] = manifest("Deployment")["spec"]["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    """The one in a worker's pod."""
    (only,) = pod()["containers"]
    assert isinstance(only, dict)
    return only


@pytest.mark.parametrize("command", CHECKS.values(), ids=CHECKS)
def test_what_reads_it_takes_it(command: list[str]) -> None:
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", CHECKS)
def test_a_mistake_would_be_found(name: str, tmp_path: Path) -> None:
    *command, path = CHECKS[name]
    broken = tmp_path / Path(path).name
    text = Path(path).read_text()
    mistake = {
        "compose": ("read_only: true", "read_only: [true]"),
        "kubernetes": ("readOnlyRootFilesystem", "readonlyRootFilesystem"),
        "dockerfile": ("WORKDIR /app", "WORKDIR app"),
    }
    assert mistake[name][0] in text
    broken.write_text(text.replace(*mistake[name]))
    assert subprocess.run([*command, broken], capture_output=True).returncode != 0


def test_images_are_pinned() -> None:
    services = load(COMPOSE)["services"].values()
    built = re.findall(r"(?m)^FROM (\S+)", DOCKERFILE.read_text())
    images = [each["image"] for each in services if "build" not in each]
    for image in [*images, *built, container()["image"]]:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(-\w+)*", image), image


def test_what_is_copied_into_the_image_is_there() -> None:
    for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", DOCKERFILE.read_text()):
        *sources, _ = shlex.split(line)
        assert [name for name in sources if not (ROOT / name).exists()] == []


def test_nobody_is_root_and_nothing_is_written_but_where_it_is_said() -> None:
    image_user = re.findall(r"(?m)^USER (\d+)$", DOCKERFILE.read_text())
    security = pod()["securityContext"]
    assert image_user == [str(security["runAsUser"])] == ["10001"]
    assert security["runAsNonRoot"]
    assert container()["securityContext"]["readOnlyRootFilesystem"]
    worker = load(COMPOSE)["services"]["worker"]
    assert worker["read_only"]
    assert worker["tmpfs"] == ["/tmp"]
    (writable,) = container()["volumeMounts"]
    assert writable["mountPath"] == "/tmp"
    assert "PROMETHEUS_MULTIPROC_DIR=/tmp/" in DOCKERFILE.read_text()


def test_secrets_are_elsewhere() -> None:
    names = {entry["name"] for entry in container()["env"]}
    assert not [name for name in names if "KEY" in name or "SECRET" in name]
    assert container()["envFrom"] == [{"secretRef": {"name": "aai-stream"}}]
    environment = load(COMPOSE)["services"]["worker"]["environment"]
    for name in environment:
        if "KEY" in name or "SECRET" in name:
            assert environment[name] == f"${{{name}:?}}"


def test_a_worker_has_time_to_drain() -> None:
    (drain,) = [e["value"] for e in container()["env"] if e["name"] == "DRAIN_TIMEOUT"]
    assert pod()["terminationGracePeriodSeconds"] > int(drain)
    worker = load(COMPOSE)["services"]["worker"]
    grace, unit = worker["stop_grace_period"][:-1], worker["stop_grace_period"][-1]
    assert int(grace) * UNITS[unit] > int(worker["environment"]["DRAIN_TIMEOUT"])


def test_the_autoscaler_finds_its_metric_and_its_pods() -> None:
    scaler = manifest("HorizontalPodAutoscaler")["spec"]
    (rule,) = load(KUBERNETES / "adapter.yaml")["rules"]["custom"]
    (metric,) = scaler["metrics"]
    assert rule["seriesQuery"].startswith(metric["pods"]["metric"]["name"] + "{")
    deployment = manifest("Deployment")
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    (job,) = load(KUBERNETES / "scrape.yml")["scrape_configs"]
    keep = job["relabel_configs"][0]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert keep["regex"] == f"{labels['app.kubernetes.io/name']};metrics"
    assert ports["metrics"] == 9464
    found = {each.get("target_label") for each in job["relabel_configs"]}
    assert set(rule["resources"]["overrides"]) <= found
