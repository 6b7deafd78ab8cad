"""Temporary tokens: minted with a key, good for one session, and not for long."""

from __future__ import annotations

import aiohttp
import pytest

from aai_stream.emulator.server import Emulator
from tests.emulator.helpers import (
    ManualClock,
    PuppetEngine,
    connection,
    mint,
    raw_connection,
)


@pytest.mark.parametrize("where", ["query", "header"])
async def test_a_token_opens_one_session(engine: PuppetEngine, where: str) -> None:
    async with Emulator(engine, api_keys={"key"}) as emulator:
        _, token = await mint(emulator)
        if where == "query":
            connect = connection(emulator, headers={}, token=token)
            again = raw_connection(emulator, headers={}, token=token)
        else:
            connect = connection(emulator, headers={"Authorization": token})
            again = raw_connection(emulator, headers={"Authorization": token})
        async with connect as client:
            assert "token" not in client.begin["configuration"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with again:
                pass
        assert refused.value.status == 401


async def test_a_used_token_is_no_key(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator:  # which takes any key
        _, token = await mint(emulator)
        async with connection(emulator, headers={"Authorization": token}):
            pass
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with raw_connection(emulator, headers={"Authorization": token}):
                pass
        assert await mint(emulator, key=token) == (
            401,
            "Invalid API key",
        )


@pytest.mark.parametrize(("seconds", "good"), [(59, True), (60, False)])
async def test_a_token_expires(
    engine: PuppetEngine, clock: ManualClock, seconds: int, good: bool
) -> None:
    async with Emulator(engine, clock=clock) as emulator:
        _, token = await mint(emulator)
        clock.advance(seconds)
        if good:
            async with connection(emulator, headers={}, token=token):
                return
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with raw_connection(emulator, headers={}, token=token):
                pass


async def test_a_made_up_token_is_refused(engine: PuppetEngine) -> None:
    async with Emulator(engine) as emulator:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with raw_connection(emulator, token="made-up"):
                pass
        assert refused.value.status == 401


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
        assert status == 400
        assert "must be a whole number from" in why


async def test_tokens_need_a_key(engine: PuppetEngine) -> None:
    async with Emulator(engine, api_keys={"good"}) as emulator:
        assert (await mint(emulator))[0] == 401
