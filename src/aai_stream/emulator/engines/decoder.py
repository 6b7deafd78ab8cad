"""Hears turns in one session's audio: voice activity, words, and when a turn is over.

Runs inside a worker process (see `worker.py`) and is imported only there, for it needs
the packages of the extra `local`. Pure, synchronous and deterministic: everything is
decided on 30 ms frames of audio time, so neither the wall clock nor the way the audio
was cut into messages changes what is heard.

A *turn* opens when five of the last seven frames were voice. Its audio begins at least
240 ms before the voice, so that the first word is whole. It is told from its first word
on; a cough, in which no word is heard, is never told. A turn that was told always ends
with an `end_of_turn`, even if no word is left by then.

A turn *sounds finished* when its text has stood unchanged for 150 ms and doesn't stop
at a word that asks for another ("and", "my", "from"). Such a turn ends once silence
reaches `min_silence_ms`; any turn ends when it reaches `max_silence_ms`, or after a
minute. Clients of Universal-3 ask for as little as 100 ms, which is shorter than many
gaps inside a sentence: silence below 240 ms never ends a turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import soxr
from pocketsphinx import Decoder, Vad

from .engine import (
    SILENCE_EVERY_MS,
    Finished,
    Heard,
    HeardWord,
    Hypothesis,
    Silence,
    SpeechStarted,
    TurnSettings,
)

MODEL_RATE = 16_000
"""Hz: the only rate the acoustic model knows."""

_FRAME_MS = 30
_BYTES_PER_MS = MODEL_RATE // 1000 * 2
_FRAME_BYTES = _FRAME_MS * _BYTES_PER_MS
_ONSET_FRAMES = 7
_ONSET_VOICED = 5
_PRE_ROLL_FRAMES = 15
_SEED_BYTES = 500 * _BYTES_PER_MS
"""Half a second of speech, the least that gives a usable cepstral mean."""

_TELL_FRAMES = 8
_STABLE_MS = 150
_SETTLED_MS = 700
"""Words this far behind the head agree with the final text 95 % of the time."""

_LEAST_SILENCE_MS = 240

_UNFINISHED = {"and", "or", "but", "because", "if", "with", "for", "from"}
_UNFINISHED |= {"my", "your", "our", "their", "i'm", "i'd"}


def load_model() -> Decoder:
    """Load pocketsphinx's own English model; about half a second and 60 MB.

    The beams are the widest that leave a stream at a sixth of real time.
    """
    return Decoder(
        samprate=MODEL_RATE,
        fwdflat=False,
        maxhmmpf=5000,
        maxwpf=10,
        pl_window=10,
        loglevel="FATAL",
    )


class TurnDecoder:
    """Hears one session: give it the audio, it returns what was heard in it.

    `model` must be fresh from `load_model` (or a fork of such), for what a model has
    heard before colours what it hears next. `sample_rate` is the session's, in Hz;
    other rates than `MODEL_RATE` are resampled.
    """

    def __init__(
        self, model: Decoder, sample_rate: int, settings: TurnSettings
    ) -> None:
        self._model = model
        self._is_voice: Callable[[bytes], bool] = Vad(
            Vad.MEDIUM_STRICT, MODEL_RATE, _FRAME_MS / 1000
        ).is_speech
        self._resampler = None if sample_rate == MODEL_RATE else _Resampler(sample_rate)
        self._settings = settings
        self._rest = bytearray()
        self._now_ms = 0
        self._silent_since_ms = 0
        self._recent: deque[tuple[bytes, bool]] = deque(maxlen=_PRE_ROLL_FRAMES)
        self._turn: _Turn | None = None
        self._unseeded: bytearray | None = bytearray()

    def hear(self, pcm: bytes) -> list[Heard]:
        """Take the next audio, PCM16 at the session's rate, in any amount."""
        return list(self._frames(self._resampler.feed(pcm) if self._resampler else pcm))

    def configure(self, settings: TurnSettings) -> None:
        """Use other turn settings from here on, also for the open turn."""
        self._settings = settings

    def force_endpoint(self) -> list[Heard]:
        """End the open turn here; nothing is heard when none is open."""
        return list(self._end_turn(self._turn)) if self._turn else []

    def finish(self) -> list[Heard]:
        """Hear what is left in the resampler, end the open turn, tell `Finished`."""
        heard = list(self._frames(self._resampler.drain())) if self._resampler else []
        return [*heard, *self.force_endpoint(), Finished()]

    def _frames(self, pcm: bytes) -> Iterator[Heard]:
        self._rest += pcm
        whole = len(self._rest) - len(self._rest) % _FRAME_BYTES
        audio = bytes(self._rest[:whole])
        del self._rest[:whole]
        for at in range(0, whole, _FRAME_BYTES):
            frame = audio[at : at + _FRAME_BYTES]
            voiced = self._is_voice(frame)
            self._now_ms += _FRAME_MS
            if self._turn is None:
                yield from self._wait_for_turn(frame, voiced)
            else:
                yield from self._go_on(self._turn, frame, voiced)

    def _wait_for_turn(self, frame: bytes, voiced: bool) -> Iterator[Heard]:
        self._recent.append((frame, voiced))
        window = [voice for _, voice in self._recent][-_ONSET_FRAMES:]
        if sum(window) >= _ONSET_VOICED:
            self._open_turn(onset_frames=len(window) - window.index(True))
        elif self._now_ms - self._silent_since_ms >= SILENCE_EVERY_MS:
            yield Silence(self._silent_since_ms, self._now_ms)
            self._silent_since_ms = self._now_ms

    def _open_turn(self, onset_frames: int) -> None:
        self._turn = _Turn(
            began_ms=self._now_ms - len(self._recent) * _FRAME_MS,
            onset_ms=self._now_ms - onset_frames * _FRAME_MS,
        )
        pre_roll = b"".join(frame for frame, _ in self._recent)
        self._recent.clear()
        if self._unseeded is None:
            self._model.start_utt()
        self._decode(self._turn, pre_roll)

    def _go_on(self, turn: _Turn, frame: bytes, voiced: bool) -> Iterator[Heard]:
        self._decode(turn, frame)
        turn.frames += 1
        turn.silence_ms = 0 if voiced else turn.silence_ms + _FRAME_MS
        self._reread(turn)
        least = max(self._settings.min_silence_ms, _LEAST_SILENCE_MS)
        longest = max(self._settings.max_silence_ms, least)
        held = turn.silence_ms >= least
        if (
            turn.silence_ms >= longest
            or (held and turn.sounds_finished())
            or self._now_ms - turn.began_ms >= self._settings.longest_ms
        ):
            yield from self._end_turn(turn)
            return
        pause = held and not turn.held
        turn.held = held
        due = turn.frames % _TELL_FRAMES == 0 or not turn.told
        if turn.text and (pause or (due and (held or turn.text != turn.told))):
            if not turn.told:
                yield SpeechStarted(turn.onset_ms)
            turn.told = turn.text
            confidence = round(turn.silence_ms / longest, 3)
            words = self._words(turn)
            yield Hypothesis(words, self._now_ms, False, confidence, pause)

    def _end_turn(self, turn: _Turn) -> Iterator[Heard]:
        if self._unseeded is not None:
            self._seed(turn, bytes(self._unseeded))
        self._model.end_utt()
        self._turn = None
        words = self._words(turn, final=True)
        if words and not turn.told:
            yield SpeechStarted(turn.onset_ms)
        if words or turn.told:
            yield Hypothesis(words, self._now_ms, True, 1.0)
            self._silent_since_ms = self._now_ms

    def _decode(self, turn: _Turn, audio: bytes) -> None:
        if self._unseeded is None:
            self._model.process_raw(audio)
            return
        self._unseeded += audio
        if len(self._unseeded) >= turn.lead_bytes + _SEED_BYTES:
            self._seed(turn, bytes(self._unseeded))

    def _seed(self, turn: _Turn, audio: bytes) -> None:
        """Open the session's first utterance with the cepstral mean of its start.

        The model's own first guess costs short utterances dearly. Later turns go on
        with what the model has learnt of the voice. A whole-utterance pass works only
        before the first live one: after it the model no longer normalises.
        """
        self._unseeded = None
        self._model.start_utt()
        speech = audio[turn.lead_bytes :]
        self._model.process_raw(speech, no_search=True, full_utt=True)
        self._model.end_utt()
        self._model.set_cmn(self._model.get_cmn())
        self._model.start_utt()
        self._model.process_raw(audio)

    def _reread(self, turn: _Turn) -> None:
        if self._unseeded is not None:
            return
        best = self._model.hyp()
        text = best.hypstr if best else ""
        turn.stable_ms = turn.stable_ms + _FRAME_MS if text == turn.text else 0
        turn.text = text

    def _words(self, turn: _Turn, final: bool = False) -> tuple[HeardWord, ...]:
        """The model's words on the session's clock, without fillers and `read(2)`."""
        words = []
        for segment in self._model.seg() or ():
            if segment.word[0] in "<[+":
                continue
            end_ms = turn.began_ms + (segment.end_frame + 1) * 10
            if final:
                confidence = round(min(max(segment.prob, 0.0), 1.0), 3)
            else:
                settled = self._now_ms - end_ms >= _SETTLED_MS
                confidence = 0.95 if settled else 0.5
            words.append(
                HeardWord(
                    text=segment.word.partition("(")[0],
                    start_ms=turn.began_ms + segment.start_frame * 10,
                    end_ms=min(end_ms, self._now_ms),
                    confidence=confidence,
                )
            )
        return tuple(words)


