"""The plugin's logger."""

import logging

logger = logging.getLogger("aai_stream.livekit")
