"""An agent asks: the policy answers, once for each idempotency key."""

import hashlib
import secrets
import struct
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from django.db import connection, transaction

from approvals.judging import (
    Answer,
    BudgetState,
    Prepared,
    Reason,
    Refusal,
    answer,
    prepare,
)
from approvals.models import (
    ApprovalRequest,
    BudgetKept,
    Decision,
    Execution,
    Grant,
    OnceUse,
)
from approvals.proposal import Proposal, seal_proposal
from approvals.services.budgets import Exhausted, Kept, keep
from approvals.services.ending import end_if_over
from approvals.services.reading import Facts, facts_of
from approvals.telling import tell_of_request
from audit.services import Actor, append
from features.errors import ConflictError
from features.marks import args_mark, mark
from features.models import ApiKey, new_id
from features.policy import PolicyDocument, policy_of, seconds

_NOTHING = Reason("no_policy", "The feature has no policy in force.")


class Ask(msgspec.Struct, frozen=True):
    """What an agent asks."""

    proposal: Proposal
    idempotency_key: str
    body_digest: bytes
    trace_id: bytes | None = None
    span_id: bytes | None = None
    dry_run: bool = False
    feature: str = ""  # as the agent names it


class Judged(msgspec.Struct, frozen=True):
    """The answer, with what it keeps."""

    answer: Answer
    reasons: tuple[Reason, ...]
    prepared: Prepared | None = None
    kept: list[Kept] = []
    once: bytes | None = None


class _Denied(Exception):
    def __init__(self, *reasons: Reason) -> None:
        super().__init__()
        self.reasons = reasons


@transaction.atomic
def decide(key: ApiKey, ask: Ask) -> Decision:
    """Judge a proposal and keep the answer. Same idempotency key and body: the same decision. Raises ConflictError
    `idempotency_conflict` for another body.

    With `dry_run` nothing is kept; the decision returned is not in the database.
    """
    if not ask.dry_run:
        _alone(key.lineage, ask.idempotency_key)
        known = Decision.objects.filter(lineage=key.lineage, idempotency_key=ask.idempotency_key).first()
        if known is not None:
            if bytes(known.body_digest) != ask.body_digest:
                raise ConflictError(
                    "idempotency_conflict",
                    "This Idempotency-Key was used for another body.",
                    "Make a new key for each tool call.",
                )
            return known
    facts = facts_of(key.feature_id, ask.proposal.action)
    policy = policy_of(facts.policy) if facts.policy else None
    decision = _decision(key, ask, facts, policy)
    judged = _judge(decision, ask.proposal, facts, policy)
    decision.answer = judged.answer
    decision.reasons = msgspec.to_builtins(judged.reasons)
    if judged.prepared and judged.prepared.costs:
        decision.cost = judged.prepared.costs[0].amount
    if ask.dry_run:
        transaction.set_rollback(True)
        return decision
    _write(decision, ask.proposal, judged, facts, policy)
    return decision


