"""v3's speech models by family, as far as parameters depend on them.

Models are open strings: AssemblyAI adds some every month, and what it doesn't know it
says itself.
"""

DEFAULT_MODEL = "universal-3-6-pro"
"""The server's own according to its documentation. It differs by account, so what a
session uses is known from its Begin."""

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


def is_universal_3(model: str) -> bool:
    """Whether `model` is of the Universal-3 family, as those to come will be."""
    return not model.startswith("universal-streaming")
