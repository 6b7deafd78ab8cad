"""What somebody may have meant who wrote a name that doesn't exist."""

from __future__ import annotations

import re
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean …?)` with what of `known` is most like `name`, or nothing.

    Names of which `name` is a whole word, such as `speech_model` for `model`, come
    before those that are spelled like it.
    """
    from difflib import get_close_matches  # takes its time, and is seldom needed

    known = list(known)
    likely = [k for k in known if name in re.split("[_-]", k)]
    likely = likely or get_close_matches(name, known, n=1)
    return f" (did you mean {' or '.join(map(repr, likely))}?)" if likely else ""
