"""Speaks `call.txt`: how `call.wav` and `call-stereo-44k.flac` were made.

    python examples/make_speech.py

Needs the program `flite` with its voice kal16, numpy, soundfile and soxr. The
sentences are the project's own; a pause of 1.1 s between them makes each a turn.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

HERE = Path(__file__).parent
RATE = 16_000
LEAD_SECONDS = 0.5
PAUSE_SECONDS = 1.1
STEREO_RATE = 44_100
RIGHT_LEVEL = 0.7


def spoken(sentence: str) -> np.ndarray:
    """One sentence as int16 samples at `RATE`."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "sentence.wav")
        subprocess.run(
            ["flite", "-voice", "kal16", "-t", sentence, "-o", wav], check=True
        )
        samples, rate = soundfile.read(wav, dtype="int16")
    assert rate == RATE, rate
    return np.asarray(samples)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.int16)


def main() -> None:
    parts = [silence(LEAD_SECONDS)]
    for sentence in (HERE / "call.txt").read_text(encoding="ascii").splitlines():
        parts += [spoken(sentence), silence(PAUSE_SECONDS)]
    call = np.concatenate(parts)
    soundfile.write(HERE / "call.wav", call, RATE, subtype="PCM_16")

    left = soxr.resample(call.astype(np.float32) / 32768, RATE, STEREO_RATE)
    stereo = np.column_stack([left, left * RIGHT_LEVEL])
    soundfile.write(
        HERE / "call-stereo-44k.flac", stereo, STEREO_RATE, subtype="PCM_16"
    )


if __name__ == "__main__":
    main()
