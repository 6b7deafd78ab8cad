"""What goes wrong, as LiveKit's errors; and that nobody's key is in them."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trustme
from aiohttp import web
from livekit.agents import (
    NOT_GIVEN,
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APIStatusError,
    APITimeoutError,
)

from tests.livekit.servers import (
    AT_ONCE,
    KEY,
    NO_RETRY,
    Behaviour,
    Server,
    begin_then,
    closing,
    collect,
    deaf_server,
    errors_of,
    make_stt,
    push,
    silence,
    streaming,
    to_frames,
)
from tests.servers import BEGIN, http_server, until
from tests.talks import Talk


async def failure(
    url: str, *, conn_options: APIConnectOptions = NO_RETRY, **options: Any
) -> APIError:
    """What a stream ends with."""
    async with streaming(url, conn_options=conn_options, **options) as stream:
        push(stream, silence(0.1))
        with pytest.raises(APIError) as caught:
            await collect(stream)
    return caught.value


# ---- by type ----


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (400, False),
        (401, False),
        (403, False),
        (404, False),
        (408, True),
        (429, True),
        (500, True),
        (503, True),
    ],
)
async def test_http_statuses(status: int, retryable: bool) -> None:
    async with Server(refuse=[status]) as server:
        failed = await failure(server.url)
    assert type(failed) is APIStatusError
    assert failed.status_code == status
    assert failed.retryable is retryable
    assert len(server.calls) == 1


CLOSES = [
    (1000, "bye", False),
    (1008, "not authorized", False),
    (1008, "Too many concurrent sessions", True),
    (1009, "message too big", False),
    (1011, "oops", True),
    (3005, "server error", True),
    (3006, "bad parameter", False),
    (3007, "audio chunk too short", True),
    (3008, "session expired", True),
    (3009, "too many sessions", True),
    (4001, "not authorized", False),
]


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize(("code", "reason", "retryable"), CLOSES)
async def test_close_codes(
    code: int, reason: str, retryable: bool, begins: bool
) -> None:
    async def behave(client: Talk) -> None:
        if begins:
            await client.say(BEGIN)
        await client.close(code, reason)

    async with Server(behave) as server:
        failed = await failure(server.url)
    assert type(failed) is APIStatusError
    assert failed.status_code == code
    assert failed.retryable is retryable
    assert failed.request_id == ("session-1" if begins else None)
    assert reason in failed.message


async def test_inactivity_is_of_a_host_that_hung() -> None:
    async def behave(client: Talk) -> None:
        await client.say(BEGIN)
        await client.close(3006, "ended due to inactivity")

    async with Server(behave) as server:
        failed = await failure(server.url)
    assert type(failed) is APIStatusError
    assert failed.retryable


@pytest.mark.parametrize("begins", [True, False])
async def test_a_cut_connection(begins: bool) -> None:
    async def behave(client: Talk) -> None:
        if begins:
            await client.say(BEGIN)
        client.cut()

    async with Server(behave) as server:
        failed = await failure(server.url)
    assert type(failed) is APIStatusError
    assert failed.status_code == 1006
    assert failed.retryable


@pytest.mark.parametrize("closes", [True, False])
@pytest.mark.parametrize(("code", "retryable"), [(3006, False), (3009, True)])
async def test_an_error_before_begin(code: int, retryable: bool, closes: bool) -> None:
    async def behave(client: Talk) -> None:
        await client.say({"type": "Error", "error_code": code, "error": "dear me"})
        if closes:
            await client.close(code)

    async with Server(behave) as server:
        failed = await failure(server.url)
    assert type(failed) is APIStatusError
    assert failed.status_code == code
    assert failed.retryable is retryable
    assert "dear me" in failed.message


async def test_the_servers_own_words_are_told() -> None:
    async def behave(client: Talk) -> None:
        error = {"type": "Error", "error_code": 3005, "error": "dear me"}
        await client.say(BEGIN, error)
        await client.close(3005)

    async with Server(behave) as server:
        failed = await failure(server.url)
    assert isinstance(failed, APIStatusError)
    assert failed.status_code == 3005
    assert "dear me" in failed.message


def free_url() -> str:
    """Where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"ws://127.0.0.1:{bound.getsockname()[1]}"


