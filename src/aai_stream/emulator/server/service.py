"""How the service behaves, as captures show it and as its documentation says.

Where the two differ, `Service()` is what captures of June to September 2026 show, and
`DOCUMENTED` what AssemblyAI's pages describe.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...models import DEFAULT_MODEL


@dataclass(frozen=True, kw_only=True)
class Service:
    """An account at AssemblyAI, and how the server treats it. Times are in seconds."""

    default_model: str = DEFAULT_MODEL
    """The model of a session that asks for none. It depends on the account."""
    denied_models: frozenset[str] = frozenset()
    """Models that the account may not use. Their sessions begin, and are cancelled
    (3005) after `denied_seconds`."""
    denied_seconds: float = 5.0
    max_sessions: int | None = None
    """How many sessions at once; None for as many as the engine carries."""
    place_seconds: float = 1.0
    """How much longer a session that was terminated keeps its place."""
    lost_place_seconds: float = 5.0
    """How much longer a session whose connection broke keeps its place."""
    busy_code: int = 1008
    """The code with which a session too many is closed."""
    max_session_seconds: float = 10_800
    begin_seconds: float = 0.0
    """From the upgrade to Begin, on average; it varies by half."""
    termination_seconds: float = 0.0
    """From the last turn to Termination, on average."""
    revision_seconds: float = 0.066
    """From Terminate to the SpeakerRevision; it always comes before Termination."""
    error_seconds: float = 0.013
    """From the upgrade to the Error that refuses a session."""
    refusal_seconds: float = 0.18
    """From the upgrade to the close that follows it."""
    refuses_in_band: bool = True
    """A bad key is refused on the accepted websocket; otherwise by HTTP 401."""
    reusable_tokens: bool = True
    """A token opens any number of sessions until it expires; otherwise one."""
    short_audio_ms: float = 1000
    """How much audio may come in messages under 50 ms before the session is closed."""
    longest_turn_ms: float = 60_000
    """A turn that reaches this length ends there, in mid-sentence."""
    longest_labelled_turn_ms: float = 10_000
    """Likewise with `speaker_labels`."""
    steady_partials: bool = False
    """The words of an open turn only grow in number, and never change."""


DOCUMENTED = Service(
    place_seconds=0,
    lost_place_seconds=0,
    busy_code=3009,
    refuses_in_band=False,
    reusable_tokens=False,
    short_audio_ms=0,
    steady_partials=True,
)
"""As documented, where captures show something else."""
