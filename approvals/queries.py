"""What pages read of decisions: my inbox, what others decide, what I just decided, what was like it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import Count, Q

from approvals.judging import ONE, action_of, limit_of, measured, prepare
from approvals.judging import Prepared as PreparedAction
from approvals.models import ApprovalRequest, BudgetUse, Decision, Execution, Grant, Question, Vote
from approvals.present import Argument, left_words, money, text_view, title_of
from approvals.presenting import state_of
from approvals.proposal import Proposal, open_proposal, open_words
from approvals.services.budgets import begin_of, name_of
from approvals.services.reading import facts_of
from features.clock import clock
from features.models import Feature, Person
from features.policy import Action, PolicyDocument, policy_of
from features.queries import roles_on
from traces.present.text import Piece, line

PAGE = 50
_SQL = {path.stem: path.read_text() for path in (Path(__file__).parent / "sql").glob("*.sql")}
# A figure beside a line of the navigation is read at a glance: more than this is "99+".
_MOST_COUNTED = 100
_OTHERS = 20
_RECENT = timedelta(hours=24)
_SETTLED = timedelta(minutes=10)


class Cursor(msgspec.Struct, frozen=True):
    """The last row of a page: where the next one begins."""

    irreversible: bool
    id: UUID

    def __str__(self) -> str:
        return f"{int(self.irreversible)}{self.id.hex}"


def read_cursor(text: str) -> Cursor | None:
    """The cursor of an address; None for none, or for what is none."""
    if len(text) != 33 or text[0] not in "01":
        return None
    try:
        return Cursor(text[0] == "1", UUID(hex=text[1:]))
    except ValueError:
        return None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A request as a line of the inbox. `amount` and `about` are empty for who may not read the arguments."""

    request: ApprovalRequest
    title: str
    amount: str
    about: list[Piece]
    why: str
    left: str
    hurry: bool
    state: str = ""
    votes: int = 0


class Inbox(msgspec.Struct, frozen=True, kw_only=True):
    """One page of what I may decide, and beside it what others do and what I just did."""

    mine: list[Item]
    next: str
    others: list[Item]
    decided: list[Item]
    mark: str  # changes when a line does


def pending_ids(
    person: Person, features: Sequence[Feature], limit: int, after: Cursor | None = None
) -> list[UUID]:
    """What the person may decide now: irreversible first, then the oldest. As fast for many as for few: each role
    reads its part of one index.
    """
    if not features:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            _SQL["inbox"],
            {
                "person": person.pk,
                "features": [feature.pk for feature in features],
                "limit": limit,
                "after": after.id if after else None,
                "after_irreversible": after.irreversible if after else True,
            },
        )
        return [row[0] for row in cursor.fetchall()]


def count_pending(person: Person, features: Sequence[Feature]) -> str:
    """How many wait for the person, as the navigation shows it."""
    count = len(pending_ids(person, features, _MOST_COUNTED))
    return f"{_MOST_COUNTED - 1}+!" if count >= _MOST_COUNTED else f"{count}!" if count else ""


def inbox(person: Person, features: Sequence[Feature], after: Cursor | None = None) -> Inbox:
    """The page of a person's inbox over these features."""
    now = clock()
    ids = pending_ids(person, features, PAGE + 1, after)
    mine = [_item(one, now, readable=True) for one in _requests(ids[:PAGE])]
    others = [_item(one, now, readable=False) for one in _others(person, features, set(ids))]
    decided = [] if after else just_decided(person, features, now)
    last = mine[-1].request if len(ids) > PAGE else None
    return Inbox(
        mine=mine,
        next=str(Cursor(last.irreversible, last.pk)) if last else "",
        others=others,
        decided=decided,
        mark=_mark([*mine, *others, *decided]),
    )


def _mark(items: Sequence[Item]) -> str:
    import hashlib

    said = " ".join(f"{one.request.pk} {one.request.revision} {one.state} {one.votes}" for one in items)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _requests(ids: Sequence[UUID]) -> list[ApprovalRequest]:
    found = ApprovalRequest.objects.select_related("decision__policy", "feature").in_bulk(ids)
    return [found[one] for one in ids if one in found]


def _others(person: Person, features: Sequence[Feature], mine: set[UUID]) -> list[ApprovalRequest]:
    """The newest that wait for somebody else, or for more people than me."""
    if not features:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            _SQL["others"],
            {"person": person.pk, "features": [feature.pk for feature in features], "limit": _OTHERS},
        )
        ids = [row[0] for row in cursor.fetchall()]
    return _requests([one for one in ids if one not in mine])


