"""The parameters of AssemblyAI's streaming API as options of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import OptionError
from ..options import Options
from ..parameters import PARAMETERS, AudioParameters
from ..suggestions import did_you_mean

_OF_THE_AUDIO = tuple(AudioParameters.__annotations__)
_SETTABLE = [name for name in PARAMETERS if name not in _OF_THE_AUDIO]
EPILOG = "\n\n".join(
    ["Parameters for -o:", *(f"{name}: {PARAMETERS[name].does}" for name in _SETTABLE)]
)

Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="The speech model, such as u3-rt-pro."),
]
Language = Annotated[
    list[str] | None,
    typer.Option(
        "--language", "-l", metavar="CODE", help="Such as en; repeat it for more."
    ),
]
SpeakerLabels = Annotated[
    bool, typer.Option("--speaker-labels", help="Say who speaks: A, B, …")
]
Keyterm = Annotated[
    list[str] | None,
    typer.Option(
        "--keyterm", "-k", metavar="TERM", help="A name or term to expect; repeat it."
    ),
]
Prompt = Annotated[
    str | None, typer.Option("--prompt", help="What the audio is about, in words.")
]
Option = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="NAME=VALUE",
        help="Any parameter listed below; repeat it for more. Lists as JSON or with "
        "commas.",
    ),
]
Extra = Annotated[
    list[str] | None,
    typer.Option(
        "--extra",
        metavar="NAME=VALUE",
        help="A parameter that this version doesn't know; it is sent as it is.",
    ),
]
Record = Annotated[
    Path | None,
    typer.Option(
        "--record",
        metavar="FOLDER",
        file_okay=False,
        help="Keep the call on file there: all its audio and all that is said, but no "
        "key. `aai-stream show` shows it.",
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        help="A server other than AssemblyAI's or our own; on loopback without key."
    ),
]


def parameters(
    *,
    model: str | None,
    language: list[str] | None,
    speaker_labels: bool,
    keyterm: list[str] | None,
    prompt: str | None,
    option: list[str] | None,
    extra: list[str] | None,
) -> dict[str, Any]:
    """Keywords for `connect`, checked.

    Raises `OptionError` for a name that isn't one, a bad value, or a parameter that is
    given twice.
    """
    named = {
        "speech_model": model,
        "language_codes": language,
        "speaker_labels": speaker_labels or None,
        "keyterms_prompt": keyterm,
        "prompt": prompt,
    }
    given: dict[str, Any] = {name: value for name, value in named.items() if value}
    for name, text in map(_pair, option or []):
        if name in _OF_THE_AUDIO:
            raise OptionError(f"{name} can't be set: the command line sends 16 kHz PCM")
        if name not in _SETTABLE:
            raise OptionError(
                f"-o takes a name that --help lists, not {name!r}"
                f"{did_you_mean(name, _SETTABLE)}; --extra sends what we don't know"
            )
        if name in given:
            raise OptionError(f"{name} is given twice")
        given[name] = PARAMETERS[name].parse(text)
    Options(given)  # refuses what is bad before a server is started
    if extra:
        given["extra_params"] = dict(map(_pair, extra))
    return given


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise OptionError(f"-o and --extra take NAME=VALUE, not {name!r}")
    return name, value
