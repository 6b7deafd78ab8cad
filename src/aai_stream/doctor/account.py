"""What the account is given: a token, a model, sessions at once."""

from __future__ import annotations

from .conversing import FAILURES, Server, describe
from .findings import Finding, doubtful, failed, fine


async def check_account(server: Server, sessions: int) -> list[Finding]:
    """A token that works, the model by default, and that many sessions at once."""
    checks = {
        "token": _token(server),
        "model": _model(server),
        "sessions at once": _at_once(server, sessions),
    }
    findings = []
    for name, check in checks.items():
        try:
            findings.append(await check)
        except FAILURES as exc:
            findings.append(failed(name, describe(exc), "see the checks above"))
    return findings


async def _token(server: Server) -> Finding:
    status, answer = await server.mint({"expires_in_seconds": "60"})
    token = answer.get("token")
    if not isinstance(token, str):
        return failed("token", f"/v3/token answers {status}", "check the key")
    async with server.connect({"token": token}, authorization=None) as exchange:
        if await exchange.until("Begin"):
            return fine("token", "minted, and opens a session")
        found = [server.redacted(str(e.get("error"))) for e in exchange.of("Error")]
    told = ", ".join(found) or f"HTTP status {exchange.status}"
    return failed("token", f"minted, and refused: {told}", "check this machine's clock")


async def _model(server: Server) -> Finding:
    async with server.session() as exchange:
        model = exchange.configuration.get("model")
    if not model:
        return doubtful("model", "Begin names none", "name one: speech_model=…")
    return fine("model", server.redacted(f"{model} when none is asked for"))


async def _at_once(server: Server, most: int) -> Finding:
    name = "sessions at once"
    began, refused = await server.crowd(most)
    if refused is None:
        return fine(name, f"{most} opened (--sessions tries more; each is billed)")
    told = [str(error.get("error")) for error in refused.of("Error")]
    why = server.redacted(", ".join(told)) or "no Begin"
    return doubtful(
        name,
        f"the {_ordinal(began + 1)} was refused: {why}",
        "close other streams of this account, or ask for more",
    )


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 * (number // 10 % 10 != 1))
    return f"{number}{ending or 'th'}"
