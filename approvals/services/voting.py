"""People vote, edit, and take a vote back for a moment."""

from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from django.db import IntegrityError, transaction
from django.db.models import F

from approvals.judging import Prepared, Refusal, prepare
from approvals.models import ApprovalRequest, BudgetKept, Decision, Grant, OnceUse, Vote
from approvals.proposal import Proposal, canonical_object, differences, open_proposal, seal_proposal
from approvals.services.budgets import Exhausted, give_back, keep
from approvals.services.deciding import commitment_of, make_grant, subject_mark
from approvals.services.ending import move_grant, move_request, release
from approvals.services.reading import Facts, facts_of
from approvals.telling import tell_of_request, tell_of_vote
from audit.services import Receipt, append
from features.acting import actor_of
from features.errors import ClearanceError, ConflictError
from features.gate import hold_gate
from features.marks import args_mark, mark
from features.models import FeatureRole, Person
from features.policy import PolicyDocument, policy_of
from features.rules import paths_of
from traces.facts import keep_participant

Answer = Literal["approve", "reject"]
ANSWERS: dict[str, Answer] = {"approve": "approve", "reject": "reject"}
# How long a vote can be taken back; the grant is ready then.
UNDO = timedelta(seconds=5)
SHORTEST_REASON = 3


class MayNot(ClearanceError):
    """The person may not vote on this request."""

    status = 403


class Voted(msgspec.Struct, frozen=True):
    """What a vote did."""

    request: ApprovalRequest
    vote: Vote
    record: Receipt


def _locked(request_id: UUID) -> ApprovalRequest:
    """The request, its row held, as it is after everything that was waited for. Raises ApprovalRequest.DoesNotExist."""
    known = ApprovalRequest.objects.only("feature_id").get(pk=request_id)
    hold_gate(known.feature_id)
    list(ApprovalRequest.objects.select_for_update().filter(pk=request_id).values_list("pk"))
    return ApprovalRequest.objects.select_related("decision", "feature").get(pk=request_id)


def _to_decide(request_id: UUID, revision: int, by: Person) -> tuple[ApprovalRequest, Facts]:
    """The request that a person votes on or edits, its row and their role's held, and the facts after that. Raises
    ConflictError as `_open`, then MayNot.
    """
    request = _locked(request_id)
    why_not = may_vote(request, by, lock=True)
    facts = facts_of(request.feature_id, request.action)
    _open(request, facts, revision)
    if why_not:
        raise MayNot("not_allowed", why_not)
    return request, facts


def _open(request: ApprovalRequest, facts: Facts, revision: int) -> None:
    """Raises ConflictError where nobody can decide any more, or on something else than was looked at."""
    if request.state != "pending":
        raise ConflictError("decided", f"{said_of(request)} Nothing was run twice.")
    if facts.epoch != request.decision.epoch or facts.policy != request.decision.policy_id:
        raise ConflictError(
            "superseded",
            "The policy or the tools changed since it was asked; it can be decided no more.",
            "The agent has to ask again.",
        )
    if facts.now >= request.expires_at:
        raise ConflictError("expired", "It has expired; nothing runs.", "The agent has to ask again.")
    if revision != request.revision:
        raise ConflictError(
            "revision",
            f"It was edited: you looked at revision {revision}, this is {request.revision}.",
            "Look at what is proposed now.",
        )


def said_of(request: ApprovalRequest) -> str:
    """`Already approved by Ada at 12:03 UTC.`"""
    votes = Vote.objects.filter(request=request, revision=request.revision, taken_back_at=None)
    last = votes.select_related("person").order_by("-at").first()
    at = f" at {request.decided_at:%H:%M:%S} UTC" if request.decided_at else ""
    by = f" by {last.person}" if last and request.state in ("approved", "rejected") else ""
    return f"Already {request.state}{by}{at}."


def may_vote(request: ApprovalRequest, person: Person, *, lock: bool = False) -> str:
    """Why the person may not vote on it; an empty text: they may. With `lock`, their role's row is held."""
    if not person.is_active:
        return "This account is switched off."
    if str(person.pk) in {str(one) for one in request.proposers}:
        if request.decision.proposed_by_id == person.pk:
            return "You proposed this: somebody else has to decide."
        return "You made the key that proposes this, or hold it: somebody else has to decide."
    if request.editor_id == person.pk:
        return "You edited this: somebody else has to decide."
    rows = FeatureRole.objects.filter(
        user=person, content_object=request.feature_id, permission__codename=f"role_{request.role}"
    )
    if lock:
        list(rows.select_for_update(of=("self",)).values_list("pk"))
    row = rows.first()
    if row is None:
        return f"Only a person with the role {request.role.replace('_', '-')} decides this."
    if row.given_at > request.created_at:
        return f"You became {request.role.replace('_', '-')} after this was asked."
    if row.given_by_id is not None and str(row.given_by_id) in {str(one) for one in request.proposers}:
        return "Your role was given by who proposes this: somebody else has to decide."
    return ""


