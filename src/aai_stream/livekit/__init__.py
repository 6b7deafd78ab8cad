"""AssemblyAI's streaming speech-to-text as a plugin for LiveKit Agents.

    from aai_stream.livekit import STT
    session = AgentSession(stt=STT())

A drop-in for `livekit.plugins.assemblyai.STT`; docs/livekit.md says what differs.

Importing this registers the plugin and starts nothing. LiveKit's fork server imports
the packages of registered plugins, so all that a job needs is loaded here, once for all
of them: the compiled core, the websocket client, and whom this machine trusts.
"""

from ..errors import MissingExtraError

try:
    from livekit.agents import Plugin
except ImportError:
    raise MissingExtraError(
        "the LiveKit plugin needs livekit-agents: pip install livekit-agents"
    ) from None

from ..connection.connector import preload
from ..telemetry import counting, spans  # noqa: F401, or else each job loads them
from ..version import __version__
from .log import logger
from .stream import ServerMessage, SpeechStream
from .stt import STT

__all__ = ["STT", "ServerMessage", "SpeechStream"]


class _AaiStreamPlugin(Plugin):
    def __init__(self) -> None:
        super().__init__(__name__, __version__, __name__, logger)


Plugin.register_plugin(_AaiStreamPlugin())
preload()
