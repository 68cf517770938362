"""The protocol without a socket: each call is a generator that yields what to send or how long to pause.

The sync and the async client are two small drivers of the same flows, so that they cannot differ.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeVar
from urllib.parse import quote

import httpx

from clearance.answers import (
    Decision,
    Execution,
    Stopped,
    read_decision,
    read_execution,
    read_stopped,
)
from clearance.canonical import JsonObject, canonical, parse_object
from clearance.errors import (
    AlreadyRun,
    BadRequest,
    ClearanceError,
    Conflict,
    Denied,
    Expired,
    Killed,
    NoAccess,
    NotCanonical,
    Refused,
    Rejected,
    Revoked,
    StillPending,
    Unavailable,
    Untrusted,
    Withdrawn,
)

__all__ = ["LONGEST_POLL", "Flow", "Outcome", "Pause", "Reply", "Send", "Step"]

LONGEST_POLL = 55.0
_PROMPT = 10.0  # seconds that an answer may take beyond what was asked to wait
_TRIES = 5
_LONGEST_PAUSE = 5.0
_LONGEST_RETRY_AFTER = 30.0
_BUSY = frozenset({429, 500, 502, 503, 504})
# The request never reached a server: sending it again is sending it once.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_chance = random.SystemRandom()

Outcome = Literal["succeeded", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Send:
    """One HTTP request; `timeout` in seconds."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = _PROMPT


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


Step = Send | Pause
Reply = httpx.Response | httpx.TransportError | None
T = TypeVar("T")
Flow = Generator[Step, Reply, T]


def decide(
    action: str,
    args: JsonObject,
    *,
    idempotency_key: str,
    trace_id: str | None,
    span_id: str | None,
    parent: str | None,
    claim: str | None,
    context: JsonObject | None,
    dry_run: bool,
) -> Flow[Decision]:
    """Ask. Safe to send again: the key makes it one proposal.

    The span that asks goes into a header (`parent`, W3C Trace Context): a step that is run again is another span, and
    the same key must come with the same body.
    """
    said = {"trace_id": trace_id, "span_id": span_id, "claim": claim, "context": context}
    body = {
        "action": action,
        "args": args,
        **{name: value for name, value in said.items() if value is not None},
        **({"dry_run": True} if dry_run else {}),
    }
    headers = {"Idempotency-Key": idempotency_key, **({"traceparent": parent} if parent else {})}
    send = Send("POST", "/api/v1/decisions", canonical(body), headers)
    reply = yield from _answer(send)
    if reply.status_code in (200, 202) or (reply.status_code == 403 and not _is_problem(reply)):
        decision = read_decision(
            _object(reply), action=action, args=args, dry_run=dry_run, date=reply.headers.get("Date")
        )
        expected = {"allow": 200, "needs_approval": 202, "deny": 403}[decision.decision]
        # The same key again gives the decision as it stands now, whatever it was at first.
        if (reply.status_code == 403 or decision.decision == "deny") and reply.status_code != expected:
            raise Untrusted(f"the answer says {decision.decision} with status {reply.status_code}")
        return decision
    _raise(reply)


def wait(decision: Decision, timeout: float | None) -> Flow[Decision]:
    """Look until it is no longer pending, the timeout is over or the request has expired.

    A server that restarts in between is waited for. Raises Unavailable where the last look got no answer.
    """
    if not decision.pending:
        return decision
    began = time.monotonic()
    ends = decision.ends if decision.ends is not None else began
    if timeout is not None:
        ends = min(ends, began + timeout)
    failures = 0
    while True:
        left = max(0.0, ends - time.monotonic())
        poll = int(min(LONGEST_POLL, left))
        send = Send("GET", _path(decision, f"?wait={poll}"), timeout=poll + _PROMPT)
        reply = yield send
        left = max(0.0, ends - time.monotonic())
        if isinstance(reply, httpx.Response) and reply.status_code not in _BUSY:
            if reply.status_code != 200:
                _raise(reply, decision)
            failures = 0
            decision = _again(decision, reply)
            if not decision.pending or left == 0.0:
                return decision
            if poll == 0:
                yield Pause(min(left, 0.5))
        elif left == 0.0:
            raise Unavailable(f"the decision could not be read: {_said(reply)}", decision=decision)
        else:
            yield Pause(min(left, _pause(failures, reply)))
            failures += 1


