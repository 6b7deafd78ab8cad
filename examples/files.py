"""Transcribes many recordings at once, each to an SRT file of the same name.

    pip install '.[cli,local]'    # in a clone
    aai-stream serve &
    ASSEMBLYAI_BASE_URL=ws://127.0.0.1:8765 python examples/files.py subtitles \\
        examples/call.wav examples/call-stereo-44k.flac

With ASSEMBLYAI_API_KEY set, and no ASSEMBLYAI_BASE_URL, it is AssemblyAI that hears.
What is there is not done again: to go on after an interruption, repeat the command. Of
a recording that was not heard as a whole, the rest is in a file that ends in
`.part.srt`, until a repetition hears it all.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pysubs2

import aai_stream
from aai_stream.errors import (
    InputError,
    LostAudioError,
    MissingExtraError,
    RefusedError,
    TransientError,
)
from aai_stream.messages import Turn, Word

AT_ONCE = 4
"""How many are heard at once. Each takes as long as it plays, and a session."""

WORDS_A_LINE = 10


def options() -> dict[str, Any]:
    """How to connect; the embedded server doesn't mind haste, as AssemblyAI does."""
    if url := os.environ.get("ASSEMBLYAI_BASE_URL"):
        return {"base_url": url, "realtime": False}
    return {}


async def transcribe(path: Path, target: Path) -> str:
    """Write the subtitles of one recording; gives what to say of it.

    Raises `RefusedError`, with which all others would fail, too.
    """
    part = target.with_suffix(".part.srt")
    try:
        turns = await aai_stream.transcribe(path, **options())
    except RefusedError:
        raise
    except LostAudioError as exc:  # before `TransientError`, of which it is one
        write(exc.turns, part)
        return f"incomplete: {exc}"
    except TransientError as exc:
        return f"failed, may be tried again: {exc}"
    except (OSError, InputError, MissingExtraError) as exc:
        return f"can't be read: {exc}"
    except aai_stream.AaiStreamError as exc:
        return f"failed: {exc}"
    write(turns, target)
    part.unlink(missing_ok=True)
    return "done"


def write(turns: list[Turn], target: Path) -> None:
    """All at once: an interruption leaves no half of a file."""
    subtitles = pysubs2.SSAFile()
    for words in lines(turns):
        text = " ".join(word.text for word in words)
        subtitles.append(pysubs2.SSAEvent(words[0].start, words[-1].end, text))
    draft = target.with_suffix(".draft")
    draft.write_text(subtitles.to_string("srt"), encoding="utf-8")
    draft.replace(target)


def lines(turns: list[Turn]) -> Iterator[list[Word]]:
    """The words of each turn, a few at a time."""
    for turn in turns:
        for start in range(0, len(turn.words), WORDS_A_LINE):
            yield turn.words[start : start + WORDS_A_LINE]


async def transcribe_all(folder: Path, paths: list[Path]) -> int:
    """All whose subtitles are not in the folder yet; gives the exit status."""
    places = asyncio.Semaphore(AT_ONCE)
    status = 0

    async def one(path: Path) -> None:
        nonlocal status
        target = folder / f"{path.name}.srt"
        if target.exists():
            print(f"{path}: done before")
            return
        async with places:
            said = await transcribe(path, target)
        print(f"{path}: {said}")
        if said != "done":
            status = 75  # as `aai-stream transcribe` says it

    tasks = [asyncio.ensure_future(one(path)) for path in paths]
    try:
        await asyncio.gather(*tasks)
    except RefusedError as exc:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        print(f"all stopped: {exc}", file=sys.stderr)
        status = 77
    return status


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    folder, *paths = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    sys.exit(asyncio.run(transcribe_all(folder, paths)))
