from __future__ import annotations

import base64
import gzip
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from aai_stream.errors import MissingExtraError
from aai_stream.recorder.reading import RecordedCall, read_call
from aai_stream.show.page import page
from tests.show.calls import (
    EVIL,
    RATE,
    audio,
    entries,
    evil_entries,
    meta,
    write_call,
)


def block(html: str, name: str) -> bytes:
    (text,) = re.findall(rf'<script type="text/plain" id="{name}">(.*?)</script>', html)
    return base64.b64decode(text)


def data_of(html: str) -> Any:
    return json.loads(gzip.decompress(block(html, "data")))


def test_a_page_holds_the_call(tmp_path: Path) -> None:
    html = page(read_call(write_call(tmp_path / "a call.aai")))
    data = data_of(html)
    assert data["file"] == "a call.aai"
    assert data["call"]["how"] == "ended"
    assert [s["outcome"] for s in data["call"]["sessions"]] == ["lost", "ended"]
    assert len(data["call"]["turns"]) == 4
    heard, rate = soundfile.read(io.BytesIO(block(html, "audio")), dtype="int16")
    assert rate == RATE
    assert np.array_equal(heard, audio())


def test_the_same_call_makes_the_same_page(tmp_path: Path) -> None:
    call = read_call(write_call(tmp_path / "call.aai"))
    assert page(call) == page(call)


def test_nothing_from_the_call_is_markup(tmp_path: Path) -> None:
    """Not even in the title, where the file's name stands."""
    about = meta(stream=EVIL, host=EVIL)
    plain = page(RecordedCall(Path("c.aai"), meta(), entries(), audio()))
    name = "<img src=x>.aai"
    html = page(RecordedCall(Path(name), about, evil_entries(), audio()))
    assert "<title>&lt;img src=x&gt;.aai</title>" in html
    assert "onerror" not in html
    assert html.count("<") == plain.count("<")
    assert EVIL in data_of(html)["call"]["stream"]


def test_a_page_may_ask_nobody() -> None:
    html = page(RecordedCall(Path("c.aai"), meta(), entries(), audio()))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("media-src") == "blob:"
    assert rules.pop("img-src") == "data:"
    for rule in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules.pop(rule))
    assert rules == {"base-uri": "'none'", "form-action": "'none'"}
    markup = re.sub(r"(?s)<script.*?</script>|<style.*?</style>", "", html)
    assert not re.search(r'(src|href)="(?!data:|#)', markup)


def test_a_call_without_audio_has_a_page() -> None:
    html = page(RecordedCall(Path("c.aai"), meta(), [], audio()[:0]))
    assert block(html, "audio") == b""
    assert data_of(html)["call"]["sessions"] == []


def test_without_soundfile_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    call = RecordedCall(Path("c.aai"), meta(), [], audio())
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtraError, match="pip install soundfile"):
        page(call)