def _alone(lineage: UUID, idempotency_key: str) -> None:
    digest = hashlib.sha256(lineage.bytes + idempotency_key.encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", struct.unpack(">q", digest[:8]))


def _decision(key: ApiKey, ask: Ask, facts: Facts, policy: PolicyDocument | None) -> Decision:
    return Decision(
        id=new_id(),
        feature_id=key.feature_id,
        key=key,
        lineage=key.lineage,
        idempotency_key=ask.idempotency_key,
        body_digest=ask.body_digest,
        action=ask.proposal.action,
        policy_id=facts.policy,
        epoch=facts.epoch,
        digest=ask.proposal.digest,
        args_mark=args_mark(key.feature_id, ask.proposal.action, ask.proposal.args),
        trace_id=ask.trace_id,
        span_id=ask.span_id,
        created_at=facts.now,
    )


def subject_mark(feature_id: UUID, action: str, subject: str | None, digest: bytes) -> bytes:
    """What "the same (action, subject)" is compared by; where no subject is declared, the whole proposal is it."""
    kind, value = ("digest", digest.hex()) if subject is None else ("subject", subject)
    return mark(feature_id, f"{action} {kind}", value)


def _judge(decision: Decision, proposal: Proposal, facts: Facts, policy: PolicyDocument | None) -> Judged:
    if facts.stop is not None:
        return Judged("deny", (Reason("killed", "The tools of this feature are switched off."),))
    if policy is None:
        return Judged("deny", (_NOTHING,))
    prepared = prepare(policy, proposal.action, proposal.args, proposal.context)
    if isinstance(prepared, Refusal):
        return Judged("deny", prepared.reasons)
    decision.subject_mark = subject_mark(
        decision.feature_id, decision.action, prepared.subject, bytes(decision.digest)
    )
    try:
        with transaction.atomic():
            return _permit(decision, prepared, facts, policy)
    except _Denied as denied:
        return Judged("deny", denied.reasons, prepared)
    except Exhausted:
        return Judged("deny", (Reason("budget", "A budget of this action is used up."),), prepared)


def _permit(decision: Decision, prepared: Prepared, facts: Facts, policy: PolicyDocument) -> Judged:
    """What is refused because of what was before; else the answer, with budgets kept."""
    if prepared.action.effect == "read":
        said, reasons = answer(prepared, None)
        return Judged(said, reasons, prepared)
    if _rejected_lately(decision, facts.now, policy):
        raise _Denied(Reason("recently_rejected", "A person rejected this a short time ago."))
    if _unsettled(decision):
        raise _Denied(Reason("once_per", "The same ran already, and nobody knows yet how it ended."))
    once = None
    if prepared.once is not None:
        once = mark(decision.feature_id, f"{decision.action} once", prepared.once)
        _take_once(decision, once)
    mine = bytes(decision.subject_mark or b"")
    kept, least = _keep(decision, policy, prepared, mine, facts.now)
    said, reasons = answer(prepared, least)
    return Judged(said, reasons, prepared, kept, once)


def _keep(
    decision: Decision, policy: PolicyDocument, prepared: Prepared, mine: bytes, now: datetime
) -> tuple[list[Kept], BudgetState | None]:
    try:
        with transaction.atomic():
            return keep(decision.feature_id, policy, prepared, mine, now)
    except Exhausted:
        # What expired a moment ago still keeps its part until it is ended.
        if not _end_over(decision):
            raise
        return keep(decision.feature_id, policy, prepared, mine, now)


def _end_over(decision: Decision) -> int:
    over = BudgetKept.objects.filter(
        decision__feature_id=decision.feature_id, decision__action=decision.action
    )
    waiting = over.exclude(decision__grants__state="consumed").values_list("decision", flat=True).distinct()
    return sum(end_if_over(pk) for pk in waiting[:100])


def _rejected_lately(decision: Decision, now: datetime, policy: PolicyDocument) -> bool:
    since = now - timedelta(seconds=seconds(policy.limits.quiet_period))
    return ApprovalRequest.objects.filter(
        feature_id=decision.feature_id,
        action=decision.action,
        state="rejected",
        decided_at__gt=since,
        decision__subject_mark=decision.subject_mark,
    ).exists()


def _unsettled(decision: Decision) -> bool:
    return Execution.objects.filter(
        feature_id=decision.feature_id,
        state="unknown",
        settled_at__isnull=True,
        decision__digest=decision.digest,
    ).exists()


def _take_once(decision: Decision, once: bytes) -> None:
    for _ in range(2):
        if _put_once(decision, once):
            return
        holder = OnceUse.objects.filter(
            feature_id=decision.feature_id, action=decision.action, mark=once
        ).first()
        if holder is not None and not end_if_over(holder.decision_id):
            break
    raise _Denied(Reason("once_per", "This was permitted already; it may happen once."))


def _put_once(decision: Decision, once: bytes) -> bool:
    """The foreign key is checked at the commit, when the decision is there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO approvals_onceuse (feature_id, action, mark, decision_id) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT DO NOTHING",
            [decision.feature_id, decision.action, once, decision.pk],
        )
        return bool(cursor.rowcount)


def _write(
    decision: Decision, proposal: Proposal, judged: Judged, facts: Facts, policy: PolicyDocument | None
) -> None:
    decision.salt = secrets.token_bytes(16)
    decision.sealed = seal_proposal(proposal, decision.pk)
    decision.save(force_insert=True)
    BudgetKept.objects.bulk_create(
        [BudgetKept(decision=decision, use_id=one.use, amount=one.amount) for one in judged.kept]
    )
    request, grant = None, None
    if judged.answer != "deny" and judged.prepared is not None and policy is not None:
        if judged.answer == "allow":
            grant = make_grant(decision, judged.prepared, facts.now, facts.epoch)
        else:
            request = _request(decision, judged.prepared, facts.now)
            tell_of_request(request)
    append(
        Actor("key", str(decision.key_id)),
        "decision.made",
        feature=str(decision.feature_id),
        subject=("decision", str(decision.pk)),
        answer=judged.answer,
        codes=[one.code for one in judged.reasons],
        policy=str(decision.policy_id) if decision.policy_id else None,
        epoch=decision.epoch,
        proposal=commitment_of(decision),
        request=str(request.pk) if request else None,
        grant=str(grant.pk) if grant else None,
        proposers=[str(one) for one in request.proposers] if request else [],
    )


def commitment_of(decision: Decision) -> str:
    """SHA-256(salt || digest), hexadecimal: proves what was proposed to whoever holds the salt, tells nothing
    without.
    """
    return hashlib.sha256(bytes(decision.salt or b"") + bytes(decision.digest)).hexdigest()


def make_grant(
    decision: Decision, prepared: Prepared, now: datetime, epoch: int, undo: timedelta = timedelta()
) -> Grant:
    """The permission for what the decision says now, ready after `undo`."""
    ready = now + undo
    return Grant.objects.create(
        decision=decision,
        revision=decision.revision,
        digest=decision.digest,
        epoch=epoch,
        made_at=now,
        ready_at=ready,
        expires_at=ready + timedelta(seconds=seconds(prepared.action.grant_ttl)),
    )


def _request(decision: Decision, prepared: Prepared, now: datetime) -> ApprovalRequest:
    action = prepared.action
    makers = ApiKey.objects.filter(lineage=decision.lineage, created_by__isnull=False)
    return ApprovalRequest.objects.create(
        decision=decision,
        feature_id=decision.feature_id,
        action=action.name,
        role=action.approvers,
        quorum=action.quorum,
        irreversible=action.effect == "irreversible",
        proposers=sorted(set(makers.values_list("created_by", flat=True)), key=str),
        created_at=now,
        expires_at=now + timedelta(seconds=seconds(action.ttl)),
    )
