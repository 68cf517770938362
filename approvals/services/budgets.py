"""Budgets: kept when an action is permitted, given back when it did not run. The sum never passes the limit, because
the row that holds it is changed only where the new sum is within it.
"""

import hashlib
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from django.db import connection

from approvals.judging import BudgetState, Prepared, limit_of
from approvals.models import BudgetKept, Decision
from features.policy import Budget, PolicyDocument

_KEEP = """
INSERT INTO approvals_budgetuse AS kept (feature_id, action, budget, begins_at, mark, used)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (feature_id, action, budget, begins_at, mark)
DO UPDATE SET used = kept.used + excluded.used WHERE kept.used + excluded.used <= %s
RETURNING id, used
"""
_LOCK = """
SELECT use.id FROM approvals_budgetuse use WHERE use.id = ANY(%s)
ORDER BY use.budget, use.begins_at, use.mark FOR UPDATE
"""
_BACK = "UPDATE approvals_budgetuse SET used = used - %s WHERE id = %s"


class Exhausted(Exception):
    """A budget has not enough left."""


class Kept(msgspec.Struct, frozen=True):
    """What was kept of one budget."""

    use: int
    amount: int


def begin_of(per: str, at: datetime, zone: str) -> datetime:
    """The beginning of the hour, day or week (from Monday) in which a moment lies, by the feature's clock on the wall:
    a day has 23 hours when clocks go forward.
    """
    local = at.astimezone(ZoneInfo(zone)).replace(minute=0, second=0, microsecond=0)
    if per == "hour":
        # The same hour of the wall comes twice when clocks go back; each is an hour of its own.
        return at.replace(minute=0, second=0, microsecond=0) if _whole_hours(local) else local
    local = local.replace(hour=0, fold=0)
    return local - timedelta(days=local.weekday()) if per == "week" else local


def _whole_hours(local: datetime) -> bool:
    offset = local.utcoffset() or timedelta()
    return offset % timedelta(hours=1) == timedelta()


def name_of(budget: Budget) -> str:
    """What a budget is known by: another limit is the same budget, another way to count is another."""
    how = hashlib.sha256(budget.cost.encode()).hexdigest()[:8] if budget.cost else "count"
    return f"{budget.per} {budget.by} {how}"


def keep(
    feature_id: UUID, policy: PolicyDocument, prepared: Prepared, subject: bytes, now: datetime
) -> tuple[list[Kept], BudgetState | None]:
    """Keep what the action costs of each of its budgets; returns also the one with the least left before. Raises
    Exhausted; the caller rolls back.
    """
    rows = []
    for cost in prepared.costs:
        budget = prepared.action.budget[cost.budget]
        begins = begin_of(budget.per, now, policy.feature.timezone)
        mark = subject if budget.by == "subject" else b""
        rows.append((name_of(budget), begins, mark, cost))
    kept, least = list[Kept](), None
    for name, begins, mark, cost in sorted(rows, key=lambda row: row[:3]):
        limit = limit_of(prepared.action, cost)
        if cost.amount > limit:
            raise Exhausted
        with connection.cursor() as cursor:
            cursor.execute(_KEEP, [feature_id, prepared.action.name, name, begins, mark, cost.amount, limit])
            found = cursor.fetchone()
        if found is None:
            raise Exhausted
        kept.append(Kept(found[0], cost.amount))
        state = BudgetState(found[1] - cost.amount, limit)
        if least is None or state.left < least.left:
            least = state
    return kept, least


def give_back(decision: Decision) -> None:
    """Give back what a decision keeps; again: nothing."""
    kept = list(BudgetKept.objects.filter(decision=decision))
    if not kept:
        return
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [[one.use_id for one in kept]])
        for one in kept:
            cursor.execute(_BACK, [one.amount, one.use_id])
    BudgetKept.objects.filter(decision=decision).delete()