def just_decided(person: Person, features: Sequence[Feature], now: datetime) -> list[Item]:
    """What the person decided, until its execution has an outcome; what went wrong stays for a day."""
    votes = (
        Vote.objects.filter(
            person=person, at__gt=now - _RECENT, taken_back_at=None, request__feature__in=list(features)
        )
        .select_related("request__decision__policy", "request__feature")
        .order_by("-at")[:_OTHERS]
    )
    found = []
    for one in votes:
        state = stage_of(one.request, now)
        if state in ("succeeded", "rejected", "superseded") and now - one.at > _SETTLED:
            continue
        found.append(_item(one.request, now, readable=True, state=state))
    return found


def stage_of(request: ApprovalRequest, now: datetime) -> str:
    """How far it is: pending, a request's end, approved, running, succeeded, failed, unknown, never collected."""
    if request.state != "approved":
        facts = facts_of(request.feature_id, request.action)
        return state_of(request.decision, request, None, facts.epoch, now)
    execution = Execution.objects.filter(decision=request.decision_id).order_by("-started_at").first()
    if execution is not None:
        return "running" if execution.state == "started" else execution.state
    grant = grant_of(request.decision)
    if grant is None or grant.state == "revoked":
        return "revoked"
    return "never collected" if grant.state == "expired" or now >= grant.expires_at else "approved"


def _item(request: ApprovalRequest, now: datetime, *, readable: bool, state: str = "") -> Item:
    decision = request.decision
    proposal = open_proposal(decision) if readable else None
    policy = policy_of(decision.policy_id) if decision.policy_id else None
    seconds = (request.expires_at - now).total_seconds()
    whole = (request.expires_at - request.created_at).total_seconds()
    return Item(
        request=request,
        title=title_of(request.action),
        amount=amount_of(decision, proposal, policy),
        about=hint_of(decision, proposal, policy),
        why=why_of(decision),
        left=left_words(seconds),
        hurry=seconds < min(300, whole / 2),
        state=state,
        votes=Vote.objects.filter(
            request=request, revision=request.revision, vote="approve", taken_back_at=None
        ).count()
        if request.quorum > 1
        else 0,
    )


def why_of(decision: Decision) -> str:
    """The first reason, in words."""
    return str(decision.reasons[0]["detail"]) if decision.reasons else ""


def amount_of(decision: Decision, proposal: Proposal | None, policy: PolicyDocument | None) -> str:
    """What it costs of its first budget, as money where it is money; empty where nothing says."""
    action = action_of(policy, decision.action) if policy else None
    if proposal is None or action is None or policy is None:
        return ""
    if not action.budget or action.budget[0].cost is None:
        return ""
    cost = _cost_of_draft(policy, proposal) if decision.is_draft else decision.cost
    if cost is None:
        return ""
    currency = proposal.args.get("currency")
    if isinstance(currency, str) and len(currency) == 3 and currency.isascii() and currency.isupper():
        return money(cost, currency)
    return money(cost, policy.feature.currency if "money_movement" in action.classes else "")


def _cost_of_draft(policy: PolicyDocument, proposal: Proposal) -> int | None:
    """What it would cost if a person proposed it."""
    prepared = prepare(policy, proposal.action, proposal.args, proposal.context, by_person=True)
    costs = prepared.costs if isinstance(prepared, PreparedAction) else ()
    return costs[0].amount if costs else None


def about_of(decision: Decision, proposal: Proposal | None, policy: PolicyDocument | None) -> list[Piece]:
    """Whom or what it is about, on one line."""
    action = action_of(policy, decision.action) if policy else None
    if proposal is None or action is None or not action.subject or not action.subject.startswith("args."):
        return []
    value: Any = proposal.args
    for name in action.subject.removeprefix("args.").split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return line(str(value), 60) if isinstance(value, str | int) else []


def hint_of(decision: Decision, proposal: Proposal | None, policy: PolicyDocument | None) -> list[Piece]:
    """Whom or what it is about, on one line; where the policy declares no subject, the first text of the arguments that
    the schema names, so that lines of a list can be told apart.
    """
    if proposal is None or (found := about_of(decision, proposal, policy)):
        return found if proposal else []
    action = action_of(policy, decision.action) if policy else None
    names = (action.schema_ or {}).get("required", []) if action else []
    texts = (proposal.args.get(name) for name in [*names, *sorted(proposal.args)])
    text = next((one for one in texts if isinstance(one, str) and one.strip()), "")
    return line(text, 60) if text else []


