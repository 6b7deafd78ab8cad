"""Whether a server does what the protocol says: questions, and the answers expected.

Each question is asked on connections of its own, with nothing of the client's between.
What is expected comes from captures of the service and from AssemblyAI's documentation,
never from the embedded server, which is asked the same.
"""

from __future__ import annotations

from .access import access
from .audio import audio
from .crowd import crowd
from .questions import Answer, Question, ask_all
from .sessions import sessions
from .turns import turns

__all__ = ["CONNECTIONS", "Answer", "Question", "ask_all", "crowd", "every_question"]

every_question: list[Question] = [*access, *sessions, *audio, *turns]
"""All that is asked of any server."""

CONNECTIONS = 51
"""How many all of them take: some share a conversation."""
