"""Who is let in, and how others are refused."""

from __future__ import annotations

import asyncio
import time

from ..conversing import Exchange, Server
from .questions import Questions

access = Questions()

REFUSED = (
    "101, Error 1008 Unauthorized Connection: {}, close 1008 See Error message for "
    "details"
)
BAD_KEY = REFUSED.format("Invalid API key")
NO_KEY = "not-a-key-of-anyone"
MINUTE = {"expires_in_seconds": "60"}


def ending(exchange: Exchange) -> str:
    """How a connection ended: the upgrade, the Error if any, the close."""
    parts = [str(exchange.status)]
    for error in exchange.of("Error"):
        parts.append(f"Error {error.get('error_code')} {error.get('error')}")
    if exchange.status == 101:
        code = exchange.close_code
        parts.append(f"close {code} {exchange.close_reason}".strip())
    return ", ".join(parts)


async def refusal(
    server: Server, authorization: str | None = "", **query: str
) -> Exchange:
    """Connect and wait for the end."""
    async with server.connect(query, authorization=authorization) as exchange:
        if not await exchange.until("Begin", seconds=15):
            await exchange.rest()
        return exchange


async def token(server: Server, seconds: int = 60) -> str:
    """A token."""
    _, answer = await server.mint({"expires_in_seconds": str(seconds)})
    return str(answer.get("token"))


@access.add("a bad key", BAD_KEY)
async def _(server: Server, speech: bytes) -> str:
    return ending(await refusal(server, NO_KEY))


@access.add("no key", REFUSED.format("Missing Authorization header"))
async def _(server: Server, speech: bytes) -> str:
    return ending(await refusal(server, None))


@access.add("a key with Bearer before it", BAD_KEY)
async def _(server: Server, speech: bytes) -> str:
    return ending(await refusal(server, f"Bearer {server.key}"))


@access.add("a bad token", BAD_KEY)
async def _(server: Server, speech: bytes) -> str:
    return ending(await refusal(server, None, token=NO_KEY))


@access.add("a token that has expired", REFUSED.format("Signature has expired"))
async def _(server: Server, speech: bytes) -> str:
    old = await token(server, 1)
    await asyncio.sleep(2.5)
    return ending(await refusal(server, None, token=old))


@access.add(
    "when a refusal is told", "the Error within a second, the close after the Error"
)
async def _(server: Server, speech: bytes) -> str:
    exchange = await refusal(server, NO_KEY)
    if not exchange.came_at:
        return "there is no Error"
    error = exchange.came_at[0]
    soon = "within a second" if error < 1 else f"after {error:.1f} s"
    later = "after the Error" if exchange.closed_at - error > 0.05 else "with the Error"
    return f"the Error {soon}, the close {later}"


@access.add("a token used twice, one after the other", "Begin, Begin")
async def _(server: Server, speech: bytes) -> str:
    minted = await token(server)
    found = []
    for _ in range(2):
        async with server.connect({"token": minted}, authorization=None) as exchange:
            begun = await exchange.until("Begin")
            found.append("Begin" if begun else ending(exchange))
    return ", ".join(found)


@access.add("a token used twice, at once", "Begin, Begin")
async def _(server: Server, speech: bytes) -> str:
    query = {"token": await token(server)}
    async with (
        server.connect(query, authorization=None) as one,
        server.connect(query, authorization=None) as other,
    ):
        begun = [await each.until("Begin") for each in (one, other)]
        return ", ".join("Begin" if each else "no Begin" for each in begun)


@access.add("a token in the Authorization header", "Begin")
async def _(server: Server, speech: bytes) -> str:
    async with server.connect(authorization=await token(server)) as exchange:
        return "Begin" if await exchange.until("Begin") else ending(exchange)


@access.add("a token for sessions of 60 s", "Begin, expires_at in about 60 s")
async def _(server: Server, speech: bytes) -> str:
    _, answer = await server.mint({**MINUTE, "max_session_duration_seconds": "60"})
    query = {"token": str(answer.get("token"))}
    async with server.connect(query, authorization=None) as exchange:
        await exchange.until("Begin")
        left = (exchange.begin or {}).get("expires_at", 0) - time.time()
        about = "about 60" if 30 <= left <= 90 else f"{left:.0f}"
        return f"Begin, expires_at in {about} s"


@access.add("/v3/token", "200 expires_in_seconds, token")
async def _(server: Server, speech: bytes) -> str:
    status, answer = await server.mint(MINUTE)
    return f"{status} {', '.join(sorted(answer))}"


@access.add("/v3/token with a bad key", "401")
async def _(server: Server, speech: bytes) -> str:
    return str((await server.mint(MINUTE, NO_KEY))[0])


@access.add("/v3/token without expires_in_seconds", "422")
async def _(server: Server, speech: bytes) -> str:
    return str((await server.mint({}))[0])


@access.add("/v3/token for 601 s", "422")
async def _(server: Server, speech: bytes) -> str:
    return str((await server.mint({"expires_in_seconds": "601"}))[0])