def execute(decision: Decision) -> Flow[Execution]:
    """Use the permission. An answer that was lost on its way is not asked for again: it may have been used."""
    check_state(decision)
    send = Send(
        "POST", _path(decision, "/execute"), canonical({"digest": decision.digest}), timeout=_PROMPT * 2
    )
    for _ in range(_TRIES):
        reply = yield from _answer(send, idempotent=False, decision=decision)
        if reply.status_code == 200:
            return read_execution(_object(reply), decision)
        # Approved a moment ago: for some seconds the approver can still take it back.
        soon = _retry_after(reply)
        if reply.status_code not in (409, 425) or soon is None or soon > _LONGEST_RETRY_AFTER:
            break
        yield Pause(soon)
    _raise(reply, decision)


def report(execution: Execution, status: Outcome, result: object) -> Flow[None]:
    """Say how it ended; the same again is no second report."""
    body: JsonObject = {"status": status}
    if result is not None:
        body["result"] = result
    path = f"/api/v1/executions/{quote(execution.id, safe='')}/outcome"
    reply = yield from _answer(Send("POST", path, canonical(body)))
    if reply.status_code != 200:
        _raise(reply)


def proposed(decision: Decision) -> Flow[Decision | None]:
    """What a person proposed of a draft. Raises Untrusted where the two do not name each other."""
    reply = yield from _answer(Send("GET", _path(decision, "")), decision=decision)
    if reply.status_code != 200:
        _raise(reply, decision)
    draft = _again(decision, reply)
    if draft.proposed is None:
        return None
    path = f"/api/v1/decisions/{quote(draft.proposed, safe='')}"
    reply = yield from _answer(Send("GET", path), decision=draft)
    if reply.status_code != 200:
        _raise(reply, draft)
    found = read_decision(
        _object(reply),
        action=draft.action,
        args=draft.args,
        dry_run=False,
        date=reply.headers.get("Date"),
    )
    if found.id != draft.proposed or found.draft != draft.id:
        raise Untrusted("the server answered about another draft", decision=draft)
    return found


def withdraw(decision: Decision) -> Flow[Decision]:
    """Take the request back."""
    reply = yield from _answer(Send("POST", _path(decision, "/withdraw"), b"{}"), decision=decision)
    if reply.status_code != 200:
        _raise(reply, decision)
    return _again(decision, reply)


def kill(feature: str, reason: str, action: str | None) -> Flow[Stopped]:
    """Switch tools off. Killing twice is killing once."""
    body = {"reason": reason, **({"action": action} if action is not None else {})}
    path = f"/api/v1/features/{quote(feature, safe='')}/kill"
    reply = yield from _answer(Send("POST", path, canonical(body), timeout=30.0))
    if reply.status_code != 200:
        _raise(reply)
    return read_stopped(_object(reply))


def check_state(decision: Decision) -> None:
    """Raise what the decision's state means, where it permits nothing."""
    if decision.dry_run:
        raise Refused("a dry run permits nothing", decision=decision)
    if not decision.may_run:
        kind = _STATES[decision.state]
        if kind is Denied and "killed" in decision.codes:
            kind = Killed
        why = ", ".join(sorted(decision.codes)) or decision.state
        raise kind(
            f"{decision.action}: {decision.state} ({why})",
            message=_words(decision, kind),
            code=next(iter(reason.code for reason in decision.reasons), None),
            decision=decision,
            retry=decision.retry,
        )


_STATES: Mapping[str, type[Refused]] = {
    "pending": StillPending,
    "denied": Denied,
    "rejected": Rejected,
    "expired": Expired,
    "withdrawn": Withdrawn,
    "consumed": AlreadyRun,
    "revoked": Revoked,
}
_NEXT = {
    "never": "Do not propose it again.",
    "after_change": "It may be proposed again with other arguments.",
    "later": "It may be tried again later.",
}


def _words(decision: Decision, kind: type[Refused]) -> str:
    """For the model: what the server says (an approver's words are in it), else the class's sentence; then whether to
    try again.
    """
    codes = ", ".join(sorted(decision.codes)) if kind is Denied else ""
    own = f"{kind.words} Why: {codes}." if codes else kind.words
    return " ".join(part for part in (decision.message or own, _NEXT.get(decision.retry or "")) if part)


