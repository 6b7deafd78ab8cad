from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from aai_stream.show.listing import list_calls
from aai_stream.show.text import print_call, print_calls
from aai_stream.show.timeline import timeline
from tests.show.calls import EVIL, entries, evil_entries, meta, write_call

pytestmark = pytest.mark.usefixtures("east")


def console(*, terminal: bool = False, width: int = 120) -> Console:
    return Console(
        file=io.StringIO(), width=width, force_terminal=terminal, highlight=False
    )


def lines(of: Console) -> Iterator[str]:
    assert isinstance(of.file, io.StringIO)
    return (line.rstrip() for line in of.file.getvalue().splitlines())


CALL = """\
file      call.aai
stream    5f0a93c1 to streaming.assemblyai.com
model     u3-rt-pro
began     2026-11-28 14:00:00 +0200
length    0:20, 0:18 of audio
ended     ended
sessions  2, 1 lost
outages   1: 0.93 s without a session
turns     4 final turns
lost      0.40 s of audio

clock             stream
14:00:00.000  -00:00.650  session 1 is asked for
14:00:00.430  -00:00.220  session 1 is open after 0.43 s: u3-rt-pro
14:00:00.430  -00:00.220  session 1 hears the stream from its beginning
14:00:05.791   00:05.191  Hello, this is John Miller speaking.  (0.59 s after its end)
14:00:09.871   00:09.271  I need to change my appointment on Monday morning.  \
(0.57 s after its end)
14:00:12.610   00:12.010  session 1 lost: the connection was reset; \
trying again in 0.50 s
14:00:13.111   00:12.511  session 2 is asked for
14:00:13.541   00:12.941  session 2 is open after 0.43 s: u3-rt-pro
14:00:13.541   00:12.941  session 2 goes on at 00:09.300: 2.70 s are sent again
14:00:13.542   00:12.942  silence left out, 00:09.300 to 00:09.800
14:00:15.107   00:14.508  session 2 has caught up after 1.57 s
14:00:15.408   00:14.809  Is there anything available on Wednesday afternoon?  \
(2.06 s after its end)
14:00:18.161   00:17.561  My account number is seven three nine four five eight.  \
(0.51 s after its end)
14:00:19.407   00:18.808  audio lost, 00:17.800 to 00:18.200: \
the stream was closed before it was transcribed
14:00:19.618   00:19.019  session 2 has ended
14:00:19.627   00:19.028  the call has ended

 how long it took                        count  median     p95    most
 end of a turn's last word → final turn      4  0.58 s  1.84 s  2.06 s
 chunk pushed → sent                       364    2 ms  1.04 s  1.64 s
 session asked for → websocket               2  0.21 s  0.21 s  0.21 s
 session asked for → Begin                   2  0.43 s  0.43 s  0.43 s
At most 3.60 s of audio waited, at 00:12.941."""


def test_a_call_as_text() -> None:
    shown = console()
    print_call(shown, "call.aai", timeline(meta(), entries()))
    assert "\n".join(lines(shown)) == CALL


def test_a_call_has_colours_in_a_terminal() -> None:
    shown = console(terminal=True)
    print_call(shown, "call.aai", timeline(meta(), entries()))
    (lost,) = (line for line in lines(shown) if "session 1 lost" in line)
    assert "\x1b[31msession 1 lost" in lost


def test_a_line_is_a_line_however_narrow_the_window_is() -> None:
    """Text that goes elsewhere can be searched."""
    shown = console(width=40)
    print_call(shown, "call.aai", timeline(meta(), entries()))
    assert "; trying again in 0.50 s" in "\n".join(lines(shown))


def test_no_text_of_a_call_steers_the_terminal(tmp_path: Path) -> None:
    shown = console(width=500)
    print_call(shown, EVIL, timeline(meta(host=EVIL, stream=EVIL), evil_entries()))
    write_call(tmp_path / "a\x1b[31m\nb.aai", evil_entries())
    print_calls(shown, list_calls(tmp_path))
    text = "\n".join(lines(shown))
    assert "onerror=alert(1)" in text
    assert "a [31m b.aai" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_call_in_which_nothing_happened() -> None:
    shown = console()
    print_call(shown, "call.aai", timeline(meta(), []))
    text = "\n".join(lines(shown))
    assert "ended     cut off" in text
    assert "waited" not in text
    assert "how long" not in text
