"""Keywords that are taken by `**`: what names them, at runtime and to type checkers.

mypy checks these tests, too, and complains of a `type: ignore` that ignores nothing: so
each of them says that type checkers find the mistake on its line.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest

from aai_stream import PARAMETERS, Stream, connect, transcribe
from aai_stream.client import ConnectOptions
from aai_stream.errors import OptionError
from aai_stream.parameters import RENAMED, LiveParameters
from aai_stream.signatures import spelled_out
from aai_stream.suggestions import did_you_mean

LIVE = {name for name, parameter in PARAMETERS.items() if parameter.live}
OLD_LIVE = {old for old, name in RENAMED.items() if name in LIVE}


def keywords(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(function).parameters
    assert all(p.kind is not p.VAR_KEYWORD for p in parameters.values())
    return {n: p for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


def test_connect_names_every_parameter_with_its_type() -> None:
    named = keywords(connect)
    assert named.keys() > PARAMETERS.keys() | RENAMED.keys()
    assert named["min_turn_silence"].default is None
    assert named["min_turn_silence"].annotation == int | None
    assert named["encoding"].default == "pcm_s16le"  # its own
    inspect.signature(connect).bind(base_url="ws://127.0.0.1", prompt="x")
    with pytest.raises(TypeError, match="promt"):
        inspect.signature(connect).bind(promt="x")


def test_transcribe_takes_what_connect_takes_with_the_same_defaults() -> None:
    its_own = {"num_channels", "realtime"}
    named, of_connect = keywords(transcribe), keywords(connect)
    assert named.keys() == of_connect.keys() | its_own
    for name in of_connect.keys() - {"sample_rate"}:
        assert named[name] == of_connect[name]
    assert named["sample_rate"].default is None  # of the audio
    assert inspect.iscoroutinefunction(transcribe)


def test_connect_options_lack_no_keyword_of_connect() -> None:
    """That there is none too many, mypy sees where `transcribe` hands them on."""
    own = keywords(connect).keys() - {"sample_rate"}
    assert ConnectOptions.__annotations__.keys() == own


def test_a_stream_s_update_names_what_can_change() -> None:
    assert keywords(Stream.update).keys() == LIVE | OLD_LIVE
    assert next(iter(inspect.signature(Stream.update).parameters)) == "self"


def test_a_name_of_the_function_s_own_stays() -> None:
    @spelled_out(LiveParameters, default=...)
    def take(audio: bytes, *, prompt: str = "mine", **more: Any) -> None: ...

    names = list(inspect.signature(take).parameters)
    assert names[:2] == ["audio", "prompt"]
    assert set(names[2:]) == (LIVE | OLD_LIVE) - {"prompt"}
    assert keywords(take)["prompt"].default == "mine"
    assert keywords(take)["vad_threshold"].default is ...


async def test_a_wrong_name_is_found_before_and_when_it_is_used() -> None:
    def meant(name: str) -> Any:
        return pytest.raises(OptionError, match=rf"\(did you mean '{name}'\?\)")

    with meant("min_turn_silence"):
        connect(min_turn_silnce=3)  # type: ignore[call-arg]
    with meant("base_url"):
        connect(base_ulr="ws://127.0.0.1")  # type: ignore[call-arg]
    with meant("realtime"):
        await transcribe("call.wav", realtme=False)  # type: ignore[call-arg]
    with meant("catch_up_rate"):
        await transcribe("call.wav", catchup_rate=2)  # type: ignore[call-arg]
    with meant("language_codes"):  # rather than its old name
        connect(language_cod="en")  # type: ignore[call-arg]
    with pytest.raises(OptionError, match="'zzz'; extra_params sends"):
        connect(zzz=1)  # type: ignore[call-arg]


async def test_a_wrong_type_is_found_before_and_when_it_is_used() -> None:
    with pytest.raises(OptionError, match="must be a whole number, not 'x'"):
        connect(min_turn_silence="x")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="keyterms_prompt takes strings"):
        connect(keyterms_prompt=[3])  # type: ignore[list-item]
    with pytest.raises(OptionError, match="chunk_ms"):
        connect(api_key="k", chunk_ms="50")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="must be a string, not 3"):
        await transcribe(b"", sample_rate=16000, domain=3)  # type: ignore[arg-type]


async def test_what_is_right_is_taken() -> None:
    connect(
        api_key="k",
        sample_rate=8000,
        catch_up_rate=math.inf,
        keyterms_prompt=("Zoe", "Ann"),
        language_codes="en",
        llm_gateway={"model": "m"},
        prompt=None,
        vad_threshold=1,
        extra_params={"brand_new": True},
    )
    with pytest.warns(DeprecationWarning, match="use language_codes"):
        connect(api_key="k", language_code="en")


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("promt", ["mode", "prompt"], " (did you mean 'prompt'?)"),
        ("model", ["mode", "speech_model"], " (did you mean 'speech_model'?)"),
        ("after", ["at", "retry-after"], " (did you mean 'retry-after'?)"),
        ("url", ["base_url", "key", "x_url"], " (did you mean 'base_url' or 'x_url'?)"),
        ("zzz", ["prompt", "mode"], ""),
        ("", ["prompt", "mode"], ""),
        ("prompt", [], ""),
    ],
)
def test_what_may_have_been_meant(name: str, known: list[str], hint: str) -> None:
    assert did_you_mean(name, known) == hint
