"""What a release is: an sdist that builds itself, and a wheel of what a user needs."""

from __future__ import annotations

import email
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from aai_stream.version import __version__

ROOT = Path(__file__).parents[1]
MADE = (".*", "build", "dist", "wheelhouse", "__pycache__", "*.so", "*.egg-info")
"""No part of the source: others make it, or it is git's."""

IN_THE_WHEEL = {
    *("cli", "connection", "doctor", "emulator", "livekit", "load", "protocol"),
    *("recorder", "show", "telemetry"),
    *("__init__.py", "_core.pyi", "py.typed"),
    *("client.py", "containers.py", "errors.py", "files.py", "inbox.py", "lifetime.py"),
    *("messages.py", "metrics.py", "models.py", "options.py", "parameters.py"),
    *("rules.py", "runner.py", "sharing.py", "signatures.py", "stats.py", "stream.py"),
    *("suggestions.py", "timeouts.py", "typing.py", "version.py"),
}
"""At its top, besides the compiled core."""

KINDS = {".py", ".pyi", ".typed", ".so", ".flac", ".js", ".css", ".html", ".svg"}
"""Of its files. The core's sources are in the sdist."""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both, the wheel having been built from the sdist."""
    folder = tmp_path_factory.mktemp("release")
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*MADE))
    compile_fast(tree / "setup.py")
    run("build", "--no-isolation", "--outdir", str(folder / "dist"), str(tree))
    return folder / "dist"


def compile_fast(setup: Path) -> None:
    """Have the core built as it comes: this one is looked at, and never run."""
    before, optimised, after = setup.read_text("utf-8").partition('"-O3"')
    assert optimised
    setup.write_text(f'{before}"-O0", "-g0"{after}', "utf-8")


def run(module: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def wheel(release: Path) -> zipfile.ZipFile:
    (path,) = release.glob("*.whl")
    return zipfile.ZipFile(path)


def sdist(release: Path) -> tarfile.TarFile:
    return tarfile.open(release / f"aai_stream-{__version__}.tar.gz")


def test_the_wheel_has_what_a_user_needs_and_no_more(release: Path) -> None:
    with wheel(release) as file:
        names = [PurePosixPath(name) for name in file.namelist()]
    ours = [name for name in names if name.parts[0] == "aai_stream"]
    (core,) = (name for name in ours if name.suffix == ".so")
    assert core.name.startswith("_core.")
    assert {name.parts[1] for name in ours} - {core.name} == IN_THE_WHEEL
    assert {name.suffix for name in ours} <= KINDS
    others = {name.parts[0] for name in names} - {"aai_stream"}
    assert others == {f"aai_stream-{__version__}.dist-info"}


def test_the_metadata_is_whole(release: Path) -> None:
    run("twine", "check", "--strict", *map(str, release.iterdir()))
    with wheel(release) as file:
        text = file.read(f"aai_stream-{__version__}.dist-info/METADATA").decode()
        file.getinfo(f"aai_stream-{__version__}.dist-info/licenses/LICENSE")
    told = email.message_from_string(text)
    assert told["Version"] == __version__
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Requires-Python"] == ">=3.10"
    assert told["Keywords"]
    assert "Typing :: Typed" in told.get_all("Classifier", [])


def test_the_sdist_has_all_that_git_has(release: Path) -> None:
    """But for what is about the repository."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode != 0:
        pytest.skip("this is no clone")
    with sdist(release) as file:
        there = {str(PurePosixPath(*Path(name).parts[1:])) for name in file.getnames()}
    missing = set(listed.stdout.split()) - there
    assert {name for name in missing if not name.startswith(".")} == set()
