"""One connection: how it opens, how it ends, and what is said of that."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
from aiohttp import web

from aai_stream import messages
from aai_stream._core import AudioRing
from aai_stream.connection.addresses import endpoint
from aai_stream.connection.connector import open_session
from aai_stream.connection.credentials import Credentials
from aai_stream.connection.wire.picows import open_wire
from aai_stream.errors import (
    BusyError,
    DroppedError,
    EndedError,
    ExpiredError,
    RefusedError,
    RejectedError,
    SessionError,
    TimedOutError,
    TokenExpiredError,
    TooFastError,
    TransientError,
)
from aai_stream.messages import Event
from aai_stream.options import Options
from aai_stream.protocol.failures import closed_error
from aai_stream.protocol.session import MOST_EARLY, Session
from tests.servers import (
    BEGIN,
    Handler,
    begin_then,
    read_to_end,
    terminate_when_asked,
    websocket_server,
    within,
)

KEY = "key-that-nobody-may-see"


class Caller:
    """Opens a session and keeps what it was told."""

    def __init__(self, **options: Any) -> None:
        self.options = Options(options)
        self.events: list[Event] = []
        self.arrived = asyncio.Condition()
        self.closed: asyncio.Future[SessionError | None] = asyncio.Future()

    async def open(
        self, url: str, begin_timeout: float = 5.0, *, listens: bool = True
    ) -> Session:
        session = await open_session(
            open_wire,
            endpoint(url, "/v3/ws"),
            Credentials(KEY),
            self.options,
            sample_rate=16000,
            timeout=5,
            begin_timeout=begin_timeout,
        )
        if listens:
            self.listen(session)
        return session

    def listen(self, session: Session) -> None:
        session.listen(self.events.append, self.closed.set_result)


async def how_it_ends(handler: Handler) -> tuple[SessionError | None, list[Event]]:
    """Open a session with a server that then ends it."""
    caller = Caller()
    async with websocket_server(handler) as url:
        session = await caller.open(url)
        end = await within(5, caller.closed)
        await session.close()
    assert KEY not in repr(end)
    return end, caller.events


async def test_a_session_from_begin_to_termination() -> None:
    seen: list[Any] = []
    asked: dict[str, str] = {}

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        asked.update(request.query)
        asked["key"] = request.headers["Authorization"]
        await begin_then(socket, {"type": "Turn", "turn_order": 0})
        seen.extend(await terminate_when_asked(socket))

    caller = Caller(speech_model="u3-rt-pro", sample_rate=16000)
    async with websocket_server(handler) as url:
        session = await caller.open(url)
        assert session.id == "session-1"
        assert session.expires_at == 2_000_000_000
        ring = AudioRing()
        ring.write(b"\1\2" * 800, 16000)
        chunk = ring.next_chunk()
        assert chunk is not None
        session.send_audio(chunk)
        session.update({"type": "UpdateConfiguration", "prompt": "x"})
        session.force_endpoint()
        session.keep_alive()
        termination = await session.terminate(5)
        assert await within(5, caller.closed) is None
    assert asked == {"speech_model": "u3-rt-pro", "sample_rate": "16000", "key": KEY}
    assert seen == [
        b"\1\2" * 800,
        {"type": "UpdateConfiguration", "prompt": "x"},
        {"type": "ForceEndpoint"},
        {"type": "KeepAlive"},
        {"type": "Terminate"},
    ]
    assert [type(event).__name__ for event in caller.events] == [
        "Begin",
        "Turn",
        "Termination",
    ]
    assert termination is caller.events[-1]


async def test_of_a_session_that_waits_only_so_much_is_kept() -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        remarks = [{"type": "Warning", "warning": str(n)} for n in range(MOST_EARLY)]
        await begin_then(socket, *remarks)
        await terminate_when_asked(socket)

    async with websocket_server(handler) as url:
        caller = Caller()
        session = await caller.open(url, listens=False)
        await within(5, session.terminate(5))
        caller.listen(session)
    assert isinstance(caller.events[0], messages.Begin)
    assert len(caller.events) == MOST_EARLY


async def test_closing_terminates_so_that_billing_stops() -> None:
    seen: list[Any] = []

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket)
        seen.extend(await read_to_end(socket))

    caller = Caller()
    async with websocket_server(handler) as url:
        session = await caller.open(url)
        await session.close()
        assert await within(5, caller.closed) is None
        await session.close()
    assert seen == [{"type": "Terminate"}]


async def test_a_server_that_still_tells_turns_is_given_time() -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket)
        await socket.receive()
        await socket.receive()
        word = {"text": "x", "start": 0, "confidence": 1}
        for ms in range(10, 70, 10):
            await asyncio.sleep(0.1)  # less than the timeout, but more in all
            words = [{**word, "end": ms}]
            await socket.send_json({"type": "Turn", "turn_order": 0, "words": words})
        await socket.send_json({"type": "Termination"})
        await socket.close()

    caller = Caller()
    async with websocket_server(handler) as url:
        session = await caller.open(url)
        ring = AudioRing()
        ring.write(bytes(3200), 16000)
        for chunk in ring.flush():
            session.send_audio(chunk)
        assert await session.terminate(0.5) is not None
    assert len(caller.events) == 9
    # The turn that it told piece by piece was never ended.
    lost = caller.events[-2]
    assert isinstance(lost, messages.AudioLost)
    assert (lost.start_ms, lost.end_ms, lost.end_sample) == (0, 100, 1600)


@pytest.mark.parametrize("repeats_itself", [False, True])
async def test_terminate_does_not_wait_for_ever(repeats_itself: bool) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket)
        reading = asyncio.ensure_future(read_to_end(socket))
        end = 10**9
        while repeats_itself and not reading.done():
            end += 1  # words that were never sent are no progress
            words = [{"text": "x", "start": 0, "end": end, "confidence": 1}]
            await socket.send_json({"type": "Turn", "turn_order": 0, "words": words})
            await asyncio.sleep(0.001)
        await reading

    caller = Caller()
    async with websocket_server(handler) as url:
        session = await caller.open(url)
        assert await within(5, session.terminate(0.02)) is None
        assert isinstance(await within(5, caller.closed), TimedOutError)


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize(
    ("code", "kind"), [(3005, DroppedError), (1008, RefusedError), (3009, BusyError)]
)
async def test_the_server_closes_with_error_and_code(
    code: int, kind: type[SessionError], begins: bool
) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        if begins:
            await begin_then(socket)
        error = {"type": "Error", "error_code": code, "error": f"no, {KEY}"}
        await socket.send_json(error)
        await socket.close(code=code, message=b"short")

    if begins:
        end, events = await how_it_ends(handler)
        assert isinstance(events[-1], messages.Error)
    else:
        with pytest.raises(SessionError) as caught:
            await how_it_ends(handler)
        end = caught.value
    assert type(end) is kind
    assert str(end) == f"the server closed the session with code {code}: no, ***"
    assert end.code == code
    assert end.retryable == issubclass(kind, TransientError)


async def test_an_error_without_a_proper_close_still_tells_its_code() -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket, {"error": "old form", "error_code": 4029})
        assert request.transport is not None
        await asyncio.sleep(0)
        request.transport.close()

    end, _ = await how_it_ends(handler)
    assert isinstance(end, TooFastError)
    assert end.code == 4029


async def test_an_error_before_begin_is_the_answer_even_without_a_close() -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        error = {"type": "Error", "error_code": 1008, "error": "Invalid API key"}
        await socket.send_json(error)
        await read_to_end(socket)

    with pytest.raises(RefusedError, match="Invalid API key"):
        await how_it_ends(handler)


async def test_an_error_that_was_survived_explains_no_later_cut() -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        error = {"type": "Error", "error_code": 3006, "error": "x"}
        await begin_then(socket, error, {"type": "Turn", "turn_order": 0})
        assert request.transport is not None
        request.transport.close()

    end, _ = await how_it_ends(handler)
    assert isinstance(end, DroppedError)
    assert end.code == 1006


@pytest.mark.parametrize("closes", [False, True])
async def test_a_termination_that_nobody_asked_for(closes: bool) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await begin_then(socket, {"type": "Termination"})
        if closes:
            await socket.close()
        else:
            await read_to_end(socket)

    end, events = await how_it_ends(handler)
    assert isinstance(end, EndedError)
    assert isinstance(events[-1], messages.Termination)


async def test_a_close_before_begin_is_an_error() -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await socket.close()

    with pytest.raises(EndedError):
        await how_it_ends(handler)


async def test_no_begin_in_time() -> None:
    seen: list[Any] = []

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        seen.extend(await read_to_end(socket))

    caller = Caller()
    async with websocket_server(handler) as url:
        with pytest.raises(TimedOutError, match=r"within 0\.05 s"):
            await caller.open(url, begin_timeout=0.05)
    assert seen == [{"type": "Terminate"}]
    assert not caller.closed.done()
    assert caller.events == []


async def test_cancelling_the_opening_closes_the_socket() -> None:
    arrived = asyncio.Event()
    gone = asyncio.Event()

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        arrived.set()
        await read_to_end(socket)
        gone.set()

    caller = Caller()
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    async with websocket_server(handler) as url:
        opening = asyncio.ensure_future(caller.open(url))
        await within(5, arrived.wait())
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await within(5, gone.wait())
    del opening
    gc.collect()
    assert complaints == []  # of an exception that nobody retrieved


async def test_messages_that_cannot_be_read_are_counted_and_survived(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        bad = '{"type":"Turn","turn_order":0,"words":"what was said"}'
        await begin_then(socket, "garbage", bad, {"type": "New"})
        await socket.send_bytes(b"binary")
        await socket.send_json({"type": "Turn", "turn_order": 1})
        await terminate_when_asked(socket)

    caller = Caller()
    with caplog.at_level(logging.DEBUG):
        async with websocket_server(handler) as url:
            session = await caller.open(url)
            await session.terminate(5)
    assert session.malformed_messages == 2
    assert caller.events[1:3] == [
        messages.Unknown(type="New", raw={"type": "New"}),
        messages.Turn(turn_order=1),
    ]
    assert "what was said" not in caplog.text
    assert KEY not in caplog.text


async def test_what_the_server_did_not_take_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        await socket.send_json({**BEGIN, "configuration": {"mode": "balanced"}})
        await read_to_end(socket)

    caller = Caller(mode="max_accuracy")
    async with websocket_server(handler) as url:
        session = await caller.open(url)
        await session.close()
    assert [record.getMessage() for record in caplog.records] == [
        "session session-1: the server did not take: mode"
    ]


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (1000, "", EndedError),
        (1006, "", DroppedError),
        (1008, "Invalid API key", RefusedError),
        (1008, "Unauthorized Connection: Signature has expired", TokenExpiredError),
        (1008, "Too many concurrent sessions", BusyError),
        (1009, "", RejectedError),
        (1011, "", DroppedError),
        (1013, "", DroppedError),
        (3005, "", DroppedError),
        (3006, "Invalid value", RejectedError),
        (3006, "Session closed due to inactivity", EndedError),
        (3007, "", TooFastError),
        (3008, "", ExpiredError),
        (3009, "", BusyError),
        (4001, "", RefusedError),
        (4002, "", RefusedError),
        (4008, "", ExpiredError),
        (4029, "", TooFastError),
        (4031, "", EndedError),
        (4101, "", RejectedError),
        (4102, "", BusyError),
        (4999, "", DroppedError),
    ],
)
def test_every_code_has_its_type(
    code: int, text: str, kind: type[SessionError]
) -> None:
    error = closed_error(code, text)
    assert type(error) is kind
    assert error.code == code
    assert str(code) in str(error)
    assert text in str(error)


@pytest.mark.parametrize(
    ("code", "retryable", "kind"),
    [
        (1008, None, RefusedError),
        (1008, False, RefusedError),
        (1008, True, DroppedError),
        (3005, None, DroppedError),
        (3005, True, DroppedError),
        (3005, False, EndedError),
        (3009, None, BusyError),
        (3009, True, BusyError),
        (3009, False, EndedError),
    ],
)
def test_the_server_decides_whether_to_try_again(
    code: int, retryable: bool | None, kind: type[SessionError]
) -> None:
    error = closed_error(code, "so", retryable=retryable, retry_after=7)
    assert type(error) is kind
    assert error.code == code
    assert getattr(error, "retry_after", None) == (7 if error.retryable else None)


@pytest.mark.parametrize("begins", [True, False])
async def test_an_error_tells_when_to_try_again(begins: bool) -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        if begins:
            await socket.send_json(BEGIN)
        error = {"error": "busy", "error_code": 1008, "retryable": True}
        await socket.send_json({"type": "Error", **error, "retry_after_seconds": 2.5})
        await socket.close(code=1008)

    if begins:
        failure, _ = await how_it_ends(handler)
    else:
        async with websocket_server(handler) as url:
            with pytest.raises(DroppedError) as caught:
                await Caller().open(url)
        failure = caught.value
    assert isinstance(failure, DroppedError)
    assert (failure.code, failure.retry_after) == (1008, 2.5)


async def test_what_came_with_a_remark_tells_no_key() -> None:
    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        new = [{"more": f"{KEY}, also"}]
        warning = {"type": "Warning", "warning": f"old {KEY}", "new": new}
        error = {"type": "Error", "error": f"no {KEY}", "param": KEY, "new": new}
        await begin_then(socket, warning, error)
        await socket.close(code=3005)

    _, (_, *remarks) = await how_it_ends(handler)
    for remark, kind in zip(remarks, ("warning", "error"), strict=True):
        assert isinstance(remark, (messages.Warning, messages.Error))
        assert KEY not in repr(remark)
        assert KEY not in str(remark.raw)
        assert remark.raw["new"] == [{"more": "***, also"}]
        assert remark.raw[kind] == getattr(remark, kind)
