"""The last 30 days' decisions judged once more by another policy: what would have been otherwise.

It illustrates and proves nothing: agents would have asked otherwise, and what depended on the moment (tools off, a
budget used up, a rejection just before) is not judged again. Budgets are counted anew from what the
other policy allows.
"""

from collections import defaultdict
from datetime import datetime, timedelta

import msgspec

from approvals.judging import BudgetState, Prepared, Refusal, answer, limit_of, prepare
from approvals.models import Decision
from approvals.proposal import open_proposal
from approvals.services.budgets import begin_of, name_of
from features.models import Feature
from features.policy import PolicyDocument

__all__ = ["MOST_DECISIONS", "Change", "Replay", "replay"]

DAYS = 30
MOST_DECISIONS = 3000
FEW = 20
# Denials of the moment, not of the policy.
_OF_THE_MOMENT = frozenset({"killed", "no_policy", "budget", "once_per", "recently_rejected", "unavailable"})
_Used = dict[tuple[str, str, datetime, str], int]


class Change(msgspec.Struct, frozen=True):
    """Decisions that would be answered otherwise, in the same way."""

    before: str
    after: str
    action: str
    why: str
    decisions: list[Decision]

    @property
    def frees(self) -> bool:
        """Whether the agent would have been freer."""
        rank = ("deny", "needs_approval", "allow")
        return rank.index(self.after) > rank.index(self.before)


class Replay(msgspec.Struct, frozen=True):
    """What another policy would have answered. n = `same` + those of `changes`."""

    since: datetime
    changes: list[Change]
    same: int
    moment: int  # denied for what was at the time
    erased: int  # whose arguments are no longer kept as they were proposed
    capped: bool  # there were more; these are the newest

    @property
    def judged(self) -> int:
        """How many were judged again."""
        return self.same + sum(len(change.decisions) for change in self.changes)

    @property
    def few(self) -> bool:
        """Whether there is too little history to say much."""
        return self.judged < FEW


def replay(feature: Feature, policy: PolicyDocument, now: datetime) -> Replay:
    """Judge the decisions of the last 30 days, the newest 3,000 of them, by a policy. Opens sealed arguments: only for
    a lead, and none of them is shown.
    """
    since = now - timedelta(days=DAYS)
    # What people proposed of drafts is none of the agent's asking.
    asked = Decision.objects.filter(feature=feature, created_at__gte=since, proposed_by=None)
    rows = asked.order_by("-created_at")
    found = list(rows[: MOST_DECISIONS + 1])
    groups: dict[tuple[str, str, str, str], list[Decision]] = defaultdict(list)
    used: _Used = {}
    same = moment = erased = 0
    for decision in reversed(found[:MOST_DECISIONS]):  # as time went
        if decision.answer == "deny" and decision.reasons[0]["code"] in _OF_THE_MOMENT:
            moment += 1
            continue
        # What an approver edited is no longer what the agent asked for.
        proposal = open_proposal(decision) if decision.revision == 1 else None
        if proposal is None:
            erased += 1
            continue
        after, why = _judged(
            policy, prepare(policy, decision.action, proposal.args, proposal.context), decision, used
        )
        if after == decision.answer:
            same += 1
        else:
            groups[decision.answer, after, decision.action, why].append(decision)
    changes = [Change(*key, decisions[::-1]) for key, decisions in groups.items()]
    changes.sort(key=lambda change: (not change.frees, -len(change.decisions)))
    return Replay(since, changes, same, moment, erased, len(found) > MOST_DECISIONS)


def _judged(
    policy: PolicyDocument, prepared: Prepared | Refusal, decision: Decision, used: _Used
) -> tuple[str, str]:
    """(answer, why); charges the budgets with what is not denied."""
    if isinstance(prepared, Refusal):
        return "deny", prepared.reasons[0].code
    charges, least = [], None
    for cost in prepared.costs:
        budget = prepared.action.budget[cost.budget]
        begins = begin_of(budget.per, decision.created_at, policy.feature.timezone)
        whose = (prepared.subject or "") if budget.by == "subject" else ""
        key = (decision.action, name_of(budget), begins, whose)
        state = BudgetState(used.get(key, 0), limit_of(prepared.action, cost))
        if cost.amount > state.left:
            return "deny", "budget"
        charges.append((key, cost.amount))
        if least is None or state.left < least.left:
            least = state
    said, reasons = answer(prepared, least)
    for key, amount in charges:
        used[key] = used.get(key, 0) + amount
    return said, reasons[0].code
