"""The plugin's options as LiveKit's users give them, and as v3 wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from livekit.agents import LanguageCode, NotGivenOr
from livekit.agents.utils import is_given

from ..models import UNIVERSAL_3
from ..parameters import PARAMETERS, RENAMED
from ..suggestions import did_you_mean
from .log import logger

LONGEST_CONTEXT = int(PARAMETERS["agent_context"].high or 0)
"""Characters of `agent_context`. A longer one makes the server end the session."""

_MOST_KEYTERMS = PARAMETERS["keyterms_prompt"].most


class LiveOptions(TypedDict, total=False):
    """What `update_options` takes; see AssemblyAI's parameters of the same names."""

    buffer_size_seconds: NotGivenOr[float]
    end_of_turn_confidence_threshold: NotGivenOr[float]
    min_turn_silence: NotGivenOr[int]
    max_turn_silence: NotGivenOr[int]
    prompt: NotGivenOr[str]
    agent_context: NotGivenOr[str]
    keyterms_prompt: NotGivenOr[list[str]]
    language_codes: NotGivenOr[str | list[str]]
    vad_threshold: NotGivenOr[float]
    continuous_partials: NotGivenOr[bool]
    interruption_delay: NotGivenOr[int]
    min_end_of_turn_silence_when_confident: NotGivenOr[int]
    """Deprecated: `min_turn_silence`."""


def live_changes(options: Mapping[str, Any], model: str) -> dict[str, Any]:
    """What an `update_options` call changes, under today's names and as v3 wants it.

    Raises `TypeError` for an option that can't be changed, `OptionError` for one that
    `model` doesn't take.
    """
    taken = LiveOptions.__annotations__
    for name in options:
        if name not in taken:
            hint = did_you_mean(name, (n for n in taken if n not in RENAMED))
            raise TypeError(f"update_options() takes no {name}{hint}")
    changes = given(options)
    renamed(changes)
    if "language_codes" in changes:
        check_family(model, ["language_codes"])
        changes["language_codes"] = languages(changes["language_codes"])
    return changes


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given a value."""
    return {k: v for k, v in options.items() if is_given(v) and v is not None}


def renamed(options: dict[str, Any]) -> None:
    """Move the value of a deprecated option to today's name, with a warning."""
    old = "min_end_of_turn_silence_when_confident"
    if old in options:
        logger.warning("%s is deprecated, use min_turn_silence", old)
        options.setdefault("min_turn_silence", options[old])
        del options[old]


def check_family(model: str, names: Sequence[str]) -> None:
    """Raise `OptionError` for a parameter that only the Universal-3 family takes."""
    for name in names:
        if PARAMETERS[name].models == UNIVERSAL_3:
            PARAMETERS[name].check_model(model)


def languages(codes: str | Sequence[str]) -> list[str]:
    """Language codes in any form that LiveKit knows, as v3 wants them."""
    if isinstance(codes, str):
        codes = [codes] if codes else []
    return list(dict.fromkeys(LanguageCode(code).language for code in codes))


def all_keyterms(user: Sequence[str], session: Sequence[str]) -> list[str]:
    """The user's key terms, then those of LiveKit's that v3 has room for."""
    wanted = list(dict.fromkeys([*user, *filter(None, session)]))
    terms = wanted[:_MOST_KEYTERMS]
    if left_out := len(wanted) - len(terms):
        logger.warning(
            "%d key terms were left out: at most %s can be sent",
            left_out,
            _MOST_KEYTERMS,
        )
    return terms
