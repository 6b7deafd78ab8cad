"""examples/debugging: the recorded call. docs/debugging.md runs the rest."""

from __future__ import annotations

import zipfile
from pathlib import Path

import soundfile

from aai_stream.recorder.reading import read_call
from examples.debugging import make_call
from tests.examples.pages import ROOT

CALL = ROOT / "examples" / "debugging" / "unheard.aai"


def test_the_call_is_what_its_script_makes(tmp_path: Path) -> None:
    path = tmp_path / "unheard.aai"
    make_call.main(path)
    made, kept = read_call(path), read_call(CALL)
    assert (made.meta, made.entries) == (kept.meta, kept.entries)
    assert made.audio.tolist() == kept.audio.tolist()
    assert CALL.stat().st_size < 150_000
    with zipfile.ZipFile(path) as archive, archive.open("audio.flac") as flac:
        assert soundfile.info(flac).samplerate == kept.meta.sample_rate
