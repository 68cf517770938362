"""What the server answers, read strictly: a body that is not as promised is no answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, cast, get_args

from clearance.canonical import JsonObject, digest_of, same_digest
from clearance.errors import Untrusted

__all__ = ["Answer", "Decision", "Edit", "Execution", "Reason", "Retry", "State", "Stopped"]

Answer = Literal["allow", "needs_approval", "deny"]
State = Literal[
    "ready", "pending", "approved", "denied", "rejected", "expired", "withdrawn", "consumed", "revoked"
]
Retry = Literal["never", "after_change", "later"]
# A state that permits belongs to one answer only.
_PERMITS: Mapping[State, Answer] = {"ready": "allow", "approved": "needs_approval"}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the policy answered so: a code of the API and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Edit:
    """One argument that an approver changed."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Decision:
    """The server's answer to one proposed action, as it stood when it was asked last."""

    id: str | None  # None: a dry run
    action: str
    args: JsonObject = field(repr=False)  # as proposed; what runs comes from `execute`
    decision: Answer
    state: State
    reasons: tuple[Reason, ...]
    policy: int | None
    digest: str
    revision: int
    request_id: str | None
    expires_at: datetime | None
    retry: Retry | None
    message: str | None
    edited: tuple[Edit, ...]
    see: str | None
    dry_run: bool = False
    draft: str | None = None  # the draft that a person proposed as their own request: this is it
    proposed: str | None = None  # the decision that a person made of this draft
    ends: float | None = field(default=None, repr=False, compare=False)  # of time.monotonic()

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(reason.code for reason in self.reasons)

    @property
    def pending(self) -> bool:
        return self.state == "pending"

    @property
    def may_run(self) -> bool:
        """Whether `execute` would ask for it."""
        return self.state in ("ready", "approved") and not self.dry_run


@dataclass(frozen=True, slots=True)
class Execution:
    """One permitted run. Run exactly `args`; hand `receipt` to the gateway that holds the credential."""

    id: str
    action: str
    args: JsonObject = field(repr=False)
    digest: str
    receipt: str = field(repr=False)
    deadline: datetime | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """Tools are off since then; these had been handed out before."""

    killed_at: datetime
    in_flight: tuple[JsonObject | str, ...]


def read_decision(
    body: JsonObject, *, action: str, args: JsonObject, dry_run: bool, date: str | None
) -> Decision:
    """Raises Untrusted for a body of another shape, or whose unedited digest is not that of (action, args)."""
    answer, state = body.get("decision"), body.get("state")
    if answer not in get_args(Answer) or state not in get_args(State):
        raise Untrusted(f"the answer is no decision: {answer!r}, {state!r}")
    if _PERMITS.get(cast(State, state), answer) != answer or (answer == "deny" and state == "pending"):
        raise Untrusted(f"the answer contradicts itself: {answer} and {state}")
    retry = body.get("retry")
    if retry is not None and retry not in get_args(Retry):
        raise Untrusted(f"unknown retry {retry!r}")
    revision = body.get("revision", 1)
    if not isinstance(revision, int) or isinstance(revision, bool) or revision < 1:
        raise Untrusted("the revision is no number from 1 on")
    edited = _edits(body.get("edited"))
    digest = body.get("digest")
    own = digest_of(action, args)
    if revision == 1 and not edited and not same_digest(digest, own):
        raise Untrusted("the server speaks of other arguments: its digest is not the one computed here")
    if not isinstance(digest, str) or not same_digest(digest, digest):
        raise Untrusted("the answer has no digest")
    identity = _text_or_none(body, "id")
    if not identity and not dry_run:
        raise Untrusted("the decision has no ID")
    expires_at = _time_or_none(body, "expires_at")
    if state == "pending" and expires_at is None and not dry_run:
        raise Untrusted("a pending decision says not when it expires")
    policy = body.get("policy")
    return Decision(
        id=identity,
        action=action,
        args=args,
        decision=cast(Answer, answer),
        state=cast(State, state),
        reasons=_reasons(body.get("reasons")),
        policy=policy if isinstance(policy, int) and not isinstance(policy, bool) else None,
        digest=digest,
        revision=revision,
        request_id=_text_or_none(body, "request_id"),
        expires_at=expires_at,
        retry=cast("Retry | None", retry),
        message=_text_or_none(body, "message"),
        edited=edited,
        see=_text_or_none(body, "see"),
        dry_run=dry_run,
        draft=_text_or_none(body, "draft"),
        proposed=_text_or_none(body, "proposed"),
        ends=None if expires_at is None else time.monotonic() + _left(expires_at, date),
    )


def read_execution(body: JsonObject, decision: Decision) -> Execution:
    """Raises Untrusted where the arguments are not those that the decision was about."""
    action, args = body.get("action"), body.get("args")
    identity, receipt = body.get("execution"), body.get("receipt")
    if not isinstance(identity, str) or not identity or not isinstance(receipt, str):
        raise Untrusted("the answer is no execution")
    if action != decision.action or not isinstance(args, dict):
        raise Untrusted("the server speaks of another action")
    own = digest_of(decision.action, args)
    if not same_digest(body.get("digest"), own) or own != decision.digest:
        raise Untrusted("the arguments handed out are not those that were decided on")
    return Execution(
        id=identity,
        action=decision.action,
        args=args,
        digest=own,
        receipt=receipt,
        deadline=_time_or_none(body, "deadline"),
    )


def read_stopped(body: JsonObject) -> Stopped:
    """Raises Untrusted."""
    at, in_flight = _time_or_none(body, "killed_at"), body.get("in_flight")
    if at is None or not isinstance(in_flight, list):
        raise Untrusted("the answer does not say since when the tools are off")
    return Stopped(at, tuple(in_flight))


def _left(expires_at: datetime, date: str | None) -> float:
    """Seconds until then by the server's clock: one's own may be wrong."""
    try:
        now = parsedate_to_datetime(date or "")
        return (expires_at - now).total_seconds()
    except (TypeError, ValueError):
        return expires_at.timestamp() - time.time()


def _reasons(value: object) -> tuple[Reason, ...]:
    if not isinstance(value, list):
        raise Untrusted("the reasons are no list")
    found = []
    for item in value:
        if not isinstance(item, dict) or not isinstance(item.get("code"), str):
            raise Untrusted("a reason has no code")
        found.append(Reason(item["code"], str(item.get("detail") or "")))
    return tuple(found)


def _edits(value: object) -> tuple[Edit, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Untrusted("the edits are no list of changes")
    return tuple(Edit(str(item.get("path")), item.get("from"), item.get("to")) for item in value)


def _text_or_none(body: JsonObject, name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Untrusted(f"{name} is no text")
    return value


def _time_or_none(body: JsonObject, name: str) -> datetime | None:
    value = body.get(name)
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise Untrusted(f"{name} is no time") from error
    if found.tzinfo is None:
        raise Untrusted(f"{name} has no time zone")
    return found
