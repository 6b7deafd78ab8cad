"""The plugin's face: `STT`, with every keyword of livekit-plugins-assemblyai."""

from __future__ import annotations

import asyncio
import os
import socket
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    NotGivenOr,
    stt,
    utils,
)
from livekit.agents.stt import STTCapabilities

from ..client import REPLAY_SECONDS, bound_replay_memory
from ..connection.addresses import DEFAULT_URL, host_of, is_address
from ..connection.connector import DEAD_AFTER_SECONDS, Connector
from ..connection.credentials import Credentials, TokenSource
from ..errors import AaiStreamError, OptionError
from ..files import heard_turns, memory_recording
from ..models import DEFAULT_MODEL, is_universal_3
from ..options import warn_of_lengths
from ..parameters import PARAMETERS
from ..protocol.pace import CATCH_UP_RATE
from ..protocol.settings import BEGIN_SECONDS, CLOSE_SECONDS, Settings
from ..recorder.recording import RECORD_MB, recording_of
from ..signatures import spelled_out
from .config import Config
from .events import whole_recording
from .failures import api_error
from .log import logger
from .options import (
    LONGEST_CONTEXT,
    LiveOptions,
    all_keyterms,
    check_family,
    given,
    languages,
    live_changes,
    renamed,
)
from .stream import SpeechStream

if TYPE_CHECKING:
    from livekit.agents.voice.events import ConversationItemAddedEvent
    from typing_extensions import Unpack


# The rest are translated.
_PASSED_ON = PARAMETERS.keys() - {"sample_rate", "encoding", "language_codes"}


