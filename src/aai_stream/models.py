"""v3's speech models by family, as far as parameters depend on them.

Models are open strings: AssemblyAI adds some every month, and what it doesn't know it
says itself.
"""

DEFAULT_MODEL = "universal-3-6-pro"
"""What the server uses when `speech_model` isn't given."""

UNIVERSAL_3 = frozenset(
    {
        "u3-rt-pro",
        "u3-rt-pro-beta-1",
        "u3-pro",
        "universal-3-5-pro",
        "universal-3-6",
        "universal-3-6-pro",
    }
)
MULTILINGUAL = frozenset({"universal-streaming-multilingual"})
UNIVERSAL_STREAMING = MULTILINGUAL | {"universal-streaming-english"}
KNOWN_MODELS = UNIVERSAL_3 | UNIVERSAL_STREAMING
