"""A turn that is still open, as the service tells it: guesses, which it takes back.

Seen of Universal-3 models: 83 words became 78, the start of a word moved from 4480 to
5488 ms, a final shared no word with its partial. The same words give the same guesses.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..engines.engine import HeardWord

MOVED_MS = 1008
"""A word may be told so much too early."""


def guess(
    words: Sequence[HeardWord], told: int, earliest_ms: int
) -> Sequence[HeardWord]:
    """The `words` of an open turn as its next partial tells them.

    `told` is how many partials there have been. Nothing is told to start before
    `earliest_ms`, where the turn before has ended. Empty if nothing is told yet: a
    single word may be final without any partial before.
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
