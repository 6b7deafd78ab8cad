"""`aai_stream.connect`: from keywords, all checked, to a stream."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from random import uniform
from typing import TYPE_CHECKING, Any

from ._core import AudioRing, limit_memory
from .connection.addresses import DEFAULT_URL, host_of
from .connection.connector import DEAD_AFTER_SECONDS, Connector
from .connection.credentials import Credentials, TokenSource
from .errors import AudioError, OptionError
from .options import Options, refuse_unknown, warn_of_lengths
from .parameters import Parameters
from .protocol.pace import CATCH_UP_RATE
from .protocol.retry import Retries
from .protocol.settings import BEGIN_SECONDS, CLOSE_SECONDS, Settings
from .recorder.recording import RECORD_MB, recording_of
from .rules import check_seconds
from .runner import Runner
from .signatures import spelled_out
from .stream import Stream

if TYPE_CHECKING:
    import aiohttp
    from typing_extensions import Unpack

logger = logging.getLogger("aai_stream")

REPLAY_SECONDS = 120.0
"""Long enough for a turn of a minute, the time until a dead peer is noticed, and an
outage."""


class ConnectOptions(Parameters, total=False):
    """The keywords of `connect`, for a function that takes them by `**` and hands them
    on. `sample_rate` is left to that function: it may mean another one by it."""

    api_key: str | None
    token: TokenSource | None
    base_url: str
    encoding: str
    chunk_ms: float
    resampler: str
    replay_seconds: float
    replay_memory_mb: float | None
    catch_up_rate: float
    http_session: aiohttp.ClientSession | None
    connect_timeout: float
    begin_timeout: float
    close_timeout: float
    dead_after: float
    max_retries: int
    skip_silence: bool
    park_after: float | None
    sessions_per_minute: float | None
    max_sessions: int | None
    budget: str | None
    allow_unencrypted: bool
    record: str | os.PathLike[str] | None
    record_mb: float
    extra_params: Mapping[str, Any] | None


@spelled_out(Parameters)
def connect(
    *,
    api_key: str | None = None,
    token: TokenSource | None = None,
    base_url: str = DEFAULT_URL,
    sample_rate: int = 16000,
    encoding: str = "pcm_s16le",
    chunk_ms: float = 50,
    resampler: str = "auto",
    replay_seconds: float = REPLAY_SECONDS,
    replay_memory_mb: float | None = None,
    catch_up_rate: float = CATCH_UP_RATE,
    http_session: aiohttp.ClientSession | None = None,
    connect_timeout: float = 10.0,
    begin_timeout: float = BEGIN_SECONDS,
    close_timeout: float = CLOSE_SECONDS,
    dead_after: float = DEAD_AFTER_SECONDS,
    max_retries: int = 10,
    skip_silence: bool = True,
    park_after: float | None = None,
    sessions_per_minute: float | None = None,
    max_sessions: int | None = None,
    budget: str | None = None,
    allow_unencrypted: bool = False,
    record: str | os.PathLike[str] | None = None,
    record_mb: float = RECORD_MB,
    extra_params: Mapping[str, Any] | None = None,
    **parameters: Unpack[Parameters],
) -> Stream:
    """A stream to AssemblyAI; use it as `async with connect(…) as stream`.

    Args:
        api_key: or the environment variable ASSEMBLYAI_API_KEY, or else `token`. None
            is needed if `base_url` is on loopback.
        token: a temporary token, or a callable or coroutine function that gives one.
        base_url: for example `wss://streaming.eu.assemblyai.com`, or the embedded
            server's; with `/v3/ws` behind it or without.
        sample_rate: what is sent, in Hz; audio of other rates is resampled to it.
        encoding: what is sent: `pcm_s16le`, or `pcm_mulaw` for half the bytes.
        chunk_ms: length of a message, 50 to 1000 ms.
        resampler: what makes `sample_rate` of other rates: `fir`, which does so for
            small ratios, such as 8, 24, 32 or 48 to 16 kHz, and lets `push` refuse
            others; `soxr`, which takes any; `auto` chooses. See `AudioRing`.
        replay_seconds: how much audio is kept until a final turn covers it, 1 to 600.
        replay_memory_mb: the most memory that this audio may take in this process, in
            MB (10^6 bytes), for all its streams together: the number given last
            counts, 512 until one is. Where they need more, those that hold most let go
            of their oldest audio. `math.inf` is no bound.
        catch_up_rate: at how many times real time audio follows that had to wait;
            `math.inf` for a server that doesn't mind, such as the embedded one.
        http_session: an aiohttp session to connect with, for example through a proxy;
            it stays the caller's. Without one, picows connects straight to the server.
        connect_timeout: seconds that TCP, TLS and the upgrade may take.
        begin_timeout: seconds from there to Begin.
        close_timeout: seconds that `Stream.end` waits for a sign of the server.
        dead_after: seconds without a sign of the server after which a connection
            counts as lost.
        max_retries: how often in a row, without progress, a lost session is replaced
            before the stream fails; 0 for never. Too many sessions are not counted,
            but waited out for `replay_seconds`.
        skip_silence: leave out long silence of audio that had to wait, so that what is
            said now is heard the sooner.
        park_after: pay only for speech: after so many seconds of silence, 10 or more,
            there is no session until there is a sound; None for never. See
            docs/parking.md.
        sessions_per_minute: that are opened for this account by all streams of this
            host and user, in whichever process, so that they don't exceed its limit
            when they lose their server at once. If None, 100, the least of a paid
            account; on loopback any number.
        max_sessions: that all these streams may have open at once; others wait for one
            to end. If None, any number. In a process, what was given last counts.
        budget: the URL of a Redis, `redis://…`, through which these two limits hold for
            all hosts that name it; or the environment variable AAI_STREAM_BUDGET. Needs
            the extra `redis`. See docs/fleet.md.
        allow_unencrypted: let `base_url` be without TLS on a machine that isn't this.
        record: a folder in which each call is kept on file: all its audio and all that
            is said, by the server and to it, but no key; or the environment variable
            AAI_STREAM_RECORD. Needs soundfile. See docs/debugging.md.
        record_mb: the most that this folder may hold, in MB (10^6 bytes): then the
            oldest recordings give way. While a call is packed, it takes as much again.
        extra_params: query parameters sent as they are, unchecked.
        **parameters: v3's own, by their names in `aai_stream.PARAMETERS`, such as
            `speech_model`, `keyterms_prompt` or `format_turns`.

    Raises:
        OptionError: a parameter is unknown or bad, or there is no key.
        MissingExtraError: `budget` or `record` needs a package that isn't installed.
        SessionError: on entering the context, by type: `RefusedError`,
            `UnreachableError`, `TimedOutError`, ….
    """
    refuse_unknown(parameters, inspect.signature(connect).parameters)
    audio = {"sample_rate": sample_rate, "encoding": encoding}
    options = Options({**parameters, **audio}, extra_params)
    check_seconds("connect_timeout", connect_timeout)
    settings = Settings(
        begin_timeout=begin_timeout,
        close_timeout=close_timeout,
        dead_after=dead_after,
        catch_up_rate=catch_up_rate,
        skip_silence=skip_silence,
        park_after=park_after,
    )
    connector = Connector(
        Credentials(api_key, token, host=host_of(base_url)),
        base_url,
        http_session=http_session,
        dead_after=dead_after,
        sessions_per_minute=sessions_per_minute,
        max_sessions=max_sessions,
        budget=budget,
        allow_unencrypted=allow_unencrypted,
    )
    ring = make_ring(sample_rate, encoding, chunk_ms, replay_seconds, resampler)
    bound_replay_memory(replay_memory_mb)
    asked = {
        "replay_seconds": replay_seconds,
        "resampler": resampler,
        "max_retries": max_retries,
        "connect_timeout": connect_timeout,
    }
    warn_of_lengths(logger, parameters)
    return Stream(
        partial(
            Runner,
            ring=ring,
            options=options,
            settings=settings,
            retries=retries(max_retries, replay_seconds),
            connector=connector,
            connect_timeout=connect_timeout,
            recording=recording_of(record, record_mb, asked),
        )
    )


def retries(
    most: int, patience: float, interval: Callable[[int], float] | None = None
) -> Retries:
    """See `Retries`; its waits are drawn at random."""
    return Retries(most, patience=patience, draw=uniform, interval=interval)


def make_ring(
    sample_rate: int,
    encoding: str,
    chunk_ms: float,
    replay_seconds: float,
    resampler: str,
) -> AudioRing:
    """A ring whose chunks v3 takes. Raises `OptionError` if it can't be had."""
    if encoding not in ("pcm_s16le", "pcm_mulaw"):
        raise OptionError(
            f"encoding must be pcm_s16le or pcm_mulaw: a stream can't make {encoding}"
        )
    try:
        ring = AudioRing(
            sample_rate,
            encoding=encoding,  # type: ignore[arg-type]
            chunk_ms=chunk_ms,
            replay_seconds=replay_seconds,
            resampler=resampler,  # type: ignore[arg-type]
        )
    except AudioError as exc:
        raise OptionError(str(exc)) from None
    if chunk_ms < 50:
        raise OptionError(f"chunk_ms must be from 50 to 1000, not {chunk_ms!r}")
    if replay_seconds * 1000 < 2 * chunk_ms:
        raise OptionError(
            f"replay_seconds must be at least two chunks, not {replay_seconds!r}"
        )
    return ring


def bound_replay_memory(megabytes: float | None) -> None:
    """Bound the memory of all rings of this process; None leaves the bound as it is.

    Raises `OptionError` unless it is a number of 1 or more.
    """
    if megabytes is None:
        return
    if (
        isinstance(megabytes, bool)
        or not isinstance(megabytes, (int, float))
        or not megabytes >= 1
    ):
        raise OptionError(f"replay_memory_mb must be at least 1, not {megabytes!r}")
    limit_memory(round(min(megabytes, 1e12) * 1e6))
