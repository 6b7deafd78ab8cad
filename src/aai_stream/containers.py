"""Files that are pushed as if they were bare PCM, told by how they begin."""

from __future__ import annotations

from .errors import AudioError

_MAGIC = {
    b"RIFF": "WAV (RIFF)",
    b"ID3": "MP3 (ID3)",
    b"OggS": "Ogg",
    b"\x1a\x45\xdf\xa3": "WebM or Matroska (EBML)",
    b"fLaC": "FLAC",
}
_MP4 = b"ftyp"  # behind four bytes of length


def refuse(head: bytes) -> None:
    """Raise `AudioError` if `head`, a stream's first eight bytes, begins a file.

    It would be heard as noise, without a word from anyone.
    """
    kinds = [kind for magic, kind in _MAGIC.items() if head.startswith(magic)]
    if head[4:8] == _MP4:
        kinds.append("MP4")
    if kinds:
        raise AudioError(
            f"the audio begins like a file: {kinds[0]}. A stream takes bare PCM, so "
            "decode it first; aai_stream.transcribe() and `aai-stream transcribe FILE` "
            "read files, and browsers can send PCM from an AudioWorklet"
        )
