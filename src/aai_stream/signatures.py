"""Keywords that a function takes by `**`, named in its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_type_hints, is_typeddict

_F = TypeVar("_F", bound=Callable[..., Any])


def spelled_out(source: Any, default: object = None) -> Callable[[_F], _F]:
    """Let `inspect.signature` show the keywords that a function takes by `**`.

    `source` has them: a `TypedDict`, whose fields are shown with `default`, or another
    function. What the function has a name for already stays as it is. Type checkers
    read the annotation of the `**` instead.
    """

    def decorate(function: _F) -> _F:
        signature = inspect.signature(function)
        named = [
            parameter
            for parameter in signature.parameters.values()
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        names = {parameter.name for parameter in named}
        more = [p for p in _keywords(source, default) if p.name not in names]
        function.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*named, *more]
        )
        return function

    return decorate


def _keywords(source: Any, default: object) -> Iterable[inspect.Parameter]:
    if is_typeddict(source):
        return [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint
            )
            for name, hint in get_type_hints(source).items()
        ]
    parameters = inspect.signature(source).parameters.values()
    return [p for p in parameters if p.kind is p.KEYWORD_ONLY]