@transaction.atomic
def vote(
    request_id: UUID, answer: Answer, revision: int, by: Person, reason: str = "", session: str = ""
) -> Voted:
    """One person's answer. The last one that the quorum needs makes the grant, which is ready after `UNDO`.

    Raises MayNot, ClearanceError (a rejection without a reason), ConflictError (`decided`, `expired`, `superseded`,
    `revision`, `voted`).
    """
    reason = reason.strip()
    if answer == "reject" and len(reason) < SHORTEST_REASON:
        raise ClearanceError("reason", "Say why: the agent is told.", "A few words do.", "reason")
    request, facts = _to_decide(request_id, revision, by)
    try:
        with transaction.atomic():
            mine = Vote.objects.create(
                request=request, revision=revision, person=by, vote=answer, reason=reason[:1000], at=facts.now
            )
    except IntegrityError as error:
        raise ConflictError("voted", "You have voted on this already.") from error
    grant = None
    if answer == "reject":
        move_request(request, "rejected", facts.now, reason[:1000])
        release(request.decision)
    elif _counted(request) >= request.quorum:
        move_request(request, "approved", facts.now)
        grant = make_grant(request.decision, _prepared(request), facts.now, facts.epoch, UNDO)
    keep_participant(request.feature_id, request.decision.trace_id, by.pk, "voted")
    tell_of_vote(request, mine)
    record = append(
        actor_of(by, session),
        "vote.cast",
        feature=str(request.feature_id),
        subject=("request", str(request.pk)),
        vote=answer,
        revision=revision,
        state=request.state,
        quorum=request.quorum,
        decision=str(request.decision_id),
        grant=str(grant.pk) if grant else None,
    )
    return Voted(request, mine, record)


def _counted(request: ApprovalRequest) -> int:
    """Approvals of this revision by people who hold the role now; their role rows are held from here on."""
    voters = Vote.objects.filter(
        request=request, revision=request.revision, vote="approve", taken_back_at=None
    ).values("person")
    rows = FeatureRole.objects.filter(
        user__in=voters,
        user__is_active=True,
        content_object=request.feature_id,
        permission__codename=f"role_{request.role}",
    )
    list(rows.select_for_update(of=("self",)).order_by("user_id").values_list("pk"))
    return rows.values("user").distinct().count()


def _prepared(request: ApprovalRequest) -> Prepared:
    """What was proposed, as its policy reads it. Raises ClearanceError where it cannot be read any more."""
    decision = request.decision
    proposal = open_proposal(decision)
    if proposal is None or decision.policy_id is None:
        raise ClearanceError(
            "unavailable", "What was proposed cannot be read any more; it cannot be approved."
        )
    prepared = _judged_again(decision, policy_of(decision.policy_id), proposal)
    if isinstance(prepared, Refusal):
        raise ClearanceError("unavailable", prepared.reasons[0].detail)
    return prepared


def _judged_again(decision: Decision, policy: PolicyDocument, proposal: Proposal) -> Prepared | Refusal:
    return prepare(policy, decision.action, proposal.args, proposal.context, by_person=decision.by_person)


@transaction.atomic
def take_back(request_id: UUID, by: Person, session: str = "") -> ApprovalRequest:
    """Take one's approval back while nothing can have run by it. Raises ConflictError when it is too late."""
    request = _locked(request_id)
    grants = Grant.objects.select_for_update().filter(decision=request.decision_id, state="ready")
    grant = grants.first()
    facts = facts_of(request.feature_id, request.action)
    mine = Vote.objects.filter(
        request=request, revision=request.revision, person=by, vote="approve", taken_back_at=None
    ).first()
    if mine is None:
        raise ConflictError("no_vote", "There is no approval of yours here.")
    if request.state == "approved":
        if grant is None or facts.now >= grant.ready_at:
            raise ConflictError(
                "too_late", "Five seconds are over; it may have run.", "Stop the tools instead."
            )
        move_grant(grant, "revoked")
        ApprovalRequest.objects.filter(pk=request.pk).update(state="pending", decided_at=None)
        request.state, request.decided_at = "pending", None
    elif request.state != "pending":
        raise ConflictError("decided", said_of(request))
    Vote.objects.filter(pk=mine.pk).update(taken_back_at=facts.now)
    append(
        actor_of(by, session),
        "vote.taken_back",
        feature=str(request.feature_id),
        subject=("request", str(request.pk)),
        revision=request.revision,
        grant=str(grant.pk) if grant else None,
    )
    return request