class STT(stt.STT[Literal["server_message"]]):
    """AssemblyAI's streaming speech-to-text.

    Emits, besides LiveKit's own events, `server_message` with a `ServerMessage` for
    everything that a server says and LiveKit has no event for.

    Args:
        api_key: or the environment variable ASSEMBLYAI_API_KEY, or else `token`. None
            is needed if `base_url` is on loopback.
        token: a temporary token, or a callable or coroutine function that gives a new
            one for each connection.
        model: AssemblyAI's `speech_model`.
        sample_rate: what is sent, in Hz, or `"native"` to send what arrives, at the
            rate of a stream's first frame.
        encoding: `pcm_s16le`, or `pcm_mulaw` for half the bytes.
        buffer_size_seconds: length of a message, 0.05 to 1.
        base_url: of another region, or of the embedded server; with `/v3/ws` behind it
            or without.
        http_session: an aiohttp session to connect with, for example through a proxy;
            without it picows connects straight to the server.
        manual_flush: `flush()` ends the turn (ForceEndpoint), and LiveKit is told so.
        catch_up_rate: at how many times real time audio follows that had to wait.
        replay_seconds: how much audio is kept until a final transcript covers it.
        begin_timeout: seconds that an open connection may take to its Begin; TCP, TLS
            and the upgrade have those of `conn_options.timeout`.
        close_timeout: seconds that the end may take without a sign of the server.
        skip_silence: leave out long silence of audio that had to wait.
        park_after: pay only for speech: after so many seconds of silence, 10 or more,
            there is no session until there is a sound; None for never. See
            docs/parking.md.
        replay_memory_mb: the most memory that this audio may take in this process, in
            MB (10^6 bytes), for all its streams together: the number given last
            counts, 512 until one is.
        resampler: what makes `sample_rate` of other rates: `fir` for small ratios,
            such as 24 or 48 to 16 kHz, `soxr` for any, `auto` to choose.
        dead_after: seconds without a sign of the server after which a connection
            counts as lost.
        sessions_per_minute: that all streams of this host and user open for this
            account, in whichever process; if None, 100, and any number on loopback.
        max_sessions: that they may have open at once; others wait for one to end. If
            None, any number.
        budget: the URL of a Redis, `redis://…`, through which these two limits hold for
            all hosts that name it; or the environment variable AAI_STREAM_BUDGET. See
            docs/fleet.md.
        allow_unencrypted: let `base_url` be without TLS on a machine that isn't this.
        record: a folder in which the call of each stream is kept on file: all its audio
            and all that is said, by the server and to it, but no key; or the
            environment variable AAI_STREAM_RECORD. Needs soundfile. See
            docs/debugging.md.
        record_mb: the most that this folder may hold, in MB (10^6 bytes): then the
            oldest recordings give way. While a call is packed, it takes as much again.
        extra_params: query parameters sent as they are, unchecked.
        agent_context_carryover: deprecated, use
            `AgentSession(stt_context_options={"forward_chat_context": …})`.
        language_code: deprecated, use `language_codes`, which takes one or several.
        min_end_of_turn_silence_when_confident: deprecated, use `min_turn_silence`.

    The other keywords are AssemblyAI's parameters of the same names;
    docs/livekit.md has them all.

    Raises:
        OptionError: a `ValueError`, for a parameter that is bad or that the model
            doesn't take, or when there is no key.
        MissingExtraError: `budget` needs the package redis, `record` soundfile.
    """

    def __init__(
        self,
        *,
        api_key: NotGivenOr[str] = NOT_GIVEN,
        token: TokenSource | None = None,
        sample_rate: int | Literal["native"] = 16000,
        encoding: Literal["pcm_s16le", "pcm_mulaw"] = "pcm_s16le",
        model: str = DEFAULT_MODEL,
        language_detection: NotGivenOr[bool] = NOT_GIVEN,
        language_code: NotGivenOr[str] = NOT_GIVEN,
        language_codes: NotGivenOr[str | list[str]] = NOT_GIVEN,
        end_of_turn_confidence_threshold: NotGivenOr[float] = NOT_GIVEN,
        min_turn_silence: NotGivenOr[int] = NOT_GIVEN,
        max_turn_silence: NotGivenOr[int] = NOT_GIVEN,
        format_turns: NotGivenOr[bool] = NOT_GIVEN,
        continuous_partials: NotGivenOr[bool] = NOT_GIVEN,
        interruption_delay: NotGivenOr[int] = NOT_GIVEN,
        keyterms_prompt: NotGivenOr[list[str]] = NOT_GIVEN,
        prompt: NotGivenOr[str] = NOT_GIVEN,
        agent_context: NotGivenOr[str] = NOT_GIVEN,
        previous_context_n_turns: NotGivenOr[int] = NOT_GIVEN,
        vad_threshold: NotGivenOr[float] = NOT_GIVEN,
        speaker_labels: NotGivenOr[bool] = NOT_GIVEN,
        max_speakers: NotGivenOr[int] = NOT_GIVEN,
        domain: NotGivenOr[str] = NOT_GIVEN,
        voice_focus: NotGivenOr[str] = NOT_GIVEN,
        voice_focus_threshold: NotGivenOr[float] = NOT_GIVEN,
        mode: NotGivenOr[str] = NOT_GIVEN,
        inactivity_timeout: NotGivenOr[int] = NOT_GIVEN,
        extra_params: Mapping[str, Any] | None = None,
        http_session: aiohttp.ClientSession | None = None,
        buffer_size_seconds: float = 0.05,
        base_url: str = DEFAULT_URL,
        manual_flush: bool = False,
        catch_up_rate: float = CATCH_UP_RATE,
        begin_timeout: float = BEGIN_SECONDS,
        close_timeout: float = CLOSE_SECONDS,
        skip_silence: bool = True,
        park_after: float | None = None,
        replay_seconds: float = REPLAY_SECONDS,
        replay_memory_mb: float | None = None,
        resampler: Literal["auto", "soxr", "fir"] = "auto",
        dead_after: float = DEAD_AFTER_SECONDS,
        sessions_per_minute: float | None = None,
        max_sessions: int | None = None,
        budget: str | None = None,
        allow_unencrypted: bool = False,
        record: str | os.PathLike[str] | None = None,
        record_mb: float = RECORD_MB,
        min_end_of_turn_silence_when_confident: NotGivenOr[int] = NOT_GIVEN,
        agent_context_carryover: NotGivenOr[bool] = NOT_GIVEN,
    ) -> None:
        options = given(locals())  # first of all, while there is nothing else in it
        if utils.is_given(api_key) and not api_key and token is None:
            # A mistake, and the key of the environment may be another's.
            raise OptionError("api_key is empty; leave it out to use the environment's")
        renamed(options)
        parameters = {k: v for k, v in options.items() if k in _PASSED_ON}
        if model == "u3-pro":
            logger.warning("u3-pro is deprecated, use %s", DEFAULT_MODEL)
            model = DEFAULT_MODEL
        if codes := _language_codes(options, model):
            parameters["language_codes"] = codes
        check_family(model, list(parameters))
        self._config = Config(
            connector=Connector(
                Credentials(options.get("api_key"), token, host=host_of(base_url)),
                base_url,
                http_session=http_session,
                dead_after=dead_after,
                sessions_per_minute=sessions_per_minute,
                max_sessions=max_sessions,
                budget=budget,
                allow_unencrypted=allow_unencrypted,
            ),
            parameters={**parameters, "speech_model": model},
            extra_params=dict(extra_params or {}),
            sample_rate=sample_rate,
            encoding=encoding,
            buffer_size_seconds=buffer_size_seconds,
            replay_seconds=replay_seconds,
            resampler=resampler,
            settings=Settings(
                begin_timeout=begin_timeout,
                close_timeout=close_timeout,
                dead_after=dead_after,
                catch_up_rate=catch_up_rate,
                skip_silence=skip_silence,
                park_after=park_after,
                keeps_alive=True,
            ),
            manual_flush=manual_flush,
            recording=recording_of(
                record,
                record_mb,
                {"replay_seconds": replay_seconds, "resampler": resampler},
            ),
        )
        self._config.check()
        warn_of_lengths(logger, parameters)
        bound_replay_memory(replay_memory_mb)
        super().__init__(
            capabilities=STTCapabilities(
                streaming=True,
                interim_results=True,
                aligned_transcript="word",
                offline_recognize=True,
                diarization=parameters.get("speaker_labels") is True,
                keyterms=True,
                chat_context=_carries_over(model, agent_context_carryover),
                manual_flush=manual_flush,
            )
        )
        self._user_keyterms: list[str] = PARAMETERS["keyterms_prompt"].check(
            parameters.get("keyterms_prompt", [])
        )
        self._session_keyterms: list[str] = []
        self._streams = weakref.WeakSet[SpeechStream]()

    @property
    def model(self) -> str:
        """The speech model."""
        return self._config.model

    @property
    def provider(self) -> str:
        """`AssemblyAI`."""
        return "AssemblyAI"

    @property
    def session(self) -> aiohttp.ClientSession:
        """The `http_session` given, or else the LiveKit job's.

        Streams don't use the latter: it takes no more than 50 sockets to one host.
        """
        return self._config.connector.http_session or utils.http_context.http_session()

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> SpeechStream:
        """A stream of its own session.

        `language` steers a Universal-3 model if `language_codes` doesn't.
        """
        stream = SpeechStream(
            stt=self, conn_options=conn_options, config=self._steered(language)
        )
        self._streams.add(stream)
        return stream

    def _steered(self, language: NotGivenOr[str]) -> Config:
        config = self._config
        if "language_codes" in config.parameters or not is_universal_3(self.model):
            return config
        if not utils.is_given(language) or not language:
            return config
        return config.updated({"language_codes": languages(language)})

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        frame = rtc.combine_audio_frames(buffer)
        config = self._steered(language)
        rate = config.sample_rate
        if rate == "native":
            rate = frame.sample_rate
        stream = config.stream(rate, conn_options.timeout)
        recording = memory_recording(frame.data, frame.sample_rate, frame.num_channels)
        try:
            async with stream:
                turns = await heard_turns(recording, stream, realtime=False)
        except AaiStreamError as exc:
            raise api_error(exc, stream.session_id) from exc
        spoken = language if utils.is_given(language) else None
        return whole_recording(turns, spoken, stream.session_id)

    @spelled_out(LiveOptions, NOT_GIVEN)
    def update_options(self, **options: Unpack[LiveOptions]) -> None:
        """Change live options, see `LiveOptions`, of this and of all its streams.

        Raises `OptionError` (a `ValueError`) if one is bad; then none is changed.
        """
        changes = live_changes(options, self.model)
        user_keyterms = changes.get("keyterms_prompt")
        if user_keyterms is not None:
            user_keyterms = PARAMETERS["keyterms_prompt"].check(user_keyterms)
            changes["keyterms_prompt"] = all_keyterms(
                user_keyterms, self._session_keyterms
            )
        self._apply(changes)
        if user_keyterms is not None:
            self._user_keyterms = user_keyterms
            warn_of_lengths(logger, {"keyterms_prompt": user_keyterms})

    def _apply(self, changes: Mapping[str, Any]) -> None:
        self._config = self._config.updated(changes)
        for stream in list(self._streams):
            stream._apply(changes)

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        """LiveKit's hook: key terms of the conversation, besides the user's own."""
        if keyterms == self._session_keyterms:
            return
        self._session_keyterms = list(keyterms)
        self._apply({"keyterms_prompt": all_keyterms(self._user_keyterms, keyterms)})
        warn_of_lengths(logger, {"keyterms_prompt": keyterms})

    def _push_conversation_item(self, ev: ConversationItemAddedEvent) -> None:
        """LiveKit's hook: what the agent said is context for what the user answers."""
        item = ev.item
        if item.type != "message" or item.role != "assistant":
            return
        if text := item.text_content:
            # Of a long reply the end says most: the question to the user.
            self._apply({"agent_context": text[-LONGEST_CONTEXT:]})

    def prewarm(self) -> None:
        """Resolve the server's name, so that the first connect need not wait for it.
        What else there is to load was loaded by importing this package.

        Opens no session, since AssemblyAI bills those.
        """
        host = self._config.connector.host
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if is_address(host):  # which saves a process of one job a thread
            return
        resolving = loop.run_in_executor(None, socket.getaddrinfo, host, None)
        resolving.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def aclose(self) -> None:
        """Close every stream."""
        await asyncio.gather(*(stream.aclose() for stream in list(self._streams)))


def _language_codes(options: dict[str, Any], model: str) -> list[str]:
    """Of the two keywords that name languages."""
    if "language_code" in options:
        if "language_codes" in options:
            raise OptionError(
                "give language_codes or its old name language_code, not both"
            )
        logger.warning("language_code is deprecated, use language_codes")
        check_family(model, ["language_codes"])
    return languages(options.get("language_codes", options.get("language_code", [])))


def _carries_over(model: str, wanted: NotGivenOr[bool]) -> bool:
    """Whether LiveKit shall tell what the agent says: `agent_context` is for that."""
    if not utils.is_given(wanted):
        return is_universal_3(model)
    logger.warning(
        "agent_context_carryover is deprecated, use "
        "AgentSession(stt_context_options={'forward_chat_context': ...})"
    )
    if wanted and not is_universal_3(model):
        logger.warning("agent_context_carryover does nothing with model %s", model)
    return wanted and is_universal_3(model)
