"""What a decision looks like to its agent (api.md 7): its state as it is now, whatever row has not been moved yet."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse

from approvals.judging import RETRY
from approvals.models import ApprovalRequest, Decision, Execution, Grant
from approvals.proposal import open_proposal
from approvals.services.deciding import Decided
from features.policy import number_of
from traces.queries import rfc3339

__all__ = ["body_of", "execution_body", "state_of"]

_STATUS = {"allow": 200, "needs_approval": 202, "deny": 403}


def state_of(
    decision: Decision, request: ApprovalRequest | None, grant: Grant | None, epoch: int, now: datetime
) -> str:
    """ready, pending, approved, denied, rejected, expired, withdrawn, consumed or revoked."""
    if decision.answer == "deny":
        return "denied"
    if request is not None and request.state != "approved":
        if request.state == "superseded":
            return "revoked"
        if request.state != "pending":
            return request.state
        if decision.epoch != epoch:
            return "revoked"
        return "expired" if now >= request.expires_at else "pending"
    if grant is None:
        return "revoked"
    if grant.state != "ready":
        return grant.state
    if grant.epoch != epoch:
        return "revoked"
    if now >= grant.expires_at:
        return "expired"
    return "ready" if request is None else "approved"


def _message(
    decision: Decision, request: ApprovalRequest | None, state: str, proposed: Decision | None
) -> str | None:
    """Words for the model. An expiry is never told as a rejection."""
    if proposed is not None:
        return (
            "This was not permitted, and kept as a draft. A person has proposed it as their own request, which is "
            f"the decision {proposed.pk}: what comes of it is there."
        )
    if state == "rejected" and request is not None:
        return f"A person rejected this: {request.reason}"
    return {
        "denied": "This was not permitted. " + " ".join(one["detail"] for one in decision.reasons),
        "pending": "A person has to decide. Nothing has run.",
        "approved": "A person approved this. Run exactly the arguments that execute returns."
        + (" The arguments were edited." if decision.edits else ""),
        "expired": "Nobody decided in time, or it was not collected in time. That is no rejection; nothing has run.",
        "withdrawn": "It was withdrawn. Nothing has run.",
        "revoked": "The policy or the tools changed since. Nothing has run by it.",
        "consumed": "It was handed out for running, once.",
    }.get(state)


def _retry(decision: Decision, state: str) -> str | None:
    if state == "denied":
        return RETRY.get(decision.reasons[0]["code"], "never")
    return {"rejected": "never", "expired": "later", "revoked": "later", "withdrawn": "after_change"}.get(
        state
    )


def body_of(decided: Decided, *, dry_run: bool = False) -> tuple[int, dict[str, Any]]:
    """(HTTP status of the POST, body)."""
    decision, request, grant = decided.decision, decided.request, decided.grant
    if dry_run:
        state = {"allow": "ready", "needs_approval": "pending", "deny": "denied"}[decision.answer]
    else:
        state = state_of(decision, request, grant, decided.facts.epoch, decided.facts.now)
    until = grant.expires_at if grant else request.expires_at if request else None
    proposal = open_proposal(decision) if decision.edits else None
    proposed = Decision.objects.filter(draft=decision).first() if decision.is_draft and not dry_run else None
    path = reverse("decision", args=[decision.pk])
    return _STATUS[decision.answer], {
        "id": None if dry_run else str(decision.pk),
        "decision": decision.answer,
        "state": state,
        "reasons": decision.reasons,
        "policy": number_of(decision.policy_id) if decision.policy_id else 0,
        "digest": f"sha256:{bytes(decision.digest).hex()}",
        "revision": decision.revision,
        "request_id": str(request.pk) if request else None,
        "expires_at": rfc3339(until) if until else None,
        "retry": _retry(decision, state),
        "message": _message(decision, request, state, proposed),
        "edited": proposal.edited if proposal else [],
        "draft": str(decision.draft_id) if decision.draft_id else None,
        "proposed": str(proposed.pk) if proposed else None,
        "see": None if dry_run else f"{settings.CLEARANCE_URL}{path}",
    }


def execution_body(execution: Execution) -> dict[str, Any]:
    """An execution as its agent sees it."""
    return {
        "execution": str(execution.pk),
        "action": execution.action,
        "status": execution.state,
        "started_at": rfc3339(execution.started_at),
        "deadline": rfc3339(execution.deadline),
    }
