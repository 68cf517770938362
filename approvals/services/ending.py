"""A request or a grant comes to nothing: withdrawn, expired, revoked. What it kept is given back."""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from approvals.models import ApprovalRequest, Decision, Grant, OnceUse
from approvals.services.budgets import give_back
from approvals.telling import tell_of_end
from audit.services import Actor, append
from features.acting import actor_of
from features.clock import clock
from features.errors import ConflictError, NotFoundError
from features.models import ApiKey, Gate, Person

_SYSTEM = Actor("system", "approvals")
_BATCH = 200


def release(decision: Decision) -> None:
    """Give back what a decision kept that did not run."""
    give_back(decision)
    OnceUse.objects.filter(decision=decision).delete()


def move_request(request: ApprovalRequest, state: str, at: datetime, reason: str = "") -> None:
    """From pending to an end; the caller holds the row. Raises RuntimeError when it is not pending any more."""
    changed = ApprovalRequest.objects.filter(pk=request.pk, state="pending").update(
        state=state, decided_at=at, reason=reason
    )
    if changed != 1:
        raise RuntimeError("a request was moved that is not pending")
    request.state, request.decided_at, request.reason = state, at, reason


def move_grant(grant: Grant, state: str) -> None:
    """From ready to an end; the caller holds the row. Raises RuntimeError when it is not ready any more."""
    if Grant.objects.filter(pk=grant.pk, state="ready").update(state=state) != 1:
        raise RuntimeError("a grant was moved that is not ready")
    grant.state = state


@transaction.atomic
def withdraw(key: ApiKey, decision_id: UUID) -> Decision:
    """The agent wants it no more. Again: no change. Raises NotFoundError, and ConflictError when people have decided
    or it ran.
    """
    decision = Decision.objects.filter(pk=decision_id, lineage=key.lineage).first()
    if decision is None:
        raise NotFoundError("not_found", "No decision of this key has this ID.")
    if decision.by_person:
        raise ConflictError("not_pending", "A person proposed this; only they take it back.")
    request = ApprovalRequest.objects.select_for_update().filter(decision=decision).first()
    if request is None or request.state not in ("pending", "withdrawn"):
        raise ConflictError(
            "not_pending",
            "Only what waits for a person can be withdrawn.",
            "A permission that nobody collects expires by itself.",
        )
    if request.state == "pending":
        _withdraw(request, decision, Actor("key", str(key.pk)))
    return decision


@transaction.atomic
def withdraw_own(request_id: UUID, by: Person, session: str = "") -> ApprovalRequest:
    """A person takes back what they proposed; again: no change. Raises ConflictError when people have decided."""
    list(ApprovalRequest.objects.select_for_update().filter(pk=request_id).values_list("pk"))
    request = ApprovalRequest.objects.select_related("decision", "feature").get(pk=request_id)
    if request.decision.proposed_by_id != by.pk:
        raise ConflictError("not_yours", "Somebody else proposed this.")
    if request.state not in ("pending", "withdrawn"):
        raise ConflictError("not_pending", f"It is {request.state} already.")
    if request.state == "pending":
        _withdraw(request, request.decision, actor_of(by, session))
        tell_of_end(request)
    return request


def _withdraw(request: ApprovalRequest, decision: Decision, by: Actor) -> None:
    now = clock()
    move_request(request, "expired" if now >= request.expires_at else "withdrawn", now)
    release(decision)
    _record(request, by)


def _record(request: ApprovalRequest, by: Actor = _SYSTEM) -> None:
    append(
        by,
        "request.ended",
        feature=str(request.feature_id),
        subject=("request", str(request.pk)),
        state=request.state,
        revision=request.revision,
    )


def end_if_over(decision_id: UUID) -> bool:
    """End a decision's request or grant that time or epoch has ended already; whether something was. In the caller's
    transaction, before it locks budgets.
    """
    # The request's row alone: the decision's may be held by who makes a new revision of it.
    request = (
        ApprovalRequest.objects.select_for_update(of=("self",))
        .filter(decision=decision_id)
        .select_related("decision")
        .first()
    )
    if request is not None and request.state == "pending":
        now = clock()
        epoch = Gate.objects.values_list("epoch", flat=True).get(feature_id=request.feature_id)
        if epoch == request.decision.epoch and now < request.expires_at:
            return False
        move_request(request, "superseded" if epoch != request.decision.epoch else "expired", now)
        release(request.decision)
        _record(request)
        tell_of_end(request)
        return True
    grant = (
        Grant.objects.select_for_update(of=("self",))
        .filter(decision=decision_id, state="ready")
        .select_related("decision")
        .first()
    )
    if grant is None:
        return False
    now = clock()
    epoch = Gate.objects.values_list("epoch", flat=True).get(feature_id=grant.decision.feature_id)
    if epoch == grant.epoch and now < grant.expires_at:
        return False
    move_grant(grant, "revoked" if epoch != grant.epoch else "expired")
    release(grant.decision)
    append(
        _SYSTEM,
        "grant.ended",
        feature=str(grant.decision.feature_id),
        subject=("grant", str(grant.pk)),
        state=grant.state,
    )
    return True


def expire_due(limit: int = _BATCH) -> int:
    """End what is over, each in a transaction of its own; returns how many. What an agent or a person reads is right
    before: this gives back what is kept, and tells.
    """
    now = clock()
    stale = ~Q(decision__epoch=F("decision__feature__gate__epoch"))
    requests = ApprovalRequest.objects.filter(state="pending").filter(Q(expires_at__lte=now) | stale)
    grants = Grant.objects.filter(state="ready").filter(
        Q(expires_at__lte=now) | ~Q(epoch=F("decision__feature__gate__epoch"))
    )
    due = [
        *requests.values_list("decision", flat=True)[:limit],
        *grants.values_list("decision", flat=True)[:limit],
    ]
    ended = 0
    for decision_id in due:
        with transaction.atomic():
            ended += end_if_over(decision_id)
    return ended