async def test_a_refused_connection() -> None:
    failed = await failure(free_url())
    assert type(failed) is APIConnectionError
    assert failed.retryable


async def test_an_untrusted_certificate() -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)

    async def accept(request: web.Request) -> web.StreamResponse:
        raise AssertionError("the key was sent")

    async with http_server(accept, tls) as url:
        failed = await failure(url.replace("ws:", "wss:"))
    assert type(failed) is APIConnectionError
    assert not failed.retryable
    assert "certificate" in failed.message


@pytest.mark.parametrize(("status", "calls"), [(401, 1), (403, 1), (500, 3), (503, 3)])
async def test_only_what_may_get_better_is_tried_again(status: int, calls: int) -> None:
    async with Server(refuse=[status] * 9) as server:
        stt = make_stt(server.url)
        errors = errors_of(stt)
        async with closing(stt.stream(conn_options=AT_ONCE)) as stream:
            with pytest.raises(APIError):
                await collect(stream)
    assert len(server.calls) == calls
    assert [error.recoverable for error in errors] == [True] * (calls - 1) + [False]
    assert all(isinstance(error.error, APIStatusError) for error in errors)


async def test_too_many_sessions_are_waited_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And no error, unless nothing may be tried again."""
    monkeypatch.setattr("aai_stream.protocol.retry.FIRST_BUSY_SECONDS", 0.01)
    async with Server(refuse=[429] * 5) as server:
        stt = make_stt(server.url)
        errors = errors_of(stt)
        async with closing(stt.stream(conn_options=AT_ONCE)) as stream:
            push(stream, silence(0.1))
            stream.end_input()
            await collect(stream)
        assert errors == []
        assert len(server.calls) == 6
    async with Server(refuse=[429]) as server:
        failed = await failure(server.url, conn_options=NO_RETRY)
        assert isinstance(failed, APIStatusError)
        assert len(server.calls) == 1


async def test_a_refused_key_on_the_websocket_is_not_tried_again() -> None:
    async def refuse(client: Talk) -> None:
        await client.close(1008, "not authorized")

    async with Server(refuse) as server:
        failed = await failure(server.url, conn_options=AT_ONCE)
    assert not failed.retryable
    assert len(server.calls) == 1


async def test_a_stream_that_failed_takes_no_more() -> None:
    async with Server(refuse=[401]) as server, streaming(server.url) as stream:
        with pytest.raises(APIStatusError):
            await collect(stream)
        with pytest.raises(RuntimeError, match="closed"):
            push(stream, silence(0.1))
        with pytest.raises(APIStatusError):  # told to whoever asks again
            await collect(stream)


# ---- secrets ----

SECRETS = [{"api_key": KEY}, {"token": KEY}]


async def refused(client: Talk) -> None:
    await client.close(1008, f"no such key: {KEY}")


async def echoed(client: Talk) -> None:
    text = f"who is {KEY}?"
    await client.say(BEGIN, {"type": "Error", "error_code": 3005, "error": text})
    await client.close(3005, text)


async def echoed_at_once(client: Talk) -> None:
    await client.say({"type": "Error", "error": f"who is {KEY}?"})


async def cut(client: Talk) -> None:
    client.cut()


async def unreadable(client: Talk) -> None:
    await client.say({"type": "Turn", "turn_order": KEY}, BEGIN)
    await client.say({"type": "Turn", "words": KEY}, {"type": "Error", "error": KEY})
    await client.close(1011)


def forbid(token: Any) -> Callable[[], str]:
    def give() -> str:
        raise ValueError(f"cannot mint a token with {token}")

    return give


async def forbid_later() -> str:
    raise ConnectionError(f"cannot mint a token with {KEY}")


def chain(exc: BaseException) -> Iterator[BaseException]:
    """The exception, its causes and contexts."""
    left: list[BaseException | None] = [exc]
    seen: set[int] = set()
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            left += [one.__cause__, one.__context__]


def check_secret(failed: BaseException, records: list[logging.LogRecord]) -> None:
    """Find the key nowhere in an error or the log."""
    for exc in chain(failed):
        for told in (str(exc), repr(exc), repr(exc.args), repr(vars(exc))):
            assert KEY not in told
    for record in records:
        assert KEY not in logging.Formatter().format(record)
        assert KEY not in repr(vars(record))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that anyone logs."""
    caplog.set_level(logging.DEBUG)
    for name in ("livekit", "livekit.agents", "aai_stream", "asyncio", "aiohttp"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("behave", [refused, echoed, echoed_at_once, cut, unreadable])
async def test_no_secret_is_told_when_a_session_fails(
    behave: Behaviour, secret: dict[str, Any], log: pytest.LogCaptureFixture
) -> None:
    async with Server(behave) as server:
        failed = await failure(server.url, **secret, conn_options=AT_ONCE)
        with pytest.raises(APIError) as caught:
            await make_stt(server.url, **secret).recognize(
                to_frames(silence(0.1)), conn_options=NO_RETRY
            )
    check_secret(failed, log.records)
    check_secret(caught.value, log.records)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("status", [401, 404, 429, 503])
async def test_no_secret_is_told_when_a_handshake_fails(
    status: int, secret: dict[str, Any], log: pytest.LogCaptureFixture
) -> None:
    no_wait = NO_RETRY if status == 429 else AT_ONCE
    async with Server(refuse=[status] * 9) as server:
        failed = await failure(server.url, **secret, conn_options=no_wait)
    check_secret(failed, log.records)


@pytest.mark.parametrize("secret", SECRETS)
async def test_no_secret_is_told_when_nobody_answers(
    secret: dict[str, Any], log: pytest.LogCaptureFixture
) -> None:
    failed = await failure(free_url(), **secret)
    check_secret(failed, log.records)
    async with deaf_server() as url:
        soon = APIConnectOptions(max_retry=0, timeout=0.1)
        failed = await failure(url, **secret, conn_options=soon)
    assert isinstance(failed, APITimeoutError)
    check_secret(failed, log.records)


@pytest.mark.parametrize("token", [forbid(KEY), forbid_later])
async def test_no_secret_is_told_by_a_source_of_tokens_that_fails(
    token: Callable[[], str | Awaitable[str]], log: pytest.LogCaptureFixture
) -> None:
    async with Server() as server:
        failed = await failure(server.url, token=token)
    assert server.calls == []
    assert type(failed) is APIConnectionError
    assert failed.retryable
    check_secret(failed, log.records)


@pytest.mark.parametrize("token", ["", f"{KEY}\0", KEY.encode()])
async def test_a_source_that_gives_no_token_fails_once(
    token: Any, log: pytest.LogCaptureFixture
) -> None:
    async with Server() as server:
        stt = make_stt(server.url, token=lambda: token)
        errors = errors_of(stt)
        async with closing(stt.stream()) as stream:
            with pytest.raises(APIConnectionError) as caught:
                await collect(stream)
    assert server.calls == []
    assert [error.recoverable for error in errors] == [False]
    check_secret(caught.value, log.records)


@pytest.mark.parametrize("secret", SECRETS)
async def test_no_secret_is_logged_when_all_goes_well(
    secret: dict[str, Any], log: pytest.LogCaptureFixture
) -> None:
    async with Server() as server, streaming(server.url, **secret) as stream:
        await until(lambda: stream.session_id is not None)
        shown = [repr(stream), repr(stream._stt), repr(vars(stream))]
        shown += [repr(vars(make_stt(server.url, **secret)))]
    assert not [text for text in shown if KEY in text]
    assert "session session-1 is open" in log.text
    check_secret(Exception(), log.records)


async def test_no_secret_is_logged_that_a_warning_echoes(
    log: pytest.LogCaptureFixture,
) -> None:
    warning = {"type": "Warning", "warning": f"{KEY} has little money left"}
    async with Server(begin_then(warning)) as server, streaming(server.url):
        await until(lambda: "little money" in log.text)
    check_secret(Exception(), log.records)


async def test_a_key_of_the_environment_is_no_more_told_than_others(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", KEY)
    async with Server(echoed) as server:
        failed = await failure(server.url, api_key=NOT_GIVEN)
    assert server.talks[0].request.headers["Authorization"] == KEY
    assert "***" in str(failed)
    check_secret(failed, log.records)


async def test_failures_do_not_pile_up_in_the_loop() -> None:
    """Nothing is left unawaited or unretrieved, which asyncio would complain of."""
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    async with Server(cut, refuse=[503, 401]) as server:
        for _ in range(3):
            await failure(server.url)
    assert complaints == []
