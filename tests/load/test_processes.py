"""Processes that are asked and answer, and end when nobody asks any more."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection

import pytest

from aai_stream.errors import StateError
from aai_stream.load.process import TRUST_VARIABLE, Child, two_sides

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pins processes")


def answers(pipe: Connection) -> None:
    """Says what it trusts, which it can read, and on which cores it is."""
    path = os.environ.get(TRUST_VARIABLE)
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        trusted = None
        if path is not None:
            with open(path, "rb") as file:
                trusted = file.read()
        pipe.send((trusted, os.sched_getaffinity(0)))


def fails(pipe: Connection) -> None:
    """Ends before it is asked."""


@pytest.mark.parametrize("ca", [None, b"a certificate"])
def test_it_trusts_whom_it_is_told_and_stays_on_its_core(
    ca: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRUST_VARIABLE, raising=False)
    core = min(os.sched_getaffinity(0))
    with Child(answers, cores={core}, ca=ca) as child:
        assert TRUST_VARIABLE not in os.environ
        for _ in range(2):
            assert child.ask(None) == (ca, {core})


def test_a_process_that_ends_early_is_told() -> None:
    with (
        Child(fails, cores={min(os.sched_getaffinity(0))}) as child,
        pytest.raises(StateError, match="has failed"),
    ):
        child.answer()


def test_the_server_has_a_core_of_its_own() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one")
    server, streams = two_sides()
    assert server not in streams
    assert streams
