"""Every kind of fault does something, and every message is told by somebody."""

from __future__ import annotations

from typing import get_args

import pytest

import aai_stream
from aai_stream import messages
from aai_stream.emulator.engines.marked import MarkedEngine, marked_audio
from aai_stream.emulator.faults import KINDS, fault
from aai_stream.emulator.server import Emulator
from aai_stream.errors import SessionError
from tests.emulator.faults.helpers import happened

SOON = {
    "refuse": "seconds=0.1",
    "freeze": "cut=0.1",
    "stop-reading": "cut=0.1",
    "mute": "cut=0.1",
    "trickle": "seconds=0.001",
    "no-turns": "cut=0.1",
    "no-final": "cut=0.1",
    "no-termination": "cut=0.1",
    "ignore-terminate": "cut=0.1",
    "late-begin": "seconds=0.01",
    "late-final": "seconds=0.01",
    "late-termination": "seconds=0.01",
}
"""Options by which nobody has to wait."""


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_happens_in_an_ordinary_call(kind: str) -> None:
    text = ",".join([kind, *filter(None, [SOON.get(kind)]), "on=1"])
    async with Emulator(MarkedEngine(), faults=[fault(text)]) as emulator:
        stream = aai_stream.connect(
            base_url=emulator.url, catch_up_rate=float("inf"), close_timeout=2
        )
        try:
            async with stream:
                stream.push(marked_audio(4))
                await stream.end()
        except SessionError:
            pass  # whether a call outlives it is another matter
        assert kind in happened(emulator)


def test_every_message_has_a_type_of_its_own() -> None:
    """One that is left out of the union would come as `Unknown`."""
    defined = {
        message
        for message in vars(messages).values()
        if isinstance(message, type)
        and issubclass(message, messages.Message)
        and message is not messages.Message
    }
    assert defined == set(get_args(messages._Known))
