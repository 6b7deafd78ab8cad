"""Partials of Universal-3 models: guesses, which the service takes back.

Captures show 83 words that became 78, a word whose start moved from 4480 to 5488 ms,
and a final that shared no word with its partial. The same words give the same guesses.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..engines.engine import HeardWord

MOVED_MS = 1008
"""How much too early a word may be told."""


def guess(
    words: Sequence[HeardWord], told: int, earliest_ms: int
) -> Sequence[HeardWord]:
    """The `words` of an open turn as its next partial has them.

    `told` is how many partials there were. No word starts before `earliest_ms`, where
    the previous turn ended. A single word gets no partial: the result is empty.
    """
    if len(words) < 2:
        return ()
    if told % 4 == 1:
        early = max(0, min(MOVED_MS, words[0].start_ms - earliest_ms))
        words = [_moved(word, early) for word in words]
    if told % 4 == 2 and len(words) > 2:
        return words[: -1 - len(words) // 20]
    if told % 4 == 3:
        sure = 0 if len(words) < 3 else len(words) - 1
        return [*words[:sure], *map(_misheard, words[sure:])]
    return words


def _moved(word: HeardWord, early_ms: int) -> HeardWord:
    return msgspec.structs.replace(
        word, start_ms=word.start_ms - early_ms, end_ms=word.end_ms - early_ms
    )


def _misheard(word: HeardWord) -> HeardWord:
    return msgspec.structs.replace(word, text=word.text[: len(word.text) // 2] or "uh")
