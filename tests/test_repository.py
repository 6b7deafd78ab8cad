"""What GitHub reads of this repository is written as GitHub reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FILES = {
    "vendor.github-workflows": sorted(ROOT.glob(".github/workflows/*.yml")),
    "vendor.dependabot": [ROOT / ".github/dependabot.yml"],
    "vendor.github-issue-config": [ROOT / ".github/ISSUE_TEMPLATE/config.yml"],
    "vendor.github-issue-forms": [
        ROOT / ".github/ISSUE_TEMPLATE/bug.yml",
        ROOT / ".github/ISSUE_TEMPLATE/idea.yml",
    ],
}


@pytest.mark.parametrize("schema", FILES)
def test_files_are_as_their_schema_says(schema: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    files = list(map(str, FILES[schema]))
    assert files
    done = subprocess.run([*command, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_make_help_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = (line for line in makefile.splitlines() if line.startswith(".PHONY:"))
    alone = {name: v for name, v in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-s", "help"],
        cwd=ROOT,
        env=alone,
        capture_output=True,
        text=True,
        check=True,
    )
    told = {line.split()[0] for line in done.stdout.splitlines()}
    assert told == set(phony.split()[1:])
