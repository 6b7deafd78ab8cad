"""Of sessions that hear nothing yet: what is kept of what they say."""

from __future__ import annotations

from aai_stream.messages import Begin, Warning
from aai_stream.protocol.lineup import MOST_EARLY, Lineup
from tests.protocol.sessions import NOW, Life
from tests.servers import BEGIN


def standing_by(lineup: Lineup) -> Life:
    """A session on standby, which has told its Begin."""
    life = Life()
    lineup.open(life.session)
    lineup.keep_early(life.say(BEGIN))
    lineup.stand_by()
    return life


def test_only_so_much_is_kept() -> None:
    lineup = Lineup()
    life = standing_by(lineup)
    for number in range(MOST_EARLY):
        lineup.keep_early(life.say({"type": "Warning", "warning": str(number)}))
    begin, *warnings = lineup.take_over(NOW)
    assert isinstance(begin, Begin)
    assert len(warnings) == MOST_EARLY - 1
    said = [w.warning for w in warnings if isinstance(w, Warning)]
    assert said == [str(number) for number in range(MOST_EARLY - 1)]


def test_what_is_for_the_log_is_not_kept_back() -> None:
    lineup = Lineup()
    life = standing_by(lineup)
    for _ in range(MOST_EARLY):
        assert lineup.keep_early(life.say({"type": "New"})) == []
    (note,) = lineup.keep_early(life.say("garbage"))
    assert note.text.startswith("a message could not be read")
    kept = {type(event).__name__ for event in lineup.take_over(NOW)}
    assert kept == {"Begin", "Unknown"}


def test_it_is_told_once() -> None:
    lineup = Lineup()
    standing_by(lineup)
    assert len(lineup.take_over(NOW)) == 1
    standing_by(lineup)
    assert len(lineup.take_over(NOW)) == 1


def test_the_next_one_s_is_not_mixed_with_it() -> None:
    lineup = Lineup()
    unwanted = standing_by(lineup)
    lineup.keep_early(unwanted.say({"type": "New"}))
    lineup.keep_only_present()
    standing_by(lineup)
    assert len(lineup.take_over(NOW)) == 1
