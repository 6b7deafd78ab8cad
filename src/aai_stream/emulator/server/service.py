"""How the service behaves: what captures of it showed, and what its documentation says.

Where the two differ, captures win: `Service()` is the service as it was seen in June to
September 2026, `DOCUMENTED` the one that AssemblyAI's pages describe.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...models import DEFAULT_MODEL


@dataclass(frozen=True, kw_only=True)
class Service:
    """An account at AssemblyAI, and the server's manners. All times in seconds."""

    default_model: str = DEFAULT_MODEL
    """The model of a session that asks for none. It differs by account."""
    denied_models: frozenset[str] = frozenset()
    """Models that the account may not use: their sessions begin, and are cancelled
    (3005) `denied_seconds` later."""
    denied_seconds: float = 5.0
    max_sessions: int | None = None
    """At once; None for as many as the engine carries."""
    place_seconds: float = 1.0
    """A session that was terminated takes up its place for so much longer."""
    lost_place_seconds: float = 5.0
    """Likewise a session whose connection broke."""
    busy_code: int = 1008
    """How a session too many is closed."""
    max_session_seconds: float = 10_800
    begin_seconds: float = 0.0
    """From the upgrade to Begin, on average: it varies by half."""
    termination_seconds: float = 0.0
    """From the last turn to Termination, on average."""
    revision_seconds: float = 0.066
    """From Terminate to the SpeakerRevision, or less if Termination comes before."""
    error_seconds: float = 0.013
    """From the upgrade to the Error that refuses a session."""
    refusal_seconds: float = 0.18
    """From the upgrade to the close that follows it."""
    refuses_in_band: bool = True
    """A bad key is told on the accepted websocket; otherwise by HTTP 401."""
    reusable_tokens: bool = True
    """A token opens any number of sessions until it expires; otherwise one."""
    short_audio_ms: float = 1000
    """How much audio may come in messages under 50 ms before they are too many."""
    longest_turn_ms: float = 60_000
    """A turn that gets so long ends there, in mid-sentence."""
    longest_labelled_turn_ms: float = 10_000
    """Likewise with `speaker_labels`."""
    steady_partials: bool = False
    """Words of a turn that is still open only ever grow in number, and stay."""


DOCUMENTED = Service(
    place_seconds=0,
    lost_place_seconds=0,
    busy_code=3009,
    refuses_in_band=False,
    reusable_tokens=False,
    short_audio_ms=0,
    steady_partials=True,
)
"""What the documentation says, where the service was seen to do otherwise."""
