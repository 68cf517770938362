"""A grant is consumed, once; what ran is reported; what nobody knows is settled by a person."""

import hashlib
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
import rfc8785
from django.db import transaction

from approvals.judging import action_of
from approvals.models import ApprovalRequest, Decision, Execution, Grant, OnceUse
from approvals.proposal import open_proposal, seal_text
from approvals.services.budgets import give_back
from approvals.services.ending import move_grant
from approvals.services.reading import Facts, facts_of
from approvals.shadow import note_execution
from approvals.telling import tell_of_outcome
from audit.services import Actor, Receipt, append
from features.acting import actor_of
from features.clock import clock
from features.errors import ClearanceError, ConflictError, NotFoundError
from features.gate import doubt_over_everything, hold_gate
from features.models import ApiKey, Person
from features.policy import policy_of, seconds

Outcome = Literal["succeeded", "failed", "unknown"]
OUTCOMES: tuple[Outcome, ...] = ("succeeded", "failed", "unknown")


class ToolsStopped(ClearanceError):
    """The kill switch is on."""

    status = 423


class NotYet(Exception):
    """Approved, and the vote can still be taken back for so many seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__()
        self.wait = wait


class Started(msgspec.Struct, frozen=True):
    """What the agent may run now, exactly."""

    execution: Execution
    action: str
    args: dict[str, Any]
    digest: bytes
    record: Receipt


@transaction.atomic
def execute(key: ApiKey, decision_id: UUID, digest: bytes | None = None) -> Started:
    """Consume the decision's grant. Of any number of callers, one gets it.

    Raises NotFoundError (another key's), ToolsStopped, NotYet, and ConflictError with `already_consumed`, `expired`,
    `revoked`, `not_approved` or `digest_mismatch`.
    """
    known = Decision.objects.filter(pk=decision_id, lineage=key.lineage).only("feature_id", "action").first()
    if known is None:
        raise NotFoundError("not_found", "No decision of this key has this ID.")
    hold_gate(known.feature_id)
    # Which row the permission hangs on does not change: a request is made with its decision.
    list(ApprovalRequest.objects.select_for_update().filter(decision=known).values_list("pk"))
    grant = Grant.objects.select_for_update().filter(decision=known).order_by("-made_at").first()
    facts = facts_of(known.feature_id, known.action)
    decision = Decision.objects.get(pk=decision_id)
    if facts.stop is not None:
        raise ToolsStopped(
            "killed",
            doubt_over_everything() or "The tools of this feature are switched off.",
            "Ask again when they are on.",
        )
    _check(decision, grant, facts, digest)
    assert grant is not None
    proposal = open_proposal(decision)
    if proposal is None or proposal.digest != bytes(grant.digest):
        raise ClearanceError("unavailable", "What was permitted cannot be read any more; nothing runs.")
    move_grant(grant, "consumed")
    policy = policy_of(decision.policy_id)
    action = action_of(policy, decision.action)
    assert action is not None
    execution = Execution.objects.create(
        grant=grant,
        decision=decision,
        feature_id=decision.feature_id,
        action=decision.action,
        started_at=facts.now,
        deadline=facts.now + timedelta(seconds=seconds(action.deadline)),
    )
    note_execution(decision, execution)
    record = append(
        Actor("key", str(key.pk)),
        "execution.started",
        feature=str(decision.feature_id),
        subject=("execution", str(execution.pk)),
        decision=str(decision.pk),
        grant=str(grant.pk),
        epoch=grant.epoch,
        revision=grant.revision,
    )
    return Started(execution, decision.action, proposal.args, bytes(grant.digest), record)


def _check(decision: Decision, grant: Grant | None, facts: Facts, digest: bytes | None) -> None:
    """Raises where the permission is none. Digest first: an agent that holds other arguments must not learn that
    others may run.
    """
    if digest is not None and digest != bytes(decision.digest):
        raise ConflictError(
            "digest_mismatch", "These are not the arguments that were decided.", "Run what this call returns."
        )
    if grant is None:
        if decision.answer == "deny":
            raise ConflictError("not_approved", "This was denied.")
        raise _without_grant(decision, facts)
    if grant.state == "consumed":
        raise ConflictError("already_consumed", "This was handed out already; it runs once.")
    if grant.state == "expired" or (grant.state == "ready" and facts.now >= grant.expires_at):
        raise ConflictError("expired", "The permission has expired.", "Ask again.")
    if grant.state == "revoked":
        raise _without_grant(decision, facts)
    if (
        grant.epoch != facts.epoch
        or decision.policy_id != facts.policy
        or grant.revision != decision.revision
    ):
        raise ConflictError("revoked", "The policy or the tools changed since; this opens nothing any more.")
    if facts.now < grant.ready_at:
        raise NotYet((grant.ready_at - facts.now).total_seconds())


def _without_grant(decision: Decision, facts: Facts) -> ConflictError:
    request = ApprovalRequest.objects.filter(decision=decision).first()
    if request is not None and request.state == "pending" and decision.epoch == facts.epoch:
        if facts.now < request.expires_at:
            return ConflictError("not_approved", "It waits for a person.", "Wait for the decision.")
        return ConflictError("expired", "Nobody decided in time.", "Ask again.")
    if request is not None and request.state == "expired":
        return ConflictError("expired", "Nobody decided in time.", "Ask again.")
    if request is not None and request.state in ("rejected", "withdrawn"):
        return ConflictError("not_approved", f"The request was {request.state}.")
    return ConflictError("revoked", "The policy or the tools changed since; this opens nothing any more.")


@transaction.atomic
def report(key: ApiKey, execution_id: UUID, status: Outcome, result: Any = None) -> Execution:
    """Keep how an execution ended; the same again changes nothing. Raises NotFoundError and ConflictError
    (`already_reported`) for another outcome.
    """
    execution = (
        Execution.objects.select_for_update(of=("self",))
        .filter(pk=execution_id, decision__lineage=key.lineage)
        .select_related("decision")
        .first()
    )
    if execution is None:
        raise NotFoundError("not_found", "No execution of this key has this ID.")
    text = rfc8785.dumps(result)
    digest = hashlib.sha256(status.encode() + b"\0" + text).digest()
    if execution.reported:
        if bytes(execution.result_digest or b"") != digest:
            raise ConflictError(
                "already_reported", f"It was reported as {execution.reported}.", "The first word stands."
            )
        return execution
    if execution.settled_at is not None:
        if execution.state == status:
            return execution
        raise ConflictError("already_settled", f"A person settled it as {execution.state}.")
    now = clock()
    execution.reported, execution.reported_at, execution.state = status, now, status
    execution.result, execution.result_digest = seal_text(text.decode()), digest
    execution.save(update_fields=["reported", "reported_at", "state", "result", "result_digest"])
    _after(execution, now)
    append(
        Actor("key", str(key.pk)),
        "execution.ended",
        feature=str(execution.feature_id),
        subject=("execution", str(execution.pk)),
        state=status,
    )
    return execution


def _after(execution: Execution, now: datetime) -> None:
    """A failed execution did nothing: its budget is given back, and the same may be asked again."""
    if execution.state == "failed":
        give_back(execution.decision)
        OnceUse.objects.filter(decision=execution.decision).delete()
    if execution.state in ("failed", "unknown"):
        tell_of_outcome(execution)


@transaction.atomic
def settle(execution_id: UUID, state: Outcome, reason: str, by: Person, session: str = "") -> Execution:
    """A person says how an unknown execution ended. Raises ConflictError when it is not unknown, ClearanceError
    without a reason.
    """
    execution = (
        Execution.objects.select_for_update(of=("self",)).select_related("decision").get(pk=execution_id)
    )
    if state not in ("succeeded", "failed"):
        raise ClearanceError("state", "Say whether it succeeded or failed.", field="state")
    reason = " ".join(reason.split())
    if len(reason) < 5:
        raise ClearanceError("reason", "Say how you know.", "Five letters at least.", "reason")
    if execution.state != "unknown" or execution.settled_at is not None:
        raise ConflictError("settled", f"It is {execution.state} already.")
    now = clock()
    execution.state, execution.settled_at, execution.settled_by = state, now, by
    execution.settled_reason = reason[:500]
    execution.save(update_fields=["state", "settled_at", "settled_by", "settled_reason"])
    _after(execution, now)
    append(
        actor_of(by, session),
        "execution.settled",
        feature=str(execution.feature_id),
        subject=("execution", str(execution.pk)),
        state=state,
    )
    return execution


def overdue(limit: int = 200) -> int:
    """Executions without an outcome by their deadline become unknown; returns how many. None is run again."""
    ended = 0
    for pk in Execution.objects.filter(state="started", deadline__lte=clock()).values_list("pk", flat=True)[
        :limit
    ]:
        with transaction.atomic():
            execution = (
                Execution.objects.select_for_update(of=("self",)).select_related("decision").get(pk=pk)
            )
            now = clock()
            if execution.state != "started" or now < execution.deadline:
                continue
            execution.state = "unknown"
            execution.save(update_fields=["state"])
            _after(execution, now)
            append(
                Actor("system", "approvals"),
                "execution.overdue",
                feature=str(execution.feature_id),
                subject=("execution", str(execution.pk)),
            )
            ended += 1
    return ended
