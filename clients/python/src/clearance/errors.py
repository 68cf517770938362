"""What a client raises. Every one of these means: the action did not run by this call.

`str(error)` is for the developer; `message` is written for the model and holds neither limits nor keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clearance.answers import Decision, Retry

__all__ = [
    "AlreadyRun",
    "BadRequest",
    "ClearanceError",
    "Conflict",
    "Denied",
    "Expired",
    "Killed",
    "MissingKey",
    "NoAccess",
    "NotCanonical",
    "ReceiptInvalid",
    "ReceiptReplayed",
    "Refused",
    "Rejected",
    "Revoked",
    "StillPending",
    "Unavailable",
    "Untrusted",
    "Withdrawn",
]


class ClearanceError(Exception):
    """The action did not run. `code` is the server's, where it gave one."""

    words = "The action was not run."

    def __init__(
        self,
        detail: str,
        *,
        message: str | None = None,
        code: str | None = None,
        decision: Decision | None = None,
        retry: Retry | None = None,
    ) -> None:
        super().__init__(detail)
        self.message = message or self.words
        self.code = code
        self.decision = decision
        self.retry = retry


class Refused(ClearanceError):
    """Policy, a person or time said no: the base of all answers that are no fault of the program."""


class Denied(Refused):
    """The policy denies it; `decision.reasons` say why."""

    words = "The policy does not allow this action. It was not run."


class Killed(Denied):
    """The tools are switched off."""

    words = "Tools are switched off by the people in charge. The action was not run."


class Rejected(Refused):
    """A person said no."""

    words = "A person rejected this action. It was not run. Do not propose the same again."


class Expired(Refused):
    """Nobody decided, or nobody executed, in time. This is no rejection."""

    words = "Nobody decided in time. The action was not run. This is not a rejection."


class StillPending(Refused):
    """People have not decided yet, and the time to wait is over."""

    words = "A person has to approve this action and has not decided yet. It was not run."


class Withdrawn(Refused):
    """The request was taken back."""

    words = "The request was withdrawn. The action was not run."


class Revoked(Refused):
    """The permission was taken away before it was used: a new policy, or the kill switch in between."""

    words = "The permission was taken away before it was used. The action was not run."


class AlreadyRun(Refused):
    """The permission was used before, by this or another process. It never runs a second time."""

    words = "This action was already started once and does not run again. Its outcome is known to the people in charge."


class Unavailable(ClearanceError):
    """No answer, or one that says "later". Nothing runs without one."""

    words = "It could not be checked whether the action is allowed. It was not run. Try again later."


class Untrusted(Unavailable):
    """An answer that cannot be right: not the promised shape, or another digest than one's own."""


class BadRequest(ClearanceError):
    """The request itself is wrong; the detail says what to mend."""


class NoAccess(ClearanceError):
    """The key is wrong, lacks the scope, or the object belongs to somebody else."""


class Conflict(ClearanceError):
    """The same idempotency key was used for something else, or an outcome differs from the reported one."""


class NotCanonical(ClearanceError, ValueError):
    """The arguments have no one spelling in JSON (RFC 8785): a big integer, NaN, a type that is not JSON."""


class MissingKey(ClearanceError, ValueError):
    """Nobody said which run and tool call this is, so that asking twice would be two actions."""


class ReceiptInvalid(ClearanceError):
    """The receipt does not permit this action with these arguments now."""


class ReceiptReplayed(ReceiptInvalid):
    """The receipt is right and was used before."""
