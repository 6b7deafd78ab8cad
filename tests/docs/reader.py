"""Somebody who reads a page and does what it says, on a machine of their own.

The machine is a network namespace: nothing leaves it, its ports are free, and
streaming.assemblyai.com is a stand-in on loopback, see `interpreter.py`. Files are
written to a folder of its own, from which the repository can be seen.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import pytest
import soundfile
import trustme

ROOT = Path(__file__).parents[2]
DEVICES = Path(__file__).parent / "devices"
SEEN = ("README.md", "pyproject.toml", "benchmarks", "docs", "src", "tests")
CALL_SECONDS = 4.0
"""What there is of the example call, its first sentence: it is heard in real time."""

METRICS = "/tmp/aai-stream-metrics"
"""The one place outside of the desk that a page names; a mount of its own."""

DONE = "this command is done:"
_UNSHARE = ("unshare", "--net", "--mount", *(() if os.getuid() == 0 else ("-Ur",)))

_SETTLE = f"""
ip link set lo up
mount --bind "$DESK/hosts" /etc/hosts
mkdir -p {METRICS} "$DESK/metrics"
mount --bind "$DESK/metrics" {METRICS}
{sys.executable} -m tests.docs.interpreter <&$IN >&$OUT 2>&1 &
exec bash --norc --noprofile
"""


@functools.cache
def _has_namespaces() -> bool:
    command = [*_UNSHARE, "ip", "link", "set", "lo", "up"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:  # no unshare
        return False


class Reader:
    """At a desk: a shell and an interpreter, which remember what was done before."""

    def __init__(self) -> None:
        if not _has_namespaces():
            pytest.skip("needs unshare and ip, allowed to make a network namespace")
        self._folder = tempfile.TemporaryDirectory()
        self.desk = Path(self._folder.name)
        self._lay_out()
        self._output = ""
        self._hangs = False
        self._background: list[Path] = []
        self._shell, self._to_python, self._from_python = self._open()

    def _lay_out(self) -> None:
        for name in SEEN:
            (self.desk / name).symlink_to(ROOT / name)
        # A copy, since pages change it.
        ignored = shutil.ignore_patterns("__pycache__", "*.html")
        shutil.copytree(ROOT / "examples", self.desk / "examples", ignore=ignored)
        calls = ROOT / "examples"
        for name in ("call.wav", "call-stereo-44k.flac"):
            _cut(calls / name, self.desk / "examples" / name)
        _cut(calls / "call.wav", self.desk / "call.wav")
        (self.desk / "hosts").write_text(
            "127.0.0.1 localhost streaming.assemblyai.com\n"
        )
        ca = trustme.CA()
        ca.cert_pem.write_to_path(self.desk / "ca.pem")
        issued = ca.issue_cert("streaming.assemblyai.com")
        issued.private_key_and_cert_chain_pem.write_to_path(self.desk / "server.pem")

    def _open(self) -> tuple[subprocess.Popen[str], IO[str], IO[str]]:
        python_reads, to_python = os.pipe()
        from_python, python_writes = os.pipe()
        environment = {
            "PATH": f"{DEVICES}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{self.desk}:{ROOT / 'src'}:{DEVICES}",
            "XDG_RUNTIME_DIR": str(self.desk),
            "HOME": str(self.desk),
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            "PYTHONUNBUFFERED": "1",
            "DESK": str(self.desk),
            "IN": str(python_reads),
            "OUT": str(python_writes),
        }
        shell = subprocess.Popen(
            [*_UNSHARE, "bash", "-c", _SETTLE],
            cwd=self.desk,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=(python_reads, python_writes),
            start_new_session=True,
        )
        os.close(python_reads)
        os.close(python_writes)
        return shell, os.fdopen(to_python, "w"), os.fdopen(from_python)

    # ---- Python ----

    def save(self, name: str, source: str) -> None:
        """Put a program on the desk."""
        (self.desk / name).write_text(source)

    def run_python(self, source: str, place: str) -> str | None:
        """Run a block, with the names of those before; gives how it failed."""
        self._to_python.write(json.dumps([source, place]) + "\n")
        self._to_python.flush()
        for line in self._from_python:
            if line.startswith(DONE):
                failure: str | None = json.loads(line.removeprefix(DONE))
                return failure
            self._output += line
        raise AssertionError(f"the interpreter died: {self._output}")

    # ---- the shell ----

    def run(self, command: str, *, fails: bool = False) -> None:
        """Run a command to its end, which must be a good one, or a bad one."""
        assert (self._said(command) != 0) == fails, f"{command}: {self._output}"

    def begin(self, command: str) -> None:
        """Run a command that goes on, until it says something."""
        log = self.desk / f"{len(self._background)}.log"
        self._background.append(log)
        status = self._said(
            f"{command} >{log} 2>&1 &\n"
            f"until [ -s {log} ] || ! kill -0 $! 2>&-; do sleep 0.05; done\n"
            f"[ -s {log} ]"
        )
        assert status == 0, f"{command} ended without a word"

    def interrupt(self) -> None:
        """Press Ctrl-C in what was begun last."""
        status = self._said("kill -INT $!; wait $!")
        assert status in (0, 130), f"{status}: {self._background[-1].read_text()}"

    def expect(self, lines: Iterable[str]) -> None:
        """The block's commands have said these lines; numbers may be others."""
        said = self._output + "".join(log.read_text() for log in self._background)
        there = [_shape(line) for line in said.splitlines()]
        for line in lines:
            pattern = re.escape(_shape(line)).replace("…", ".*")
            assert any(re.fullmatch(pattern, each) for each in there), (line, said)
        self._output = ""

    def _said(self, command: str) -> int:
        """The exit status; what is said meanwhile goes to the output."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        # Its standard input is not the shell's, which holds the next commands.
        assert not self._hangs, "a command of an earlier block hangs"
        self._hangs = True
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null\necho '{DONE}' $?\n")
        self._shell.stdin.flush()
        for line in self._shell.stdout:
            before, is_done, status = line.partition(DONE)
            self._output += before
            if is_done:
                self._hangs = False
                self._output += "\n"  # some end without one
                return int(status)
        raise AssertionError(f"the shell died: {self._output}")

    def close(self) -> None:
        """Leave nothing running."""
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        for file in (self._shell.stdin, self._shell.stdout):
            assert file is not None
            file.close()
        self._to_python.close()
        self._from_python.close()
        self._folder.cleanup()


def _cut(call: Path, path: Path) -> None:
    """The beginning of a recording of the example call."""
    rate = soundfile.info(call).samplerate
    start, _ = soundfile.read(call, round(CALL_SECONDS * rate), dtype="int16")
    soundfile.write(path, start, rate)


def _shape(line: str) -> str:
    """A line without what differs by run: ids and numbers."""
    return re.sub(r"\d+", "0", re.sub(r"\b[0-9a-f]{8}\b", "0", line.rstrip()))
