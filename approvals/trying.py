"""What a policy would answer to an action, and why: for whoever writes it. Nothing is kept or used up."""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from approvals.judging import (
    Answer,
    BudgetState,
    Prepared,
    Reason,
    Refusal,
    action_of,
    answer,
    limit_of,
    prepare,
)
from features.policy import PolicyDocument
from features.policy.words import words_of
from features.rules import compile_rule, paths_of

__all__ = ["Tried", "judge", "try_action", "untouched"]

_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_LONGEST = 200
_ABSENT = object()


class Measured(msgspec.Struct, frozen=True):
    """What the rule read."""

    path: str
    value: str | None  # None: it is not there


class Tried(msgspec.Struct, frozen=True):
    """The answer with what led to it."""

    answer: Answer
    reasons: tuple[Reason, ...]
    rule: str | None = None
    words: str | None = None
    measured: list[Measured] = []
    fault: str | None = None  # why the rule could not be asked
    stricter: bool = False  # what the agent says of itself made it stricter


def try_action(policy: PolicyDocument, name: str, args: dict[str, Any], context: dict[str, Any]) -> Tried:
    """The answer as it would be with budgets untouched, nothing rejected lately and tools on."""
    prepared = prepare(policy, name, args, context)
    action = action_of(policy, name)
    rule = action.under if action and action.effect == "reversible" else None
    if isinstance(prepared, Refusal):
        return Tried("deny", prepared.reasons, rule)
    budget = untouched(prepared)
    if budget is not None and budget.left < 0:
        return Tried("deny", (Reason("budget", "It costs more than a whole budget."),), rule)
    said, reasons = answer(prepared, budget)
    if rule is None:
        return Tried(said, reasons)
    values: dict[str, Any] = {"args": args, "context": context}
    if budget is not None:
        values["budget"] = {"left": budget.left, "spent": budget.spent, "limit": budget.limit}
    without = compile_rule(rule).ask({**values, "context": {}})
    within = compile_rule(rule).ask(values) if context else without
    return Tried(
        said,
        reasons,
        rule,
        words_of(rule),
        [_measured(path, values) for path in sorted(paths_of(rule)) if "." in path],
        without.fault or within.fault,
        without.holds and not within.holds,
    )


def untouched(prepared: Prepared) -> BudgetState | None:
    """The budget with the least left as if none were used; less than nothing left: it costs more than there is."""
    least: BudgetState | None = None
    for cost in prepared.costs:
        limit = limit_of(prepared.action, cost)
        state = BudgetState(limit + 1 if cost.amount > limit else 0, limit)
        if least is None or state.left < least.left:
            least = state
    return least


def judge(
    policy: PolicyDocument, name: str, args: Mapping[str, Any], context: Mapping[str, Any]
) -> tuple[str, str]:
    """(answer, why), for the kept examples of a policy."""
    tried = try_action(policy, name, dict(args), dict(context))
    return tried.answer, " ".join(reason.detail for reason in tried.reasons)


def _measured(path: str, values: Mapping[str, Any]) -> Measured:
    if path.startswith("budget."):
        millionths = values.get("budget", {}).get(path.removeprefix("budget."))
        return Measured(
            path, None if millionths is None else f"{millionths / 10**6:f}".rstrip("0").rstrip(".")
        )
    found: Any = values.get(path.partition(".")[0].partition("[")[0], _ABSENT)
    for name, index in _STEP.findall(path):
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and index and int(index) < len(found):
            found = found[int(index)]
        else:
            return Measured(path, None)
    return Measured(path, json.dumps(found, ensure_ascii=False)[:_LONGEST])
