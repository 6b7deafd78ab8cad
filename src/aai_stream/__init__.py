"""AssemblyAI's streaming speech-to-text for voice agents in numbers.

    async with aai_stream.connect(speech_model="universal-3-6-pro") as stream:
        stream.push(pcm, sample_rate=24000)
        async for event in stream:
            ...

`connect` gives a `Stream`; `transcribe` does a whole file; `messages` holds what the
server says and `errors` what can go wrong. `PARAMETERS` lists v3's parameters.
"""

from . import errors, messages
from ._core import AudioRing, Chunk
from .client import connect
from .connection.credentials import mint_token
from .errors import AaiStreamError
from .files import transcribe
from .parameters import PARAMETERS
from .stats import StreamStats
from .stream import Stream
from .version import __version__

__all__ = [
    "PARAMETERS",
    "AaiStreamError",
    "AudioRing",
    "Chunk",
    "Stream",
    "StreamStats",
    "__version__",
    "connect",
    "errors",
    "messages",
    "mint_token",
    "transcribe",
]