def may_read(decision: Decision, role: str, person: Person) -> bool:
    """Whether the person may see what was proposed: who may decide on such things."""
    return role in roles_on(person, decision.feature)


# --- beside a request ------------------------------------------------------------------------------------


class BudgetLine(msgspec.Struct, frozen=True):
    """A budget as it stands now, this one kept."""

    words: str
    left: str
    limit: str


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision touches, and what was like it."""

    action: Action | None
    measured: list[tuple[str, str]]
    budgets: list[BudgetLine]
    same: list[tuple[Decision, str]]
    like: dict[str, int]
    like_n: int
    like_median: float | None


def beside(decision: Decision, proposal: Proposal | None, now: datetime) -> Beside:
    """What stands beside the proposal on its page."""
    policy = policy_of(decision.policy_id) if decision.policy_id else None
    action = action_of(policy, decision.action) if policy else None
    values = measured(action, proposal.args) if action and proposal else {}
    counts, n, median = like_this(decision)
    return Beside(
        action=action,
        measured=[(name, str(value)) for name, value in values.items()],
        budgets=_budgets(decision, proposal, policy, action, now) if policy and action else [],
        same=_same_subject(decision, now),
        like=counts,
        like_n=n,
        like_median=median,
    )


def _budgets(
    decision: Decision,
    proposal: Proposal | None,
    policy: PolicyDocument,
    action: Action,
    now: datetime,
) -> list[BudgetLine]:
    prepared = (
        prepare(policy, action.name, proposal.args, proposal.context, by_person=decision.by_person)
        if proposal
        else None
    )
    if not isinstance(prepared, PreparedAction):
        return []
    found = []
    for cost in prepared.costs:
        budget = action.budget[cost.budget]
        begins = begin_of(budget.per, now, policy.feature.timezone)
        mark = bytes(decision.subject_mark or b"") if budget.by == "subject" else b""
        used = (
            BudgetUse.objects.filter(
                feature=decision.feature_id,
                action=action.name,
                budget=name_of(budget),
                begins_at=begins,
                mark=mark,
            )
            .values_list("used", flat=True)
            .first()
        ) or 0
        limit = limit_of(action, cost)
        currency = policy.feature.currency if budget.cost and "money_movement" in action.classes else ""
        whose = "of this subject" if budget.by == "subject" else "of the feature"
        found.append(
            BudgetLine(
                f"left {whose} this {budget.per}",
                money(max(limit - used, 0), currency),
                money(limit, currency) + ("" if budget.cost else " times"),
            )
        )
    return found


def _same_subject(decision: Decision, now: datetime) -> list[tuple[Decision, str]]:
    if decision.subject_mark is None:
        return []
    found = (
        Decision.objects.filter(
            feature=decision.feature_id, action=decision.action, subject_mark=decision.subject_mark
        )
        .exclude(pk=decision.pk)
        .select_related("request")
        .order_by("-created_at")[:5]
    )
    return [(one, decision_state(one, now)) for one in found]


def grant_of(decision: Decision) -> Grant | None:
    """The newest permission of a decision."""
    return Grant.objects.filter(decision=decision).order_by("-made_at").first()


def decision_state(decision: Decision, now: datetime) -> str:
    """A decision's state as its agent would get it, its execution's where it ran; a draft's: draft or proposed."""
    if decision.is_draft:
        return "proposed" if proposal_of(decision) else "draft"
    execution = Execution.objects.filter(decision=decision).order_by("-started_at").first()
    if execution is not None:
        return "running" if execution.state == "started" else execution.state
    request = ApprovalRequest.objects.filter(decision=decision).first()
    epoch = facts_of(decision.feature_id, decision.action).epoch
    return state_of(decision, request, grant_of(decision), epoch, now)


def proposal_of(draft: Decision) -> Decision | None:
    """What a person proposed of a draft."""
    return (
        Decision.objects.filter(draft=draft)
        .select_related("proposed_by", "request", "feature", "policy")
        .first()
    )


def drafts_of(
    features: Sequence[Feature], which: str, before: UUID | None = None, limit: int = PAGE
) -> list[Decision]:
    """Drafts, the newest first: `open` that can be proposed, `proposed`, or empty for all of them."""
    found = Decision.objects.filter(feature__in=list(features), is_draft=True)
    if which == "open":
        found = found.filter(proposal__isnull=True, sealed__isnull=False)
    elif which == "proposed":
        found = found.filter(proposal__isnull=False)
    if before is not None:
        found = found.filter(pk__lt=before)
    return list(found.select_related("feature", "policy").order_by("-id")[:limit])


