"""The recogniser's processes: one that loads the model, and its forks, one a session.

Decoding holds the GIL, so it can't live in the server's process. `main` runs in a
process of its own with a single thread: it loads the model once and forks itself when
the engine asks for a worker. So every session starts from the same state, whatever was
heard before, shares the model's pages with all others, and is ready in milliseconds.

The engine owns both ends of every wire. On the control socket it sends one byte and a
file descriptor for each new worker; on a worker's socket the two talk in frames: four
bytes of length, then msgpack, `Order` down and `Reply` up, one reply an order. A closed
control socket ends everything, a closed worker socket that worker: nothing survives
the engine's process, however that ends.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from .engine import Heard, TurnSettings

if TYPE_CHECKING:
    from pocketsphinx import Decoder

    from .decoder import TurnDecoder

READY = b"ready"
"""What `main` answers when it can fork; any other answer says why it can't."""

FRAME_HEAD = struct.Struct("=I")


class Open(msgspec.Struct, frozen=True, tag=True):
    """The first order of a session."""

    sample_rate: int
    settings: TurnSettings


class Hear(msgspec.Struct, frozen=True, tag=True):
    """Audio."""

    pcm: bytes


class Configure(msgspec.Struct, frozen=True, tag=True):
    """Other turn settings."""

    settings: TurnSettings


class ForceEndpoint(msgspec.Struct, frozen=True, tag=True):
    """End the open turn."""


class Finish(msgspec.Struct, frozen=True, tag=True):
    """No more audio."""


Order = Open | Hear | Configure | ForceEndpoint | Finish


class Reply(msgspec.Struct, frozen=True):
    """What one order led to."""

    heard: list[Heard]
    audio_bytes: int = 0
    """How much audio the order held: so much less is queued."""


_encoder = msgspec.msgpack.Encoder()


def frame(message: Order | Reply) -> bytes:
    """A message as it goes over a worker's socket."""
    body = _encoder.encode(message)
    return FRAME_HEAD.pack(len(body)) + body


def main(control_fd: int) -> None:
    """Load the model, answer `READY`, fork until the control socket is closed.

    The process must lead a group of its own: the group is what is killed at the end.
    """
    with socket.socket(fileno=control_fd) as control:
        try:
            from .decoder import load_model

            model = load_model()
        except ImportError as error:
            why = f"{error}: pip install pocketsphinx"
            control.sendall(why.encode())
            return
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        gc.freeze()
        control.sendall(READY)
        while True:
            asked, fds, _, _ = socket.recv_fds(control, 1, 1)
            if not asked:
                break
            if os.fork() == 0:
                control.close()
                _live(socket.socket(fileno=fds[0]), model)
            os.close(fds[0])
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        os.killpg(0, signal.SIGCONT)  # or a stopped one would never end
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)  # returns when all are gone, as SIGCHLD is ignored


def _live(engine: socket.socket, model: Decoder) -> None:
    """A worker's whole life; never returns, so that nothing of the parent's runs."""
    status = 1
    try:
        _serve(engine, model)
        status = 0
    except ConnectionError:
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _serve(engine: socket.socket, model: Decoder) -> None:
    from .decoder import TurnDecoder

    orders = engine.makefile("rb")
    decode = msgspec.msgpack.Decoder(Order).decode
    session: TurnDecoder | None = None
    while head := orders.read(FRAME_HEAD.size):
        order: Order = decode(orders.read(*FRAME_HEAD.unpack(head)))
        if isinstance(order, Open):
            session = TurnDecoder(model, order.sample_rate, order.settings)
        elif session is not None:
            engine.sendall(frame(_obey(session, order)))


def _obey(session: TurnDecoder, order: Order) -> Reply:
    if isinstance(order, Hear):
        return Reply(session.hear(order.pcm), len(order.pcm))
    if isinstance(order, Configure):
        session.configure(order.settings)
    elif isinstance(order, ForceEndpoint):
        return Reply(session.force_endpoint())
    elif isinstance(order, Finish):
        return Reply(session.finish())
    return Reply([])
