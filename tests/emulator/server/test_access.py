"""Who gets a session: keys, tokens, places; and how the others are refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import aiohttp
import pytest

from aai_stream.emulator.server import DOCUMENTED, Emulator, Service
from tests.emulator.helpers import (
    PLAIN,
    ManualClock,
    PuppetEngine,
    connection,
    mint,
    raw_connection,
)
from tests.servers import until

BAD_KEY = "Unauthorized Connection: Invalid API key"
EXPIRED = "Unauthorized Connection: Signature has expired"
TOO_MANY = "Unauthorized Connection: Too many concurrent sessions"
PAPER = replace(DOCUMENTED, error_seconds=0, refusal_seconds=0)


async def refused(emulator: Emulator, **asked: object) -> str:
    """The text of the Error with which the service refuses a connection (1008)."""
    headers = asked.pop("headers", {})
    assert isinstance(headers, dict)
    async with raw_connection(emulator, asked, headers=headers) as client:
        error = await client.error()
    assert error["error_code"] == 1008
    return str(error["error"])


# Keys


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "Unauthorized Connection: Missing Authorization header"),
        (
            {"Authorization": ""},
            "Unauthorized Connection: Missing Authorization header",
        ),
        ({"Authorization": "Bearer key"}, BAD_KEY),
    ],
)
async def test_no_key_is_refused(
    engine: PuppetEngine, headers: dict[str, str], why: str
) -> None:
    async with Emulator(engine, service=PLAIN) as emulator:
        assert await refused(emulator, headers=headers) == why
        assert engine.puppets == []


async def test_only_listed_keys_are_taken(engine: PuppetEngine) -> None:
    async with Emulator(engine, api_keys={"good"}, service=PLAIN) as emulator:
        async with connection(emulator, headers={"Authorization": "good"}):
            pass
        assert await refused(emulator, headers={"Authorization": "bad"}) == BAD_KEY


async def test_bad_keys_are_refused_by_status_in_the_documentation(
    engine: PuppetEngine,
) -> None:
    async with Emulator(engine, api_keys={"good"}, service=PAPER) as emulator:
        with pytest.raises(aiohttp.WSServerHandshakeError) as answered:
            async with raw_connection(emulator, headers={"Authorization": "bad"}):
                pass
        assert answered.value.status == 401


async def test_the_error_comes_soon_and_the_close_later(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with (
        Emulator(engine, clock=clock) as emulator,
        raw_connection(emulator, headers={}) as client,
    ):
        await until(lambda: clock.pending == 1)
        clock.advance(0.013)
        assert (await client.receive())["type"] == "Error"
        await until(lambda: clock.pending == 1)
        clock.advance(0.16)
        assert clock.pending == 1
        clock.advance(0.01)
        assert await client.rest() == []
        assert (client.close_code, client.close_reason) == (
            1008,
            "See Error message for details",
        )


async def test_a_client_that_goes_while_it_is_refused_is_no_fault(
    engine: PuppetEngine, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with Emulator(engine, clock=clock) as emulator:
        async with raw_connection(emulator, headers={}) as client:
            await until(lambda: clock.pending == 1)
            client.vanish()
        for _ in range(100):
            await asyncio.sleep(0)  # until the server has noticed
        clock.advance(1)
    assert "Traceback" not in caplog.text


# Tokens


def carrying(token: str, where: str) -> tuple[dict[str, str], dict[str, str]]:
    """The query and the headers that have it there."""
    if where == "query":
        return {"token": token}, {}
    return {}, {"Authorization": token}


@pytest.mark.parametrize("where", ["query", "header"])
async def test_a_token_opens_any_number_of_sessions(
    engine: PuppetEngine, where: str
) -> None:
    async with Emulator(engine, api_keys={"key"}, service=PLAIN) as emulator:
        _, token = await mint(emulator)
        query, headers = carrying(token, where)
        async with (
            connection(emulator, query, headers=headers) as client,
            connection(emulator, query, headers=headers),
        ):
            assert "token" not in client.begin["configuration"]
        async with connection(emulator, query, headers=headers):
            pass


@pytest.mark.parametrize("where", ["query", "header"])
async def test_by_the_documentation_it_opens_one(
    engine: PuppetEngine, where: str
) -> None:
    async with Emulator(engine, api_keys={"key"}, service=PAPER) as emulator:
        _, token = await mint(emulator)
        query, headers = carrying(token, where)
        async with connection(emulator, query, headers=headers):
            pass
        with pytest.raises(aiohttp.WSServerHandshakeError) as answered:
            async with raw_connection(emulator, query, headers=headers):
                pass
        assert answered.value.status == 401


async def test_a_token_is_no_key(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator:  # which takes any key
        _, token = await mint(emulator)
        assert await mint(emulator, key=token) == (401, "Invalid API key")


@pytest.mark.parametrize(("seconds", "good"), [(59, True), (60, False), (3000, False)])
async def test_a_token_expires(
    engine: PuppetEngine, clock: ManualClock, seconds: int, good: bool
) -> None:
    async with Emulator(engine, clock=clock, service=PLAIN) as emulator:
        _, token = await mint(emulator)
        clock.advance(seconds)
        await mint(emulator)  # which forgets old ones
        if good:
            async with connection(emulator, headers={}, token=token):
                return
        assert await refused(emulator, token=token) == EXPIRED


async def test_a_token_is_forgotten_in_the_end(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with Emulator(engine, clock=clock, service=PLAIN) as emulator:
        _, token = await mint(emulator)
        clock.advance(60 + 3600)
        await mint(emulator)
        assert await refused(emulator, token=token) == BAD_KEY


async def test_a_made_up_token_is_refused(engine: PuppetEngine) -> None:
    async with Emulator(engine, service=PLAIN) as emulator:
        assert await refused(emulator, token="made-up") == BAD_KEY


async def test_a_token_caps_its_session(
    engine: PuppetEngine, clock: ManualClock
) -> None:
    async with Emulator(engine, clock=clock) as emulator:
        cap = {"expires_in_seconds": 1, "max_session_duration_seconds": 60}
        _, token = await mint(emulator, cap)
        async with connection(emulator, headers={}, token=token) as client:
            assert client.begin["expires_at"] == clock.unix() + 60
            clock.advance(60)
            assert (await client.error())["error_code"] == 3008


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"expires_in_seconds": 0},
        {"expires_in_seconds": 601},
        {"expires_in_seconds": -1},
        {"expires_in_seconds": 60, "max_session_duration_seconds": 59},
        {"expires_in_seconds": 60, "max_session_duration_seconds": 10_801},
    ],
)
async def test_token_requests_are_checked(
    engine: PuppetEngine, query: dict[str, int]
) -> None:
    async with Emulator(engine) as emulator:
        status, why = await mint(emulator, query)
        assert status == 422
        assert "must be a whole number from" in why


async def test_a_token_request_with_a_number_beyond_all_bounds(
    engine: PuppetEngine,
) -> None:
    async with (
        Emulator(engine) as emulator,
        aiohttp.ClientSession(emulator.url.replace("ws:", "http:")) as http,
        http.get(
            f"/v3/token?expires_in_seconds={'9' * 5000}",
            headers={"Authorization": "key"},
        ) as response,
    ):
        assert response.status == 422


async def test_tokens_need_a_key(engine: PuppetEngine) -> None:
    async with Emulator(engine, api_keys={"good"}) as emulator:
        assert (await mint(emulator))[0] == 401


# Places


@pytest.mark.parametrize("limit", ["engine", "account"])
async def test_one_session_too_many_is_refused_until_another_ends(limit: str) -> None:
    engine = PuppetEngine(capacity=1 if limit == "engine" else 10)
    service = replace(PLAIN, max_sessions=None if limit == "engine" else 1)
    key = {"Authorization": "key"}
    async with Emulator(engine, service=service) as emulator:
        async with connection(emulator) as first:
            assert await refused(emulator, headers=key) == TOO_MANY
            await first.send("Terminate")
            await first.rest()
        await until(lambda: emulator.sessions == 0)
        async with connection(emulator):
            assert emulator.sessions == 1


async def test_too_many_sessions_are_3009_in_the_documentation() -> None:
    async with (
        Emulator(PuppetEngine(capacity=1), service=PAPER) as emulator,
        connection(emulator),
        raw_connection(emulator) as client,
    ):
        error = await client.error()
        assert (error["error_code"], error["error"]) == (3009, TOO_MANY)


@pytest.mark.parametrize(
    ("end", "seconds"), [("Terminate", 1.0), ("bad input", 1.0), ("reset", 5.0)]
)
async def test_a_place_stays_taken_for_a_while(
    clock: ManualClock, end: str, seconds: float
) -> None:
    service = Service(max_sessions=1, error_seconds=0, refusal_seconds=0)
    key = {"Authorization": "key"}
    engine = PuppetEngine()
    async with Emulator(engine, service=service, clock=clock) as emulator:
        async with connection(emulator) as client:
            if end == "reset":
                client.vanish()
            else:
                await client.send(end)
                await client.rest()
        await until(lambda: emulator.sessions == 0)
        clock.advance(seconds - 0.1)
        assert await refused(emulator, headers=key) == TOO_MANY
        clock.advance(0.1)
        async with connection(emulator):
            pass
