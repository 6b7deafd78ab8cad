"""Frames to the server: as RFC 6455 has them, and masked with keys nobody foresees."""

from __future__ import annotations

import array
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aai_stream import _core
from aai_stream._core import AudioRing, FrameWriter
from aai_stream.errors import AudioError
from tests.frames import unframed
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


def framed(opcode: int, payload: Any, writer: FrameWriter | None = None) -> bytes:
    """What a connection is given to write."""
    written: list[bytes] = []
    writer = writer or FrameWriter()
    writer.open(written.append)
    writer.send(opcode, payload)
    (frame,) = written
    return frame


SIZES = [0, 1, 7, 8, 9, 125, 126, 127, 1600, 65535, 65536, 70_001]


@pytest.mark.parametrize("size", SIZES)
def test_any_length(size: int, keys: list[bytes]) -> None:
    payload = os.urandom(size)
    frame = framed(2, payload)
    assert frame == client_frame(2, payload, keys[0][:4])


@given(opcode=st.integers(0, 15), data=st.binary(max_size=300), at=st.integers(0, 9))
def test_any_payload_at_any_place_in_memory(opcode: int, data: bytes, at: int) -> None:
    memory = bytearray(at) + data
    frame = framed(opcode, memoryview(memory)[at:])
    length = 2 if len(data) < 126 else 4
    assert frame == client_frame(opcode, data, frame[length : length + 4])
    assert memory == bytearray(at) + data


def test_keys_are_the_operating_systems_each_used_once(keys: list[bytes]) -> None:
    frames = FrameWriter()
    used = [framed(9, b"", frames)[2:] for _ in range(200)]
    assert b"".join(used) == b"".join(keys)[:800]


def test_no_two_connections_share_keys() -> None:
    one, other = FrameWriter(), FrameWriter()
    used = {framed(9, b"", frames)[2:] for frames in (one, other) for _ in range(100)}
    assert len(used) == 200


def test_a_failing_source_of_keys_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(count: int) -> bytes:
        raise NotImplementedError

    frames = FrameWriter()
    monkeypatch.setattr(_core, "urandom", fail)
    with pytest.raises(NotImplementedError):
        framed(1, b"text", frames)
    monkeypatch.undo()
    assert framed(1, b"text", frames)[2:6] != bytes(4)


def test_a_chunk_of_the_ring_stays_as_it_was() -> None:
    ring = AudioRing(16000)
    ring.write(array.array("h", range(800)), 16000)
    chunk = ring.next_chunk()
    assert chunk is not None
    before = bytes(chunk)
    assert len(framed(2, chunk)) == 8 + len(before)
    assert bytes(chunk) == before


@pytest.mark.parametrize("opcode", [-1, 16, 1.0, True, "2", None])
def test_what_is_no_opcode(opcode: Any) -> None:
    with pytest.raises(AudioError, match="opcode"):
        framed(opcode, b"")


@pytest.mark.parametrize("payload", ["text", None, memoryview(b"abcd")[::2]])
def test_what_is_no_payload(payload: Any) -> None:
    with pytest.raises((TypeError, BufferError)):
        framed(2, payload)


def test_audio_and_text_are_whole_messages() -> None:
    written: list[bytes] = []
    frames = FrameWriter()
    frames.open(written.append)
    frames.send_audio(array.array("h", [1, 2]))
    frames.send_text(b"{}")
    assert [frame[0] for frame in written] == [0x82, 0x81]
    assert [unframed(frame) for frame in written] == [(2, b"\1\0\2\0"), (1, b"{}")]


def test_nothing_is_written_before_it_is_open_nor_once_it_is_shut() -> None:
    written: list[bytes] = []
    frames = FrameWriter()
    assert not frames.is_open
    assert frames.has_room
    frames.send_audio(b"early")
    frames.open(written.append)
    frames.is_open = False
    frames.send_text(b"late")
    assert written == []


def test_what_the_transport_raises_gets_through() -> None:
    def write(frame: bytes) -> None:
        raise RuntimeError("closed")

    frames = FrameWriter()
    frames.open(write)
    with pytest.raises(RuntimeError, match="closed"):
        frames.send_text(b"{}")
