"""What Griffe, which reads the code for the reference, doesn't see by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

STUBS = Path(__file__).parents[1] / "src" / "aai_stream" / "_core.pyi"


class Signatures(griffe.Extension):
    """Types and defaults of the compiled core, and the values of defaults by name."""

    def on_package(
        self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: Any
    ) -> None:
        """Called when all of the package is read."""
        stubs = griffe.visit("_core", filepath=STUBS, code=STUBS.read_text())
        core = pkg["_core"]
        griffe.merge_stubs(core, stubs)
        for name, described in stubs.classes.items():
            core[name].members.pop("__new__", None)  # which takes anything
            if made := described.members.get("__new__"):
                core[name].set_member("__init__", made)
        for function in _functions(pkg):
            for parameter in function.parameters:
                if isinstance(parameter.default, griffe.ExprName):
                    parameter.default = _value(pkg, parameter.default)


def _functions(owner: griffe.Object) -> Iterator[griffe.Function]:
    for member in owner.members.values():
        if isinstance(member, griffe.Function):
            yield member
        elif isinstance(member, (griffe.Class, griffe.Module)):
            yield from _functions(member)


def _value(pkg: griffe.Module, name: griffe.ExprName) -> str | griffe.Expr:
    """Of a constant of ours; other names stay as they are."""
    path = name.canonical_path.removeprefix(f"{pkg.path}.")
    try:
        constant = pkg[path]
    except KeyError:  # another package's
        return name
    value = constant.value if isinstance(constant, griffe.Attribute) else None
    return name if value is None else value
