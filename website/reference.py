"""The parts of the reference that are made from the code: parameters, command line.

A page says where by a line such as `<!-- made from the code: parameters -->`;
`python -m website.reference parameters` prints what comes there.
"""

from __future__ import annotations

import re
import sys

import typer.main
from typer.cli import get_docs_for_click

from aai_stream.cli import app
from aai_stream.cli.parameters import EPILOG
from aai_stream.models import MULTILINGUAL, UNIVERSAL_3, UNIVERSAL_STREAMING
from aai_stream.parameters import PARAMETERS, RENAMED
from aai_stream.rules import Parameter

_PLACE = re.compile(r"<!-- made from the code: (\w+) -->")


def filled_in(markdown: str) -> str:
    """A page with what is made from the code in its places."""
    return _PLACE.sub(lambda place: MADE[place[1]](), markdown)


def parameters() -> str:
    """A table of all that `connect` and the service call a parameter."""
    rows = [
        "| parameter | does | type | values | models | live |",
        "|---|---|---|---|---|---|",
    ]
    for name, parameter in PARAMETERS.items():
        cells = (
            f"`{name}`",
            parameter.does,
            f"`{parameter.type.__name__}`",
            _values(parameter),
            _families(parameter),
            "yes" if parameter.live else "",
        )
        rows.append(f"| {' | '.join(cells)} |")
    rows += ["", "| old name | today |", "|---|---|"]
    rows += [f"| `{old}` | `{new}` |" for old, new in RENAMED.items()]
    return "\n".join(rows)


def _families(parameter: Parameter) -> str:
    """Which models take it, in words."""
    if parameter.models is None:
        return "all"
    names = {
        UNIVERSAL_3: "Universal-3",
        UNIVERSAL_STREAMING: "Universal-Streaming",
        UNIVERSAL_3 | MULTILINGUAL: "Universal-3, Universal-Streaming multilingual",
    }
    return names[parameter.models]


def _values(parameter: Parameter) -> str:
    """What is taken besides the type, in words."""
    unit = " characters" if parameter.type is str else ""
    told = []
    if parameter.choices:
        told.append(" or ".join(f"`{choice}`" for choice in parameter.choices))
    if parameter.low is not None and parameter.high is not None:
        told.append(f"{parameter.low:g} to {parameter.high:g}{unit}")
    elif parameter.low is not None:
        told.append(f"{parameter.low:g} or more{unit}")
    elif parameter.high is not None:
        told.append(f"up to {parameter.high:g}{unit}")
    if parameter.most is not None:
        told.append(f"up to {parameter.most} items")
    if parameter.longest is not None:
        told.append(f"of up to {parameter.longest} characters, or a warning")
    return ", ".join(told)


def commands() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="aai-stream")
    told = get_docs_for_click(obj=command, ctx=context, name="aai-stream")
    told = told.partition("\n")[2]  # without its own heading: the page has one
    return told.replace(EPILOG, "Parameters for `-o` are in [a table](parameters.md).")


MADE = {"parameters": parameters, "commands": commands}


if __name__ == "__main__":
    if sys.argv[1:2] not in ([name] for name in MADE):
        sys.exit(f"usage: python -m website.reference {'|'.join(MADE)}")
    print(MADE[sys.argv[1]]())
