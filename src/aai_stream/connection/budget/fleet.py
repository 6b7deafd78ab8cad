"""The book of a fleet: a Redis that the processes of all hosts share."""

from __future__ import annotations

import importlib.util
import logging
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...errors import MissingExtraError, OptionError
from .book import FORGOTTEN_SECONDS, Ask, Turn, look_again
from .limits import WINDOW_SECONDS, Limits

if TYPE_CHECKING:
    from redis.commands.core import Script

    from .host import HostBook

logger = logging.getLogger("aai_stream")

SCHEMES = ("redis", "rediss", "unix")

STATED_SECONDS = 5.0
"""How often a process says how many sessions it has, and which it began."""

LEASE_SECONDS = 30.0
"""A process that hasn't said so for this long is dead, and its sessions are over."""

ANSWER_SECONDS = 2.0
"""Redis takes no longer, or is lost."""

AGAIN_SECONDS = 5.0
"""How often Redis is tried while it is lost."""

SETTLE_SECONDS = 8.0
"""For so long a Redis that is back lets nobody in: longer than it takes until every
process has noticed, and has said what it has."""

# As `HostBook` does it, in one step of the server's. `Limits.decide` is in it again.
SCRIPT = """
local waiting, forgotten, members, held, total, hosts, begun, book, settling =
    unpack(KEYS)
local me, host, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local per_minute, most, mine = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local lease, patience, window = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local settle, comes, knew, fresh = tonumber(ARGV[10]), ARGV[11], ARGV[12], ARGV[13]
local left, unused, went = tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16])
if not now then
    local time = redis.call('TIME')
    now = time[1] + time[2] / 1e6
end

local function hold(member, count)
    local before = tonumber(redis.call('HGET', held, member)) or 0
    if count > 0 then redis.call('HSET', held, member, count)
    else redis.call('HDEL', held, member) end
    return redis.call('INCRBY', total, count - before)
end

local function leave(name)
    redis.call('ZREM', forgotten, name)
    redis.call('ZREM', waiting, name)
end

for _, member in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', now)) do
    hold(member, 0)
    redis.call('ZREM', members, member)
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', forgotten, '-inf', now)) do
    leave(name)
end
redis.call('ZREMRANGEBYSCORE', hosts, '-inf', now)
redis.call('ZREMRANGEBYSCORE', settling, '-inf', now)

-- Who comes from another book has others behind it, with what isn't known here yet.
local is_new = redis.call('SETNX', book, fresh) == 1
local name = redis.call('GET', book)
local is_other = is_new and comes ~= 'first' or knew ~= '' and knew ~= name
if is_other or comes == 'back' then
    redis.call('ZADD', settling, 'NX', now + settle, is_other and 'all' or host)
end
local settled_at = now
for _, who in ipairs({'all', host}) do
    local at = tonumber(redis.call('ZSCORE', settling, who) or now)
    settled_at = math.max(settled_at, at)
end
local is_settling = settled_at > now

local i = 17
for _ = 1, left do leave(ARGV[i]); i = i + 1 end
for _ = 1, unused do redis.call('ZREM', begun, ARGV[i]); i = i + 1 end
for _ = 1, went do
    redis.call('ZADD', begun, 'NX', now - tonumber(ARGV[i + 1]), ARGV[i])
    i = i + 2
end
redis.call('ZREMRANGEBYSCORE', begun, '-inf', now - window)
local first = i
for i = first, #ARGV, 2 do
    if is_settling then leave(ARGV[i])  -- nobody else is held up
    else
        redis.call('ZADD', waiting, -ARGV[i + 1], ARGV[i])
        redis.call('ZADD', forgotten, now + patience, ARGV[i])
    end
end

local count, sessions = redis.call('ZCARD', begun), hold(me, mine)
local free = math.huge
if per_minute >= 0 then free = per_minute - count end
if most >= 0 then free = math.min(free, most - sessions) end
if is_settling then free = 0 end

local going, rank = 0, -1
for i = first, #ARGV, 2 do
    local its = redis.call('ZRANK', waiting, ARGV[i]) or 0
    if its >= free then rank = its; break end
    going = going + 1
end
for i = first, first + 2 * going - 1, 2 do
    leave(ARGV[i])
    redis.call('ZADD', begun, now, ARGV[i])
end

local wait = -1
if is_settling then wait = settled_at - now
elseif rank >= 0 and (most < 0 or sessions + rank + 1 <= most) then
    local last = count + rank - per_minute  -- or it is yet to begin
    local at = redis.call('ZRANGE', begun, last, last, 'WITHSCORES')[2] or now
    wait = at + window - now
end

sessions = hold(me, mine + going)
if mine + going > 0 or rank >= 0 then
    redis.call('ZADD', members, now + lease, me)
    redis.call('ZADD', hosts, now + lease, host)
else
    redis.call('ZREM', members, me)
end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, 3600) end
return {going, rank - going, string.format('%.6f', wait), sessions,
        redis.call('ZCARD', hosts), name}
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
        raise MissingExtraError("budget needs redis: pip install redis")


class FleetBook:
    """Counts the sessions of all processes that share a Redis. While it is lost, the
    hosts go on alone, each with an equal share, and each process says so once.

    `here` is the host's own book. It always knows what its processes have, so that it
    can take over at any moment. `clock` gives seconds, `server_clock` those of the
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
        parts = "waiting forgotten members held total hosts begun book settling"
        self._url = url
        self._keys = [f"{tag}:{part}" for part in parts.split()]
        self._here = here
        self._clock = clock
        self._server_clock = server_clock
        self._script: Script | None = None
        self._me = secrets.token_hex(8)
        self._told: set[str] = set()  # who wait, as Redis knows them
        self._went: set[str] = set()  # who began a session, likewise
        self._hosts = 1  # as last seen
        self._knew = ""  # which book it was told, while there is something to tell
        self._again_at: float | None = None  # when to try it, while it is lost

    def turn(
        self,
        limits: Limits,
        asks: Sequence[Ask],
        held: int,
        begun: Mapping[str, float],
    ) -> Turn:
        """See `Book`. While Redis is lost, what is in use is the host's."""
        from redis.exceptions import RedisError

        now = self._clock()
        if self._again_at is None or now >= self._again_at:
            try:
                turn = self._turn(limits, asks, held, begun)
            except RedisError as exc:
                self._lost(exc, now)
            else:
                if self._again_at is not None:
                    self._again_at = None
                    logger.warning("the budget's Redis is back")
                went = dict.fromkeys((ask.came for ask in asks[: turn.admitted]), 0.0)
                held += turn.admitted
                self._here.turn(limits, [], held, {**begun, **went})
                if self._here.hosts != self._hosts:
                    self._here.saw(self._hosts)
                return turn
        turn = self._here.turn(limits.share(self._parts()), asks, held, begun)
        if not held and not asks and not begun:
            self._knew = ""
            return turn
        return turn._replace(wait=min(turn.wait, AGAIN_SECONDS))

    def _parts(self) -> int:
        """How many hosts share the account while Redis is lost."""
        return max(self._hosts, self._here.hosts)

    def _lost(self, exc: Exception, now: float) -> None:
        if self._again_at is None:
            logger.warning(
                "the budget's Redis is lost (%s); this host goes on with 1/%d of the"
                " account's sessions",
                type(exc).__name__,  # its text may have more of the URL
                self._parts(),
            )
        self._again_at = now + AGAIN_SECONDS

    def _turn(
        self,
        limits: Limits,
        asks: Sequence[Ask],
        held: int,
        begun: Mapping[str, float],
    ) -> Turn:
        names = {f"{ask.came}:{self._me}": ask.urgency for ask in asks}
        went = {f"{came}:{self._me}": age for came, age in begun.items()}
        left, unused = self._told - names.keys(), self._went - went.keys()
        arguments: list[str | float] = [self._me, self._here.name]
        arguments += ["" if self._server_clock is None else self._server_clock()]
        arguments += [_or_none(limits.most_begun), _or_none(limits.max_sessions), held]
        arguments += [LEASE_SECONDS, FORGOTTEN_SECONDS, WINDOW_SECONDS]
        arguments += [SETTLE_SECONDS, self._comes(), self._knew, secrets.token_hex(8)]
        arguments += [len(left), len(unused), len(went), *left, *unused]
        for name, number in (*went.items(), *names.items()):
            arguments += [name, number]
        going, ahead, wait, in_use, hosts, name = self._client()(self._keys, arguments)
        self._told = set(list(names)[going:])
        self._went = {*went, *list(names)[:going]}
        self._hosts = hosts
        if going < len(asks):
            self._knew = name
            until = float(wait) if float(wait) >= 0 else math.inf
            return Turn(going, look_again(until, ahead), in_use)
        has_any = held or asks or begun
        self._knew = name if has_any else ""  # Redis forgets it, too, after an hour
        return Turn(going, STATED_SECONDS if has_any else math.inf, in_use)

    def _comes(self) -> str:
        """From where: back, when Redis was lost; first, when nobody of this host has
        anything that a new Redis would have to be told."""
        if not self._knew and not self._here.is_used():
            return "first"
        return "again" if self._again_at is None else "back"

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


def _or_none(limit: float) -> int:
    """A limit, as the script takes it."""
    return -1 if limit == math.inf else int(limit)
