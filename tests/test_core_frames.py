"""Frames to the server: as RFC 6455 has them, and masked with keys nobody foresees."""

from __future__ import annotations

import array
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream import _core
from aai_stream._core import AudioRing, ClientFrames
from aai_stream.errors import AudioError
from tests.reference import client_frame


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the operating system was asked for, as it was given."""
    given_out: list[bytes] = []

    def urandom(count: int) -> bytes:
        given_out.append(os.urandom(count))
        return given_out[-1]

    monkeypatch.setattr(_core, "urandom", urandom)
    return given_out


SIZES = [0, 1, 7, 8, 9, 125, 126, 127, 1600, 65535, 65536, 70_001]


@pytest.mark.parametrize("size", SIZES)
def test_any_length(size: int, keys: list[bytes]) -> None:
    payload = os.urandom(size)
    frame = ClientFrames().frame(2, payload)
    assert frame == client_frame(2, payload, keys[0][:4])


@given(opcode=st.integers(0, 15), data=st.binary(max_size=300), at=st.integers(0, 9))
def test_any_payload_at_any_place_in_memory(opcode: int, data: bytes, at: int) -> None:
    memory = bytearray(at) + data
    frame = ClientFrames().frame(opcode, memoryview(memory)[at:])
    length = 2 if len(data) < 126 else 4
    assert frame == client_frame(opcode, data, frame[length : length + 4])
    assert memory == bytearray(at) + data


def test_keys_are_the_operating_systems_each_used_once(keys: list[bytes]) -> None:
    frames = ClientFrames()
    used = [frames.frame(9, b"")[2:] for _ in range(200)]
    assert b"".join(used) == b"".join(keys)[:800]


def test_no_two_connections_share_keys() -> None:
    one, other = ClientFrames(), ClientFrames()
    used = {frames.frame(9, b"")[2:] for frames in (one, other) for _ in range(100)}
    assert len(used) == 200


def test_a_failing_source_of_keys_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(count: int) -> bytes:
        raise NotImplementedError

    frames = ClientFrames()
    monkeypatch.setattr(_core, "urandom", fail)
    with pytest.raises(NotImplementedError):
        frames.frame(1, b"text")
    monkeypatch.undo()
    assert frames.frame(1, b"text")[2:6] != bytes(4)


def test_a_chunk_of_the_ring_stays_as_it_was() -> None:
    ring = AudioRing(16000)
    ring.write(array.array("h", range(800)), 16000)
    chunk = ring.next_chunk()
    assert chunk is not None
    before = bytes(chunk)
    assert len(ClientFrames().frame(2, chunk)) == 8 + len(before)
    assert bytes(chunk) == before


@pytest.mark.parametrize("opcode", [-1, 16, 1.0, True, "2", None])
def test_what_is_no_opcode(opcode: Any) -> None:
    with pytest.raises(AudioError, match="opcode"):
        ClientFrames().frame(opcode, b"")


@pytest.mark.parametrize("payload", ["text", None, memoryview(b"abcd")[::2]])
def test_what_is_no_payload(payload: Any) -> None:
    with pytest.raises((TypeError, BufferError)):
        ClientFrames().frame(2, payload)
