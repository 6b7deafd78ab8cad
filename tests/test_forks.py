"""A fork inherits its parent's streams, and must not touch their sessions."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from aiohttp import web

from tests.servers import within
from tests.talks import SECOND, Talk, final
from tests.wires import CA, Way


@pytest.mark.xfail(strict=True, reason="to close in a fork asks for a running loop")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_forks_leave_their_parent_s_session_alone(
    way: Way, tmp_path: Path, loop: str
) -> None:
    talks: list[Talk] = []

    async def handler(socket: web.WebSocketResponse, request: web.Request) -> None:
        talk = Talk(request, socket)
        talks.append(talk)
        await talk.begin()
        await talk.say(final(0, ("a", 0, 1)))
        await talk.finish()

    (tmp_path / "ca.pem").write_bytes(CA.cert_pem.bytes())
    async with way.websockets(handler) as url:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.forked"),
            *(url, "picows" if way.http_session is None else "aiohttp", loop),
            cwd=Path(__file__).parents[1],
            env={**os.environ, "SSL_CERT_FILE": str(tmp_path / "ca.pem")},
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await within(50, program.communicate())
    assert (errors.decode(), program.returncode) == ("", 0)
    (talk,) = talks
    assert talk.audio == SECOND
    assert [command["type"] for command in talk.commands] == ["Terminate"]
