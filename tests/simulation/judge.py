"""What must be so when a call is over."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.speech import RATE, Said, Script

if TYPE_CHECKING:
    from tests.simulation.account import Account
    from tests.simulation.report import Heard, Loss, Report

MS = RATE // 1000
"""The protocol's times are no finer."""


@dataclass(frozen=True)
class Verdict:
    """What is wrong, and how many words are lost, though told as lost."""

    problems: list[str]
    lost: int


def judge(
    account: Account,
    report: Report,
    *,
    pushed: int,
    is_closed: bool,
    is_doomed: bool,
) -> Verdict:
    """Each word that was pushed is told exactly once, in order, or is in a gap.

    But for words that a session lost without a trace, and those that are no sound, if
    no turn that was shown had them; and, of a stream that `is_closed` and not ended,
    those that had no final yet. In a gap may be what became too old, and words of turns
    that a session failed to end; if the stream `is_doomed`, all.
    """
    script = account.script
    gaps = [(loss.start - MS, loss.end + MS) for loss in report.lost]
    # Where the memory ended may be the middle of a word.
    cuts = [
        gap for gap, loss in zip(gaps, report.lost, strict=True) if is_too_old(loss)
    ]
    words = [word for final in report.finals for word in final]
    counts = Counter(word.text for word in words)
    problems = _judge_told(script, report, cuts, account.forced_into | account.vanished)
    count_lost = 0
    for said in script.words:
        if said.end > pushed:
            break
        count = counts[said.text]
        if count > 1:
            problems.append(f"{said.text} is told {count} times")
        may_be_missed = said.is_soft and said.number not in account.shown
        may_be_cut = said.is_soft or said.number in account.forced_into
        if may_be_cut and counts[f"~{said.text}"]:
            may_be_missed = True  # some of it was lost, and then it was heard
        is_vanished = said.number in account.vanished
        if count or is_closed or may_be_missed or is_vanished:
            continue
        count_lost += 1
        is_told_as_lost = any(
            start <= said.sounds_from and said.end <= end for start, end in gaps
        )
        if not is_told_as_lost and not _is_in(said, cuts):
            is_skipped = _is_in(said, report.skipped)
            how = "skipped as silence" if is_skipped else "neither told nor lost"
            problems.append(f"{said.text} at {said.start // MS} ms is {how}")
        elif said.number not in account.failed and not (
            _is_in(said, cuts) or is_doomed
        ):
            problems.append(f"{said.text} at {said.start // MS} ms is lost in vain")
    return Verdict(problems, count_lost)


def is_too_old(loss: Loss) -> bool:
    """Whether the memory is said to have been too short."""
    return "sent" in loss.why


def judge_losses(
    account: Account, losses: list[Loss], replay_seconds: float, *, is_calm: bool
) -> list[str]:
    """Audio is too old only where the replay buffer doesn't reach, and silence that was
    heard in a call that `is_calm` never is."""
    problems = []
    for loss in filter(is_too_old, losses):
        is_spoken = account.script.is_spoken(loss.start, loss.end)
        is_heard = any(
            one.first_sample <= loss.start and loss.end <= (one.expected or 0)
            for one in account.sessions
        )
        if is_calm and is_heard and not is_spoken:
            problems.append(f"silence is lost at {loss.start / RATE:.3f} s")
        kept = (loss.pushed - loss.end) / RATE
        if kept < replay_seconds - 2:
            span = f"{loss.start / RATE:.3f} to {loss.end / RATE:.3f} s"
            problems.append(f"{span} is said to be too old, {kept:.1f} s behind")
    return problems


def _judge_told(
    script: Script, report: Report, cuts: list[tuple[int, int]], may_be_cut: set[int]
) -> list[str]:
    """Whether the words of finals are whole, in order, and where they were said."""
    problems = []
    if report.orders != sorted(set(report.orders)):
        problems.append(f"turns in the order {report.orders}")
    last_start = last_number = -1
    for word in (word for final in report.finals for word in final):
        said = script.words[int(word.text.lstrip("~w"))]
        if word.text != said.text:
            is_excused = said.is_soft or said.number in may_be_cut
            if not _is_in(said, cuts) and not is_excused:
                problems.append(f"a damaged word, {word.text}, at {word.start} ms")
            continue
        start, end = said.start // MS, said.end // MS
        if abs(word.start - start) > 25 or not start < word.end <= end + 10:
            problems.append(
                f"{word.text} is told at {word.start}-{word.end} ms, said at "
                f"{start}-{end} ms"
            )
        if said.number <= last_number or word.start < last_start:
            problems.append(f"{word.text} comes behind w{last_number}")
        last_number = max(last_number, said.number)
        last_start = max(last_start, word.start)
    return problems


def judge_forced(
    finals: list[list[Heard]], forced: list[int], chunk_seconds: float
) -> list[str]:
    """Turns end where they were to end, in samples: no final goes on behind it."""
    problems = []
    finals = [final for final in finals if final]
    for at in forced:
        # What was no full chunk yet is in the next turn, or was in another chunk.
        before = (at / RATE - chunk_seconds) * 1000 - 20
        behind = (at / RATE + chunk_seconds) * 1000 + 20
        for final in finals:
            if final[0].end < before and final[-1].start > behind:
                span = f"{final[0].start} to {final[-1].end} ms"
                problems.append(f"no turn ends at {at / RATE:.3f} s: {span}")
    return problems


def judge_revisions(report: Report) -> list[str]:
    """Revisions are of turns that were told, under the same numbers."""
    problems = []
    finals = dict(zip(report.orders, report.finals, strict=False))
    for order, words in report.revised:
        told = finals.get(order)
        if told is not None and [w.text for w in told] != [w.text for w in words]:
            problems.append(f"turn {order} is revised, but it is another")
    return problems


def judge_speech(speech: list[str]) -> list[str]:
    """LiveKit hears of one end of speech for every start."""
    problems = []
    is_speaking = has_started = False
    for place, event in enumerate(speech):
        if event == "START":
            if has_started:
                problems.append(f"event {place}: speech starts twice")
            is_speaking = has_started = True
        elif event in ("INTERIM", "FINAL"):
            is_speaking = True
        elif event == "END":
            if not is_speaking:
                problems.append(f"event {place}: speech ends, but nobody spoke")
            is_speaking = has_started = False
    if is_speaking:
        problems.append("speech never ends")
    return problems


def _is_in(said: Said, stretches: list[tuple[int, int]]) -> bool:
    """Whether some of a word lies in one of the `stretches`."""
    return any(start < said.end and said.start < end for start, end in stretches)