def count_drafts(features: Sequence[Feature]) -> str:
    """How many drafts are open, as a button shows it; empty for none."""
    found = Decision.objects.filter(
        feature__in=list(features), is_draft=True, proposal__isnull=True, sealed__isnull=False
    )[:_MOST_COUNTED]
    count = len(found.values_list("pk"))
    return f"{_MOST_COUNTED - 1}+" if count >= _MOST_COUNTED else str(count or "")


def role_to_decide(decision: Decision, request: ApprovalRequest | None, policy: PolicyDocument | None) -> str:
    """Who may decide on it, and so may read what was proposed."""
    if request is not None:
        return request.role
    action = action_of(policy, decision.action) if policy else None
    return action.approvers if action else "approver"


def like_this(decision: Decision) -> tuple[dict[str, int], int, float | None]:
    """(how the ten latest requests of the same action ended, how many those are, median seconds to decide)."""
    found = list(
        ApprovalRequest.objects.filter(feature=decision.feature_id, action=decision.action)
        .exclude(decision=decision)
        .exclude(state="pending")
        .order_by("-created_at")[:10]
    )
    counts: dict[str, int] = {}
    for one in found:
        word = "edited" if one.state == "approved" and one.revision > 1 else one.state
        counts[word] = counts.get(word, 0) + 1
    took = sorted(
        (one.decided_at - one.created_at).total_seconds()
        for one in found
        if one.decided_at and one.state in ("approved", "rejected")
    )
    median = (took[(len(took) - 1) // 2] + took[len(took) // 2]) / 2 if took else None
    return counts, len(found), median


def votes_of(request: ApprovalRequest) -> list[Vote]:
    """All votes, the oldest first; those taken back too."""
    return list(Vote.objects.filter(request=request).select_related("person").order_by("at"))


class Asked(msgspec.Struct, frozen=True):
    """A question with its answer; None: erased, or not answered."""

    question: Question
    text: Argument | None
    answer: Argument | None


def questions_of(request: ApprovalRequest) -> list[Asked]:
    """All questions, the oldest first, opened."""
    rows = Question.objects.filter(request=request).select_related("person", "answered_by").order_by("id")
    return [Asked(one, _opened(one, one.sealed), _opened(one, one.answer_sealed)) for one in rows]


def _opened(question: Question, sealed: bytes | memoryview | None) -> Argument | None:
    text = open_words(bytes(sealed) if sealed else None, question.pk)
    return text_view(text) if text is not None else None


def count_questions(request: ApprovalRequest) -> tuple[int, int]:
    """(questions, those that are answered)."""
    found = Question.objects.filter(request=request).aggregate(n=Count("pk"), answered=Count("answered_at"))
    return found["n"], found["answered"]


def undo_until(request: ApprovalRequest, person: Person, now: datetime) -> datetime | None:
    """Until when the person can take their approval back; None: they cannot."""
    mine = Vote.objects.filter(
        request=request, revision=request.revision, person=person, vote="approve", taken_back_at=None
    ).first()
    if mine is None:
        return None
    if request.state == "pending":
        return request.expires_at
    grant = Grant.objects.filter(decision=request.decision_id, state="ready").first()
    return grant.ready_at if grant is not None and now < grant.ready_at else None


def neighbours(person: Person, request: ApprovalRequest) -> tuple[int, int, UUID | None, UUID | None]:
    """(place of the request among the first fifty of its person, how many those are, the one before, the one after)."""
    from features.queries import features_for

    ids = pending_ids(person, list(features_for(person)), PAGE)
    if request.pk not in ids:
        return 0, len(ids), None, ids[0] if ids else None
    at = ids.index(request.pk)
    return at + 1, len(ids), ids[at - 1] if at else None, ids[at + 1] if at + 1 < len(ids) else None


def decisions_of(
    features: Sequence[Feature], wanted: Q, before: UUID | None, limit: int = PAGE
) -> list[Decision]:
    """Decisions, the newest first."""
    found = Decision.objects.filter(wanted, feature__in=list(features))
    if before is not None:
        found = found.filter(pk__lt=before)
    return list(found.select_related("feature", "policy", "request").order_by("-id")[:limit])


def millionths(value: int) -> str:
    """A budget's figure without a currency."""
    return f"{value / ONE:g}"
