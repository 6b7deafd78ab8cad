"""The book of a fleet: a Redis that the processes of all hosts share."""

from __future__ import annotations

import importlib.util
import logging
import math
import secrets
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...errors import MissingExtraError, OptionError
from .book import FORGOTTEN_SECONDS, Ask, Turn, look_again
from .limits import ROUNDING, Limits

if TYPE_CHECKING:
    from redis.commands.core import Script

    from .host import HostBook

logger = logging.getLogger("aai_stream")

SCHEMES = ("redis", "rediss", "unix")

STATED_SECONDS = 10.0
"""How often a process says how many sessions it has."""

LEASE_SECONDS = 30.0
"""A process that hasn't said so for this long is dead, and its sessions are over."""

ANSWER_SECONDS = 2.0
"""Redis takes no longer, or is lost."""

AGAIN_SECONDS = 5.0
"""How often Redis is tried while it is lost."""

# As `HostBook` does it, in one step of the server's. `Limits.free` is in it once more.
SCRIPT = """
local waiting, forgotten, members, held, hosts, account = unpack(KEYS)
local me, host = ARGV[1], ARGV[2]
local now, debt, back = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local interval, burst, most = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local mine, lease, patience = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local rounding, left = tonumber(ARGV[12]), tonumber(ARGV[13])
if not now then
    local time = redis.call('TIME')
    now = time[1] + time[2] / 1e6
end

local function hold(member, count)
    local before = tonumber(redis.call('HGET', held, member)) or 0
    if count > 0 then redis.call('HSET', held, member, count)
    else redis.call('HDEL', held, member) end
    return redis.call('HINCRBY', account, 'held', count - before)
end

for _, member in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', now)) do
    hold(member, 0)
    redis.call('ZREM', members, member)
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', forgotten, '-inf', now)) do
    redis.call('ZREM', forgotten, name)
    redis.call('ZREM', waiting, name)
end
redis.call('ZREMRANGEBYSCORE', hosts, '-inf', now)

local function leave(name)
    redis.call('ZREM', forgotten, name)
    redis.call('ZREM', waiting, name)
end

local first = 14 + left
for i = 14, first - 1 do leave(ARGV[i]) end
for i = first, #ARGV, 2 do
    redis.call('ZADD', waiting, -ARGV[i + 1], ARGV[i])
    redis.call('ZADD', forgotten, now + patience, ARGV[i])
end

local total = hold(me, mine)
local spent = tonumber(redis.call('HGET', account, 'spent')) or now + debt
spent = spent - back * interval
local free = math.huge
if interval > 0 then
    free = math.floor((now + burst - math.max(spent, now)) / interval + 1 + rounding)
end
if most >= 0 then free = math.min(free, most - total) end

local going, ahead = 0, -1
for i = first, #ARGV, 2 do
    local rank = redis.call('ZRANK', waiting, ARGV[i])
    if rank >= free then ahead = rank - going; break end
    going = going + 1
end
for i = first, first + 2 * going - 1, 2 do leave(ARGV[i]) end
if going > 0 then
    spent = math.max(spent, now) + going * interval
    total = hold(me, mine + going)
end
redis.call('HSET', account, 'spent', string.format('%.6f', spent))

if mine + going > 0 or ahead >= 0 then
    redis.call('ZADD', members, now + lease, me)
    redis.call('ZADD', hosts, now + lease, host)
else
    redis.call('ZREM', members, me)
end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, 3600) end
return {going, ahead, total, redis.call('ZCARD', hosts),
        string.format('%.6f', spent - now)}
"""


