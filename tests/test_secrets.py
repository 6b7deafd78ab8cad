"""Whatever fails: no key, no token, no transcript, no query in logs or errors."""

from __future__ import annotations

import asyncio
import logging
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import prometheus_client
import pytest
import trustme
from aiohttp import web
from livekit import rtc
from livekit.agents import APIConnectOptions, APIError

import aai_stream
import aai_stream.metrics
from aai_stream.errors import AaiStreamError
from aai_stream.livekit import STT
from aai_stream.protocol.retry import Retries
from aai_stream.telemetry.loops import this_loops_watched
from tests.servers import begin_then, http_server, within
from tests.telemetry.exported import exporting

KEY = "key-that-nobody-may-see"
TOKEN = "token+that/nobody=may-see"
SAID = "what-was-said"
MARK = "query-that-nobody-may-see"
SECRETS = [KEY, TOKEN, SAID, MARK, "v3/ws?", "v3/token?", "nobody%3Dmay"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def credential(request: web.Request) -> str:
    """What the client showed."""
    return request.headers.get("Authorization") or request.query["token"]


# ---- what is captured ----


class Everything(logging.Handler):
    """Keeps all that is logged, with tracebacks and what loggers add."""

    def __init__(self) -> None:
        super().__init__(0)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{logging.Formatter().format(record)} {vars(record)!r}")
        if record.exc_info and record.exc_info[1] is not None:
            self.texts += told_by(record.exc_info[1])


@pytest.fixture
def logs() -> Iterator[list[str]]:
    """All that any logger logs, at any level."""
    everything = Everything()
    root = logging.getLogger()
    known = [root, *(logging.getLogger(n) for n in root.manager.loggerDict)]
    before = [(logger, logger.level) for logger in known]
    for logger in known:
        logger.setLevel(1)  # picows logs handshakes below DEBUG
    root.addHandler(everything)
    yield everything.texts
    root.removeHandler(everything)
    for logger, level in before:
        logger.setLevel(level)


def told_by(error: BaseException) -> list[str]:
    """What an exception says, and all that it drags along says."""
    texts = []
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        one = chain.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        texts += [str(one), repr(one), repr(one.args), repr(vars(one))]
        texts += traceback.format_exception(one)
        chain += [one.__cause__, one.__context__]
    return texts


def leaks(texts: list[str]) -> list[tuple[str, str]]:
    return [(secret, text) for text in texts for secret in SECRETS if secret in text]


# ---- servers that fail ----


def refusing(status: int) -> Handler:
    """HTTP, with the key wherever a server could put it."""

    async def handler(request: web.Request) -> web.StreamResponse:
        shown = credential(request)
        return web.Response(
            status=status,
            reason=f"no, {shown}",
            headers={"Retry-After": f"{shown} {MARK}", "X-Echo": shown},
            text=f"{shown} at {request.path_qs}",
        )

    return handler


def talking(*messages: Any, code: int, begins: bool = True) -> Handler:
    """A session that says `messages`, then Error and close with the key in both."""

    async def handler(request: web.Request) -> web.StreamResponse:
        shown = credential(request)
        socket = web.WebSocketResponse(timeout=0.1)
        await socket.prepare(request)
        if begins:
            await begin_then(socket, *messages)
        error = {"type": "Error", "error_code": code, "error": f"no, {shown}: {shown}"}
        await socket.send_json(error)
        await socket.close(code=code, message=f"bad {shown}".encode())
        return socket

    return handler


async def closing(request: web.Request) -> web.StreamResponse:
    """A close without an Error message."""
    socket = web.WebSocketResponse(timeout=0.1)
    await socket.prepare(request)
    await socket.close(code=1008, message=f"bad {credential(request)}".encode())
    return socket


async def cutting(request: web.Request) -> web.StreamResponse:
    """A connection that breaks in a turn."""
    socket = web.WebSocketResponse(timeout=0.1)
    await socket.prepare(request)
    await begin_then(socket, {**TURN, "end_of_turn": False})
    assert request.transport is not None
    request.transport.abort()
    return socket


async def hanging(request: web.Request) -> web.StreamResponse:
    """No Begin."""
    socket = web.WebSocketResponse(timeout=0.1)
    await socket.prepare(request)
    await socket.receive()
    return socket


async def not_http(request: web.Request) -> web.StreamResponse:
    """An answer that is none."""
    assert isinstance(request.transport, asyncio.Transport)
    request.transport.write(f"{credential(request)}\r\n\r\n".encode())
    request.transport.close()
    return web.Response()


WORD = {"text": SAID, "start": 0, "end": 90, "confidence": 1}
TURN = {
    "type": "Turn",
    "turn_order": 0,
    "transcript": SAID,
    "utterance": SAID,
    "words": [WORD],
    "end_of_turn": True,
}
UNREADABLE = [
    f'{{"type":"Turn","transcript":"{SAID}"',
    {**TURN, "words": SAID},
    {**TURN, "turn_order": SAID},
    {**TURN, "words": [{**WORD, "start": SAID}]},
    {**TURN, "words": [{**WORD, SAID: SAID, "end": {SAID: 1}}]},
    {**TURN, "type": [SAID]},
    {"type": "Begin", "configuration": SAID},
    f'"{SAID}"',
    {"said": SAID},
    {"type": SAID},
]

FAILURES: dict[str, Handler] = {
    "HTTP 401": refusing(401),
    "HTTP 400": refusing(400),
    "HTTP 429": refusing(429),
    "HTTP 503": refusing(503),
    "1008 at first": talking(code=1008, begins=False),
    "1008": talking(TURN, code=1008),
    "1008 without Error": closing,
    "3005": talking(TURN, {**TURN, "turn_order": 1}, code=3005),
    "3006": talking({**TURN, "end_of_turn": False}, code=3006),
    "unreadable": talking(*UNREADABLE, code=3005),
    "out of order": talking(
        {**TURN, "end_of_turn": False}, {**TURN, "turn_order": 1}, code=3009
    ),
    "odd Begin": talking(
        {"type": "Begin", "configuration": {"mode": SAID, "marker": MARK}}, code=4001
    ),
    "cut": cutting,
    "no Begin": hanging,
    "no HTTP": not_http,
}


@asynccontextmanager
async def strange_certificate() -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with http_server(hanging, context) as url:
        yield url.replace("ws:", "wss:")


@asynccontextmanager
async def nobody() -> AsyncIterator[str]:
    async with http_server(hanging) as url:
        pass
    yield url


# ---- those who fail with them ----


async def use_stream(url: str, **secret: Any) -> list[BaseException]:
    """Speak, listen; what was raised."""
    stream = aai_stream.connect(
        base_url=url,
        connect_timeout=0.1,
        begin_timeout=0.1,
        close_timeout=0.1,
        max_retries=1,
        mode="balanced",
        extra_params={"marker": MARK},
        **secret,
    )
    raised: list[BaseException] = []
    try:
        async with stream:
            stream.push(bytes(3200))
            async for _ in stream:
                assert not leaks([this_loops_watched().snapshot().decode()])
    except AaiStreamError as exc:
        raised.append(exc)
    with pytest.raises(AaiStreamError) as caught:
        stream.push(b"")
    raised.append(caught.value)
    assert not leaks([repr(stream), repr(stream.stats)])
    return raised


async def use_plugin(url: str, **secret: Any) -> list[BaseException]:
    """Likewise in LiveKit, which tells of errors by events, too: two will do."""
    options = {"begin_timeout": 0.1, "replay_seconds": 1, **secret}
    stt = STT(base_url=url, extra_params={"marker": MARK}, **options)
    raised: list[BaseException] = []
    enough = asyncio.Event()

    def on_error(error: Any) -> None:
        raised.append(error.error)
        if len(raised) == 2:
            enough.set()

    stt.on("error", on_error)
    patience = APIConnectOptions(max_retry=1, retry_interval=0.01, timeout=0.1)
    stream = stt.stream(conn_options=patience)
    stream.push_frame(rtc.AudioFrame.create(16_000, 1, 1600))

    async def listen() -> None:
        try:
            async for _ in stream:
                pass
        except APIError as exc:
            raised.append(exc)

    tasks = [asyncio.ensure_future(listen()), asyncio.ensure_future(enough.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await stream.aclose()
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert not leaks([repr(stt), repr(stream)])
    return raised


async def use_recognize(url: str, **secret: Any) -> list[BaseException]:
    """Likewise for a whole recording."""
    stt = STT(base_url=url, begin_timeout=0.1, extra_params={"marker": MARK}, **secret)
    raised: list[BaseException] = []
    stt.on("error", lambda error: raised.append(error.error))
    patience = APIConnectOptions(max_retry=1, retry_interval=0.01, timeout=0.1)
    with pytest.raises(APIError) as caught:
        await stt.recognize(
            rtc.AudioFrame.create(16_000, 1, 1600), conn_options=patience
        )
    return [caught.value, *raised]


async def use_mint(url: str, **secret: Any) -> list[BaseException]:
    with pytest.raises(AaiStreamError) as caught:
        await aai_stream.mint_token(base_url=url, timeout=0.1, **secret)
    return [caught.value]


by_key = {"api_key": KEY}
by_token = {"token": lambda: TOKEN}
all_users = pytest.mark.parametrize(
    "use",
    [use_stream, use_plugin, use_recognize],
    ids=["stream", "plugin", "recognize"],
)
both_secrets = pytest.mark.parametrize(
    "secret", [by_key, by_token], ids=["key", "token"]
)
Use = Callable[..., Awaitable[list[BaseException]]]


@pytest.fixture(params=["picows", "aiohttp"])
async def over(request: pytest.FixtureRequest) -> AsyncIterator[dict[str, Any]]:
    """Options for each of the wires."""
    async with aiohttp.ClientSession() as session:
        yield {"http_session": session} if request.param == "aiohttp" else {}


@pytest.fixture(autouse=True)
def _nothing_in_telemetry() -> Iterator[None]:
    """Nor in a label of a metric, or in a span."""
    with exporting() as exported:
        yield
        spans = exported.exporter.get_finished_spans()
    shown = prometheus_client.generate_latest().decode()
    assert "aai_stream_sessions_total" in shown
    assert not leaks([shown, *(span.to_json() for span in spans)])


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(most: int, **_: object) -> Retries:
        return Retries(most, patience=0.0, draw=lambda low, high: 0.0)

    monkeypatch.setattr("aai_stream.client.Retries", impatient)
    monkeypatch.setattr("aai_stream.protocol.retry.FIRST_BUSY_SECONDS", 0.0)
    monkeypatch.setattr("aai_stream.connection.wire.CLOSE_SECONDS", 0.05)


def assert_nothing_leaks(raised: list[BaseException], logs: list[str]) -> None:
    assert raised
    texts = [text for error in raised for text in told_by(error)]
    assert leaks(texts) == []
    assert leaks(logs) == []


@all_users
@both_secrets
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_tells_no_secret(
    use: Use,
    over: dict[str, Any],
    secret: dict[str, Any],
    failure: str,
    logs: list[str],
) -> None:
    async with http_server(FAILURES[failure]) as url:
        raised = await within(10, use(url, **over, **secret))
    assert_nothing_leaks(raised, logs)


@pytest.mark.parametrize("failure", ["HTTP 401", "HTTP 429", "HTTP 503", "no HTTP"])
async def test_minting_tells_no_secret(failure: str, logs: list[str]) -> None:
    async with http_server(FAILURES[failure]) as url:
        assert_nothing_leaks(await within(5, use_mint(url, **by_key)), logs)


@pytest.mark.parametrize(
    "text", [f'{{"token": {{"{TOKEN}": 1}}}}', f'{{"tok": "{TOKEN}"}}', TOKEN, ""]
)
async def test_a_token_that_cannot_be_read(text: str, logs: list[str]) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text)

    async with http_server(handler) as url:
        assert_nothing_leaks(await within(5, use_mint(url, **by_key)), logs)


@pytest.mark.parametrize("use", [use_stream, use_plugin, use_recognize, use_mint])
@pytest.mark.parametrize("place", [strange_certificate, nobody])
async def test_no_connection_tells_no_secret(
    use: Use, over: dict[str, Any], place: Callable[[], Any], logs: list[str]
) -> None:
    async with place() as url:
        assert_nothing_leaks(await within(5, use(url, **over, **by_key)), logs)


def _raises() -> str:
    raise ValueError(f"bad {KEY}")


async def _raises_later() -> str:
    try:
        raise KeyError(KEY)
    except KeyError as exc:
        raise RuntimeError(KEY) from exc


@all_users
@pytest.mark.parametrize(
    "source", [_raises, _raises_later, lambda: f"{KEY}\n{KEY}", lambda: [KEY]]
)
async def test_a_source_of_tokens_that_fails(
    use: Use, source: Any, logs: list[str]
) -> None:
    async with http_server(hanging) as url:
        assert_nothing_leaks(await within(5, use(url, token=source)), logs)


@pytest.mark.parametrize("use", [use_stream, use_plugin])
async def test_a_warning_that_repeats_the_key(
    use: Use, over: dict[str, Any], logs: list[str]
) -> None:
    warning = {"type": "Warning", "warning": f"old key {KEY}", "warning_code": 1}
    async with http_server(talking(warning, code=3005)) as url:
        assert_nothing_leaks(await within(5, use(url, **over, **by_key)), logs)


async def test_a_server_that_repeats_the_url(logs: list[str]) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(timeout=0.1)
        await socket.prepare(request)
        error = f"not found: {request.raw_path}"
        await socket.send_json({"type": "Error", "error_code": 4001, "error": error})
        await socket.close()
        return socket

    async with http_server(handler) as url:
        assert_nothing_leaks(await within(5, use_stream(url, **by_token)), logs)


async def test_the_capture_would_see_a_leak(logs: list[str]) -> None:
    """Or else none of the above would mean anything."""
    logger = logging.getLogger("aiohttp.client")

    def hide() -> None:
        try:
            raise KeyError(KEY)
        except KeyError:
            raise ValueError("hidden behind this") from None

    with pytest.raises(ValueError, match="hidden") as caught:
        hide()
    assert leaks(told_by(caught.value))
    logger.debug("a word", exc_info=caught.value)
    assert leaks(logs)
    logs.clear()
    logger.debug("%s", "a word", extra={"url": f"/v3/ws?token={TOKEN}"})
    assert leaks(logs)
