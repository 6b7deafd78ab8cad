"""What AssemblyAI's service has been seen to do, through both faces and both wires:
nothing is lost, nothing is told twice, every time is right, no session is opened in
vain, and LiveKit hears of an end of speech for every start."""

from __future__ import annotations

from dataclasses import replace

import aiohttp
import pytest

from aai_stream.emulator.faults import fault
from aai_stream.emulator.server import DOCUMENTED, Emulator, Service
from tests.outages.calls import FACES, SPEECH, Speech
from tests.outages.rows import Caller, Row, wrong

pytestmark = pytest.mark.usefixtures("impatience")

CALL = Speech(tail_ms=30)
"""The last turn is still open when the call ends."""


# The end

THE_END = {
    "Termination is late": Row(
        ("late-termination,seconds=1",), CALL, sessions=1, terminated=True
    ),
    "Termination never comes": Row(
        ("no-termination",),
        CALL,
        sessions=1,
        terminated=False,
        options={"close_timeout": 2},
    ),
    "Termination is later than anyone waits": Row(
        ("late-termination,seconds=40",),
        CALL,
        sessions=1,
        terminated=False,
        options={"close_timeout": 2},
    ),
    "Termination never comes, and silence before it": Row(
        ("no-termination",),
        SPEECH,
        sessions=1,
        terminated=False,
        options={"close_timeout": 2},
    ),
    "the last final is late": Row(
        ("late-final,seconds=1,at=terminate",), CALL, sessions=1, terminated=True
    ),
    "the last final is later than anyone waits": Row(
        ("late-final,seconds=40,at=terminate,on=1",),
        CALL,
        sessions=2,
        terminated=True,
        options={"close_timeout": 2},
    ),
    "both are late": Row(
        ("late-final,seconds=1,at=terminate", "late-termination,seconds=1"),
        CALL,
        sessions=1,
        terminated=True,
    ),
}


async def test_the_end(http_session: aiohttp.ClientSession | None) -> None:
    assert await wrong(THE_END, http_session) == {}


# The beginning

TOO_MANY = "close,at=open,code=1008,lasts=0.5,error=Unauthorized Connection: Too many \
concurrent sessions"

THE_BEGINNING = {
    "Begin is late": Row(
        ("late-begin,seconds=3,on=1",), sessions=1, options={"connect_timeout": 2}
    ),
    "Begin is late after a reset": Row(
        ("reset,at=final:2,on=1", "late-begin,seconds=3,on=2"),
        sessions=2,
        options={"connect_timeout": 2},
    ),
    "too many sessions": Row((TOO_MANY,)),
    "too many sessions in mid-call": Row(
        ("reset,at=final:2,on=1", f"{TOO_MANY},on=2-")
    ),
    "too many sessions at the end": Row(
        ("reset,at=terminate,on=1", f"{TOO_MANY},on=2-"), CALL
    ),
} | {
    f"expires_at is {value}": Row(
        (f"expires-at,value={value}",), sessions=1, options={"begin_timeout": 3}
    )
    for value in ("soon", "1000000000000000000", "2000000000.5", "null", "-1", "[]")
}


async def test_the_beginning(http_session: aiohttp.ClientSession | None) -> None:
    assert await wrong(THE_BEGINNING, http_session) == {}


@pytest.mark.parametrize("seconds", [-10_799, -20_000, 20_000])
async def test_a_clock_that_is_wrong(
    seconds: int, http_session: aiohttp.ClientSession | None
) -> None:
    """For which sessions seem to live for a second, or less."""
    skewed = Row((f"expires-at,seconds={seconds}",), sessions=1, options={"pace": 0.5})
    assert await wrong({"skewed": skewed}, http_session) == {}


# Where the service and its documentation differ

PICTURES = {"as seen": Service(), "as documented": DOCUMENTED}

TAKEN = {
    f"a place stays taken, {name}, reset at {at}": Row(
        (f"reset,at={at},on=1",),
        sessions=2,
        service=replace(service, max_sessions=1, lost_place_seconds=0.5),
    )
    for name, service in PICTURES.items()
    for at in ("1300ms", "turn:2", "final:2")
} | {
    "all takes its time": Row(
        ("reset,at=final:2,on=1",),
        sessions=2,
        service=Service(begin_seconds=0.2, termination_seconds=0.2),
    )
}


async def test_places_that_stay_taken(
    http_session: aiohttp.ClientSession | None,
) -> None:
    assert await wrong(TAKEN, http_session) == {}


@pytest.mark.parametrize("service", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("face", FACES)
async def test_a_refused_key(
    face: str, service: Service, http_session: aiohttp.ClientSession | None
) -> None:
    """Is no reason to try again."""
    again = [fault("status,on=2-")]
    async with Emulator(
        SPEECH.engine(), api_keys={"good"}, service=service, faults=again
    ) as server:
        refused = await Caller(face, http_session).call(server)
        assert server.faults.applied == []
    assert "RefusedError" in repr(_causes(refused.failure))


# A reason that can't be read


async def test_a_close_reason_that_is_not_utf_8() -> None:
    """The code counts. (What aiohttp makes of such a close hasn't got it.)"""
    for face in FACES:
        refused = await Caller(face, None).suffer("bad-reason,code=1008,at=700ms")
        assert "RefusedError" in repr(_causes(refused.failure))
        assert refused.sessions == 1
        broken = await Caller(face, None).suffer("bad-reason,code=1011,at=700ms,on=1")
        assert broken.problems == []
        assert broken.sessions == 2


@pytest.mark.parametrize("face", FACES)
async def test_a_close_reason_that_is_not_utf_8_after_an_error(
    face: str, http_session: aiohttp.ClientSession | None
) -> None:
    said = (
        "bad-reason,code=1008,at=700ms,error=Unauthorized Connection: Invalid API key"
    )
    refused = await Caller(face, http_session).suffer(said)
    assert "RefusedError" in repr(_causes(refused.failure))
    assert refused.sessions == 1


def _causes(exc: BaseException | None) -> list[BaseException]:
    return [] if exc is None else [exc, *_causes(exc.__cause__)]