def check_budget(url: str) -> None:
    """Raises `OptionError` unless `url` may be a Redis's, `MissingExtraError` if what
    speaks to one isn't installed."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises, too
    except (AttributeError, TypeError, ValueError):
        raise OptionError("budget is no URL") from None
    if parts.scheme not in SCHEMES:
        allowed = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise OptionError(
            f"budget must begin with one of {allowed}, not {parts.scheme!r}"
        )
    if importlib.util.find_spec("redis") is None:
        raise MissingExtraError("budget needs redis: pip install 'aai-stream[redis]'")


class FleetBook:
    """Counts the sessions of all processes that share a Redis. While it is lost, the
    hosts go on alone, each with an equal share, and each process says so once.

    `here` is the host's own book. `clock` gives seconds, `server_clock` those of the
    account, which are the server's own if None.
    """

    def __init__(
        self,
        url: str,
        account: str,
        here: HostBook,
        *,
        clock: Callable[[], float] = time.monotonic,
        server_clock: Callable[[], float] | None = None,
    ) -> None:
        tag = f"aai-stream:{{{blake2b(account.encode(), digest_size=16).hexdigest()}}}"
        parts = ("waiting", "forgotten", "members", "held", "hosts", "account")
        self._url = url
        self._keys = [f"{tag}:{part}" for part in parts]
        self._here = here
        self._clock = clock
        self._server_clock = server_clock
        self._script: Script | None = None
        self._me = secrets.token_hex(8)
        self._told: set[str] = set()  # who wait, as Redis knows them
        self._hosts = 1  # as last seen
        self._paid_at = -math.inf  # by this clock, as last seen
        self._again_at: float | None = None  # when to try it, while it is lost

    def turn(self, limits: Limits, asks: Sequence[Ask], held: int, back: int) -> Turn:
        """See `Book`."""
        from redis.exceptions import RedisError

        now = self._clock()
        was_lost = self._again_at is not None
        if self._again_at is None or now >= self._again_at:
            try:
                turn = self._turn(limits, asks, held, back, now)
            except RedisError as exc:
                self._lost(exc, now)
            else:
                if was_lost:
                    self._again_at = None
                    self._here.turn(limits, [], 0)
                    logger.warning("the budget's Redis is back")
                return turn
        debt = -math.inf if was_lost else self._paid_at - now
        share = limits.share(self._hosts)
        turn = self._here.turn(share, asks, held, back, debt=debt)
        if not held and not asks:
            return turn
        return turn._replace(wait=min(turn.wait, AGAIN_SECONDS))

    def _lost(self, exc: Exception, now: float) -> None:
        if self._again_at is None:
            logger.warning(
                "the budget's Redis is lost (%s); this host goes on with 1/%d of the"
                " account's sessions",
                type(exc).__name__,  # its text may have more of the URL
                self._hosts,
            )
        self._again_at = now + AGAIN_SECONDS

    def _turn(
        self, limits: Limits, asks: Sequence[Ask], held: int, back: int, now: float
    ) -> Turn:
        names = {f"{ask.came}:{self._me}": ask.urgency for ask in asks}
        gone = self._told - names.keys()
        most = -1 if limits.max_sessions == math.inf else int(limits.max_sessions)
        debt = max(self._paid_at - now, -3600)
        arguments: list[str | float] = [self._me, self._here.name]
        arguments += ["" if self._server_clock is None else self._server_clock()]
        arguments += [debt, back, limits.interval, limits.burst, most, held]
        arguments += [LEASE_SECONDS, FORGOTTEN_SECONDS, ROUNDING, len(gone), *gone]
        for name, urgency in names.items():
            arguments += [name, urgency]
        going, ahead, total, hosts, spent = self._client()(self._keys, arguments)
        self._told = set(list(names)[going:])
        self._hosts = hosts
        self._paid_at = now + float(spent)
        if going < len(asks):
            until = limits.until(float(spent), total, 0.0, ahead)
            return Turn(going, look_again(until, ahead))
        return Turn(going, STATED_SECONDS if held + going else math.inf)

    def _client(self) -> Script:
        if self._script is None:
            from redis import Redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry

            try:
                client = Redis.from_url(
                    self._url,
                    decode_responses=True,
                    socket_timeout=ANSWER_SECONDS,
                    socket_connect_timeout=ANSWER_SECONDS,
                    retry=Retry(NoBackoff(), 1),  # a connection may have grown stale
                )
                client.connection_pool.make_connection()  # connects nobody yet
            except (TypeError, ValueError):  # whose text may have more of the URL
                raise OptionError("budget has an option that is none") from None
            self._script = client.register_script(SCRIPT)
        return self._script
