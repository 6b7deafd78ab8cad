"""Sessions that the server cancels soon after they began, one after the other."""

from __future__ import annotations

from .errors import RefusedError, SessionError

CODE = 3005

SOON_SECONDS = 15.0
"""A session that lasts longer is cancelled for another reason; 5 s have been seen."""

MOST_IN_A_ROW = 3


class Cancellations:
    """Tells a server that fails from one that will have none of a session's model.

    An account that may not use a model gets a Begin all the same, and 3005 some seconds
    later: to try again would go on for ever. 3005 is also what any failure of the
    server's looks like, so it takes `MOST_IN_A_ROW` that told no turn.
    """

    def __init__(self) -> None:
        self._in_a_row = 0

    def judge(
        self, failure: SessionError | None, *, model: str, seconds: float, told: bool
    ) -> SessionError | None:
        """What a session ended with, given that it did so with `failure`.

        It lasted `seconds` from its Begin, and has `told` a turn or not. That is
        `failure` itself, or a `RefusedError` that names the `model`.
        """
        if failure is None or failure.code != CODE or told or seconds > SOON_SECONDS:
            self._in_a_row = 0
            return failure
        self._in_a_row += 1
        if self._in_a_row < MOST_IN_A_ROW:
            return failure
        return RefusedError(
            f"no session with the model {model} lasts: the server has cancelled "
            f"{self._in_a_row} in a row soon after Begin, as it does where the account "
            f"may not use that model; the last: {failure}",
            code=CODE,
        )
