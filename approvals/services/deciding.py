"""An agent asks: the policy answers, once for each idempotency key."""

import hashlib
import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db import IntegrityError, connection, transaction

from approvals.judging import (
    Answer,
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
from traces.facts import keep_decision

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


class Decided(msgspec.Struct, frozen=True):
    """A decision with what hangs on it, and the facts that it is to be read by."""

    decision: Decision
    request: ApprovalRequest | None
    grant: Grant | None
    facts: Facts


def decide(key: ApiKey, ask: Ask) -> Decision:
    """`decided`, for who needs the decision alone."""
    return decided(key, ask).decision


def decided(key: ApiKey, ask: Ask) -> Decided:
    """Judge a proposal and keep the answer. Same idempotency key and body: the same decision. Raises ConflictError
    `idempotency_conflict` for another body.

    With `dry_run` nothing is kept; the decision returned is not in the database.
    """
    try:
        return _known(key, ask) or _decided(key, ask)
    except IntegrityError as error:
        # Somebody was first with this very key, and is committed now.
        found = _known(key, ask)
        if found is None:
            raise error
        return found


def _known(key: ApiKey, ask: Ask) -> Decided | None:
    if ask.dry_run:
        return None
    known = Decision.objects.filter(lineage=key.lineage, idempotency_key=ask.idempotency_key).first()
    if known is None:
        return None
    if bytes(known.body_digest) != ask.body_digest:
        raise ConflictError(
            "idempotency_conflict",
            "This Idempotency-Key was used for another body.",
            "Make a new key for each tool call.",
        )
    return as_it_stands(known)


def as_it_stands(decision: Decision) -> Decided:
    """The decision with what hangs on it now."""
    request = ApprovalRequest.objects.filter(decision=decision).first()
    grant = Grant.objects.filter(decision=decision).order_by("-made_at").first()
    return Decided(decision, request, grant, facts_of(decision.feature_id, decision.action))


@transaction.atomic
def _decided(key: ApiKey, ask: Ask) -> Decided:
    facts = facts_of(key.feature_id, ask.proposal.action)
    policy = policy_of(facts.policy) if facts.policy else None
    decision = new_decision(key, ask, facts)
    judged = judge(decision, ask.proposal, facts, policy)
    if ask.dry_run:
        transaction.set_rollback(True)
        return Decided(decision, None, None, facts)
    by = Actor("key", str(decision.key_id))
    return Decided(decision, *write(decision, ask.proposal, judged, facts, policy, by), facts)


def new_decision(key: ApiKey, ask: Ask, facts: Facts) -> Decision:
    """A decision that is not judged yet, and not in the database."""
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


def judge(decision: Decision, proposal: Proposal, facts: Facts, policy: PolicyDocument | None) -> Judged:
    """The answer, which the decision says from here on; what it keeps of budgets is kept in this transaction."""
    judged = _judged(decision, proposal, facts, policy)
    decision.answer = judged.answer
    decision.reasons = msgspec.to_builtins(judged.reasons)
    decision.is_draft = [one.code for one in judged.reasons] == ["draft"] and judged.answer == "deny"
    if judged.prepared and judged.prepared.costs:
        decision.cost = judged.prepared.costs[0].amount
    return judged


def _judged(decision: Decision, proposal: Proposal, facts: Facts, policy: PolicyDocument | None) -> Judged:
    if facts.stop is not None:
        return Judged("deny", (Reason("killed", "The tools of this feature are switched off."),))
    if policy is None:
        return Judged("deny", (_NOTHING,))
    prepared = prepare(policy, proposal.action, proposal.args, proposal.context, by_person=decision.by_person)
    if isinstance(prepared, Refusal):
        return Judged("deny", prepared.reasons)
    decision.subject_mark = subject_mark(
        decision.feature_id, decision.action, prepared.subject, bytes(decision.digest)
    )
    try:
        return _permit_whole(decision, prepared, facts, policy)
    except _Denied as denied:
        return Judged("deny", denied.reasons, prepared)
    except Exhausted:
        # What expired a moment ago still keeps its part until it is ended.
        with suppress(_Denied, Exhausted):
            if _end_over(decision):
                return _permit_whole(decision, prepared, facts, policy)
    return Judged("deny", (Reason("budget", "A budget of this action is used up."),), prepared)


@transaction.atomic
def _permit_whole(decision: Decision, prepared: Prepared, facts: Facts, policy: PolicyDocument) -> Judged:
    """What it keeps is kept whole or not at all."""
    return _permit(decision, prepared, facts, policy)


def _permit(decision: Decision, prepared: Prepared, facts: Facts, policy: PolicyDocument) -> Judged:
    """What is refused because of what was before; else the answer, with budgets kept."""
    if prepared.action.effect == "read":
        said, reasons = answer(prepared, None)
        return Judged(said, reasons, prepared)
    rejected, unsettled = _before(decision, facts.now, policy)
    if rejected:
        raise _Denied(Reason("recently_rejected", "A person rejected this a short time ago."))
    if unsettled:
        raise _Denied(Reason("once_per", "The same ran already, and nobody knows yet how it ended."))
    once = None
    if prepared.once is not None:
        once = mark(decision.feature_id, f"{decision.action} once", prepared.once)
        _take_once(decision, once)
    mine = bytes(decision.subject_mark or b"")
    kept, least = keep(decision.feature_id, policy, prepared, mine, facts.now)
    said, reasons = answer(prepared, least)
    return Judged(said, reasons, prepared, kept, once)


def _end_over(decision: Decision) -> int:
    over = BudgetKept.objects.filter(
        decision__feature_id=decision.feature_id, decision__action=decision.action
    )
    waiting = over.exclude(decision__grants__state="consumed").values_list("decision", flat=True).distinct()
    return sum(end_if_over(pk) for pk in waiting[:100])


_BEFORE = """
SELECT EXISTS (
    SELECT FROM approvals_decision d JOIN approvals_approvalrequest r ON r.decision_id = d.id
    WHERE d.feature_id = %(feature)s AND d.action = %(action)s AND d.subject_mark = %(subject)s
      AND r.state = 'rejected' AND r.decided_at > %(since)s
), EXISTS (
    SELECT FROM approvals_decision d JOIN approvals_execution e ON e.decision_id = d.id
    WHERE d.feature_id = %(feature)s AND d.action = %(action)s AND d.subject_mark = %(subject)s
      AND d.digest = %(digest)s AND e.state = 'unknown' AND e.settled_at IS NULL
)
"""


def _before(decision: Decision, now: datetime, policy: PolicyDocument) -> tuple[bool, bool]:
    """(whether the same was rejected within the quiet period, whether the same ran and nobody knows how it ended)."""
    values: dict[str, Any] = {
        "feature": decision.feature_id,
        "action": decision.action,
        "subject": decision.subject_mark,
        "digest": decision.digest,
        "since": now - timedelta(seconds=seconds(policy.limits.quiet_period)),
    }
    with connection.cursor() as cursor:
        cursor.execute(_BEFORE, values)
        rejected, unsettled = cursor.fetchone()
    return rejected, unsettled


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


def write(
    decision: Decision,
    proposal: Proposal,
    judged: Judged,
    facts: Facts,
    policy: PolicyDocument | None,
    by: Actor,
) -> tuple[ApprovalRequest | None, Grant | None]:
    """Keep what was decided with what hangs on it, and record it."""
    decision.salt = secrets.token_bytes(16)
    decision.sealed = seal_proposal(proposal, decision.pk)
    decision.save(force_insert=True)
    if judged.kept:
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
    if decision.trace_id:
        keep_decision(
            decision.feature_id, decision.pk, bytes(decision.trace_id), judged.answer, decision.created_at
        )
    append(
        by,
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
        draft=str(decision.draft_id) if decision.draft_id else None,
    )
    return request, grant


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
    proposers = {*makers.values_list("created_by", flat=True), decision.proposed_by_id} - {None}
    return ApprovalRequest.objects.create(
        decision=decision,
        feature_id=decision.feature_id,
        action=action.name,
        role=action.approvers,
        quorum=action.quorum,
        irreversible=action.effect == "irreversible",
        proposers=sorted(proposers, key=str),
        created_at=now,
        expires_at=now + timedelta(seconds=seconds(action.ttl)),
    )