@dataclass
class _Turn:
    began_ms: int
    """Where its audio begins; the model counts from here."""
    onset_ms: int
    """Where the voice set in."""
    frames: int = 0
    silence_ms: int = 0
    text: str = ""
    stable_ms: int = 0
    told: str = ""
    held: bool = False
    """Silence is past the least that may end it."""

    @property
    def lead_bytes(self) -> int:
        """What comes before the voice."""
        return (self.onset_ms - self.began_ms) * _BYTES_PER_MS

    def sounds_finished(self) -> bool:
        last = self.text.rpartition(" ")[2]
        return self.stable_ms >= _STABLE_MS and last not in _UNFINISHED


class _Resampler:
    """PCM16 of any rate to `MODEL_RATE`, the same however the audio is cut.

    That holds for soxr in float32 only: its int16 mode dithers.
    """

    def __init__(self, rate: int) -> None:
        self._stream = soxr.ResampleStream(rate, MODEL_RATE, 1, dtype="float32")
        self._half = b""

    def feed(self, pcm: bytes, last: bool = False) -> bytes:
        pcm = self._half + pcm
        whole = len(pcm) & ~1
        self._half = pcm[whole:]
        samples = np.frombuffer(pcm[:whole], np.int16).astype(np.float32)
        out = self._stream.resample_chunk(samples, last).round().clip(-32768, 32767)
        resampled: bytes = out.astype(np.int16).tobytes()
        return resampled

    def drain(self) -> bytes:
        return self.feed(b"", last=True)
