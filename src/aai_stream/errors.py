"""Every error of aai-stream's own. What may be tried again is said by type.

`InputError` is the caller's own mistake, `StateError` a call at the wrong time; both
leave everything as it was. `SessionError` is what became of a connection: those below
`TransientError` may be tried again, all others may not. No message holds a key, a
token, a URL's query or a transcript.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .messages import AudioLost, Turn


class AaiStreamError(Exception):
    """Root of the tree."""


class InputError(AaiStreamError, ValueError):
    """A bad argument; nothing was changed by the call."""


class AudioError(InputError):
    """Audio of a shape, rate or position that can't be taken."""


class OptionError(InputError):
    """A parameter that doesn't exist, is out of its range or can't be changed live."""


class MessageError(AaiStreamError, ValueError):
    """A server message that can't be read; the session counts it and lives on."""


class StateError(AaiStreamError, RuntimeError):
    """A call that comes too early, too late, from another thread, or from a fork."""


class MissingExtraError(AaiStreamError, ImportError):
    """A package is needed that isn't installed; the message says which command does."""


class EngineError(AaiStreamError, RuntimeError):
    """The embedded recogniser can't be had or has failed."""


class SessionError(AaiStreamError):
    """A connection failed or ended. Not to be tried again unless `TransientError`.

    `code` is the websocket's close code, or the HTTP status of a refused handshake;
    None when neither was received. `retryable` is a constant of the class, except of
    `LostAudioError`.
    """

    retryable = False

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class RefusedError(SessionError):
    """The key, the token or the account was refused, or a model to that account."""


class TokenExpiredError(RefusedError):
    """The token is too old to open a session. With a source of tokens, the one that
    was asked for instead is too."""


class UntrustedError(SessionError):
    """The server's certificate is not one that this machine trusts."""


class RejectedError(SessionError):
    """The server called a parameter, a message or a chunk of ours wrong."""


class EndedError(SessionError):
    """The server ended the session on purpose, for example after inactivity."""


class TransientError(SessionError):
    """The next attempt may succeed.

    `retry_after` is how many seconds the server asked us to wait, None when it did
    not say.
    """

    retryable = True

    def __init__(
        self, message: str, *, code: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class UnreachableError(TransientError):
    """No connection: name not resolved, TCP refused, handshake broken."""


class TimedOutError(TransientError):
    """No answer within the time allowed."""


class UnfinishedError(TimedOutError):
    """A session that was asked to end said nothing more, and did not end."""


class DroppedError(TransientError):
    """The connection broke, or the server failed while it was open."""


class ExpiredError(TransientError):
    """The session reached its longest duration (3008)."""


class TooFastError(TransientError):
    """Audio came faster, or in other chunks, than the server allows (3007)."""


class BusyError(TransientError):
    """Too many sessions, or too many new ones a minute; wait tens of seconds."""


class LostAudioError(TransientError):
    """A recording was not transcribed as a whole.

    `lost` are the parts that no final turn covers, `turns` all that were final. If that
    is because the stream failed, `__cause__` is the `SessionError` that ended it,
    which gives `code` and `retryable`.
    """

    def __init__(
        self,
        lost: Sequence[AudioLost],
        turns: Sequence[Turn] = (),
        *,
        failure: SessionError | None = None,
    ) -> None:
        gaps: list[tuple[int, int]] = []
        for part in lost:
            follows = gaps and gaps[-1][1] == part.start_ms
            gaps.append((gaps.pop()[0] if follows else part.start_ms, part.end_ms))
        parts = [f"{start / 1000:.2f} to {end / 1000:.2f} s" for start, end in gaps]
        more = f" and {len(parts) - 3} more" if len(parts) > 3 else ""
        why = failure or lost[-1].why
        super().__init__(
            f"not transcribed: {', '.join(parts[:3])}{more} ({why})",
            code=failure.code if failure else None,
        )
        self.__cause__ = failure
        self.retryable = failure is None or failure.retryable
        self.lost = list(lost)
        self.turns = list(turns)