def _answer(send: Send, *, idempotent: bool = True, decision: Decision | None = None) -> Flow[httpx.Response]:
    """The first answer that is one, with bounded repetition of what may be repeated. Raises Unavailable."""
    for attempt in range(_TRIES):
        reply = yield send
        if isinstance(reply, httpx.Response) and reply.status_code not in _BUSY:
            return reply
        again = idempotent or isinstance(reply, _UNSENT) or _did_nothing(reply)
        pause = _pause(attempt, reply)
        if not again or attempt == _TRIES - 1 or pause > _LONGEST_RETRY_AFTER:
            break
        yield Pause(pause)
    unsure = "" if again else "; it may have been started, and its outcome is for a person to settle"
    raise Unavailable(
        f"{send.method} {send.path}: {_said(reply)}{unsure}", code="unavailable", decision=decision
    )


def _did_nothing(reply: Reply) -> bool:
    """Whether the server itself says that it refused before it did anything."""
    return (
        isinstance(reply, httpx.Response)
        and reply.status_code in (429, 503)
        and _problem(reply).get("code") in ("unavailable", "rate_limited", "too_many_requests", "busy")
    )


def _pause(attempt: int, reply: Reply) -> float:
    """Seconds: what Retry-After says, else doubling from 0.2 with jitter."""
    said = _retry_after(reply)
    return (
        min(_LONGEST_PAUSE, 0.2 * 2.0 ** min(attempt, 10)) * _chance.uniform(0.75, 1.25)
        if said is None
        else said
    )


def _retry_after(reply: Reply) -> float | None:
    said = reply.headers.get("Retry-After", "") if isinstance(reply, httpx.Response) else ""
    return float(said) if said.isascii() and said.isdigit() else None


def _path(decision: Decision, rest: str) -> str:
    if decision.id is None:
        raise Refused("a dry run permits nothing", decision=decision)
    return f"/api/v1/decisions/{quote(decision.id, safe='')}{rest}"


def _again(decision: Decision, reply: httpx.Response) -> Decision:
    found = read_decision(
        _object(reply),
        action=decision.action,
        args=decision.args,
        dry_run=False,
        date=reply.headers.get("Date"),
    )
    if found.id != decision.id or found.revision < decision.revision:
        raise Untrusted("the server answered about another decision")
    return found


def _object(reply: httpx.Response) -> JsonObject:
    try:
        return parse_object(reply.content)
    except (ValueError, RecursionError) as error:
        raise Untrusted(f"the answer cannot be read: {error}") from error


def _is_problem(reply: httpx.Response) -> bool:
    return bool(reply.headers.get("Content-Type", "").startswith("application/problem+json"))


def _problem(reply: httpx.Response) -> JsonObject:
    try:
        return parse_object(reply.content)
    except (ValueError, RecursionError):
        return {}


def _said(reply: Reply) -> str:
    if isinstance(reply, httpx.Response):
        found = _problem(reply)
        return f"{reply.status_code} {found.get('code') or ''} {found.get('detail') or ''}".strip()
    return f"no answer ({type(reply).__name__}: {reply})"


_CODES: Mapping[str, type[ClearanceError]] = {
    "already_consumed": AlreadyRun,
    "expired": Expired,
    "revoked": Revoked,
    "not_approved": StillPending,
    "killed": Killed,
    "digest_mismatch": Untrusted,
    "idempotency_conflict": Conflict,
    "not_canonical": NotCanonical,
}
_STATUSES: Mapping[int, type[ClearanceError]] = {
    400: BadRequest,
    401: NoAccess,
    403: NoAccess,
    404: NoAccess,
    409: Conflict,
    413: BadRequest,
    422: BadRequest,
    423: Killed,
}


def _raise(reply: httpx.Response, decision: Decision | None = None) -> NoReturn:
    found = _problem(reply)
    code = found.get("code")
    kind: type[ClearanceError] | None = None
    if reply.status_code in (409, 422, 423) and isinstance(code, str):
        kind = _CODES.get(code)
    kind = kind or _STATUSES.get(reply.status_code) or Untrusted
    errors: Any = found.get("errors")
    more = f" {errors}" if errors else ""
    raise kind(f"{_said(reply)}{more}", code=code if isinstance(code, str) else None, decision=decision)
