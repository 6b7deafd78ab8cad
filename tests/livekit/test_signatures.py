"""What names the keywords of `update_options`, at runtime and to type checkers."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest
from livekit.agents import NOT_GIVEN, NotGiven

from aai_stream.livekit import STT, SpeechStream
from aai_stream.livekit.options import LiveOptions
from aai_stream.parameters import PARAMETERS, RENAMED


@pytest.mark.parametrize("owner", [STT, SpeechStream])
def test_update_options_names_what_can_change(owner: type) -> None:
    signature = inspect.signature(vars(owner)["update_options"])
    self, *named = signature.parameters.values()
    assert self.name == "self"
    assert [p.name for p in named] == list(LiveOptions.__annotations__)
    assert {p.default for p in named} == {NOT_GIVEN}
    assert {p.kind for p in named} == {inspect.Parameter.KEYWORD_ONLY}
    assert get_args(signature.parameters["prompt"].annotation) == (str, NotGiven)


def test_live_options_are_parameters_that_can_change() -> None:
    for name in LiveOptions.__annotations__.keys() - {"buffer_size_seconds"}:
        assert PARAMETERS[RENAMED.get(name, name)].live


async def test_a_wrong_keyword_is_found_before_and_when_it_is_used() -> None:
    stt = STT(api_key="k")
    stream = stt.stream()
    with pytest.raises(TypeError, match=r"takes no promt \(did you mean 'prompt'\?\)"):
        stt.update_options(promt="")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"did you mean 'min_turn_silence'"):
        stream.update_options(min_turn_silnce=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="must be a string, not 3"):
        stt.update_options(prompt=3)  # type: ignore[arg-type]
    await stt.aclose()