@transaction.atomic
def edit(
    request_id: UUID, args: dict[str, Any], revision: int, by: Person, session: str = ""
) -> ApprovalRequest:
    """Propose other arguments within the policy: a new revision, on which nobody has voted. Its editor may vote on it
    only where it is tighter: it costs less, and nothing else changed.

    Raises MayNot, ClearanceError (`schema`, `budget`), ConflictError as `vote`.
    """
    request, facts = _to_decide(request_id, revision, by)
    decision = request.decision
    before = open_proposal(decision)
    if before is None or decision.policy_id is None:
        raise ClearanceError("unavailable", "What was proposed cannot be read any more.")
    policy = policy_of(decision.policy_id)
    args = canonical_object(args)
    if args == before.args:
        raise ClearanceError("same", "Nothing was changed.", field="args")
    after = before.edited_to(args)
    prepared = _judged_again(decision, policy, after)
    if isinstance(prepared, Refusal):
        first = prepared.reasons[0]
        raise ClearanceError(first.code, first.detail, field="args")
    old = _judged_again(decision, policy, before)
    tighter = isinstance(old, Prepared) and _is_tighter(old, prepared)
    decision.revision += 1
    decision.digest = after.digest
    decision.args_mark = args_mark(decision.feature_id, decision.action, args)
    decision.subject_mark = subject_mark(decision.feature_id, decision.action, prepared.subject, after.digest)
    decision.sealed = seal_proposal(after, decision.pk)
    decision.cost = prepared.costs[0].amount if prepared.costs else None
    _keep_anew(decision, prepared, facts)
    decision.edits = [one["path"] for one in after.edited]
    decision.save()
    ApprovalRequest.objects.filter(pk=request.pk).update(
        revision=F("revision") + 1, editor=None if tighter else by
    )
    request.refresh_from_db()
    keep_participant(request.feature_id, decision.trace_id, by.pk, "edited")
    tell_of_request(request)
    append(
        actor_of(by, session),
        "request.edited",
        feature=str(request.feature_id),
        subject=("request", str(request.pk)),
        revision=request.revision,
        tighter=tighter,
        proposal=commitment_of(decision),
    )
    return request


def _keep_anew(decision: Decision, prepared: Prepared, facts: Facts) -> None:
    """Budgets and `once_per` of the new arguments in place of the old ones'."""
    assert decision.policy_id is not None
    once = mark(decision.feature_id, f"{decision.action} once", prepared.once) if prepared.once else None
    try:
        with transaction.atomic():
            give_back(decision)
            kept, _ = keep(
                decision.feature_id,
                policy_of(decision.policy_id),
                prepared,
                bytes(decision.subject_mark or b""),
                facts.now,
            )
            BudgetKept.objects.bulk_create(
                [BudgetKept(decision=decision, use_id=one.use, amount=one.amount) for one in kept]
            )
            held = OnceUse.objects.filter(decision=decision)
            if once is not None and not held.filter(mark=once).exists():
                held.delete()
                OnceUse.objects.create(
                    feature_id=decision.feature_id, action=decision.action, mark=once, decision=decision
                )
    except Exhausted as error:
        raise ClearanceError("budget", "A budget has not enough left for this.", field="args") from error
    except IntegrityError as error:
        raise ClearanceError(
            "once_per", "This was permitted already; it may happen once.", field="args"
        ) from error


def _is_tighter(old: Prepared, new: Prepared) -> bool:
    """Every cost is no greater, one is less, and nothing changed but what costs are computed from."""
    if not new.costs or new.subject != old.subject or new.once != old.once:
        return False
    pairs = list(zip(old.costs, new.costs, strict=True))
    if any(after.amount > before.amount for before, after in pairs):
        return False
    if not any(after.amount < before.amount for before, after in pairs):
        return False
    counted = [budget.cost for budget in new.action.budget if budget.cost]
    changed = {one["path"] for one in differences(old.args, new.args)}
    return all(any(_reads(cost, path) for cost in counted) for path in changed)


def _reads(expression: str, path: str) -> bool:
    """Whether an expression reads a path such as `amount`."""
    return f"args.{path}" in paths_of(expression)
