"""What a policy says to one proposed action: a pure function of policy, arguments, context and what budgets hold.

Two steps, because a rule may read what is left of a budget, which is known only when the budget is locked: `prepare`
refuses or says what the action would use up, `answer` decides.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from features.policy import Action, PolicyDocument
from features.policy.document import Tier, tier_of
from features.policy.schemas import faults_of_arguments
from features.rules import compile_rule, is_decimal, paths_of, scaled

__all__ = ["Answer", "BudgetState", "Prepared", "Reason", "Refusal", "answer", "prepare"]

Code = Literal[
    "under_threshold",
    "over_threshold",
    "irreversible",
    "tier",
    "draft",
    "not_allowed",
    "disallowed",
    "schema",
    "budget",
    "once_per",
    "recently_rejected",
    "killed",
    "no_policy",
    "unavailable",
]
Answer = Literal["allow", "needs_approval", "deny"]
Retry = Literal["never", "after_change", "later"]
_MOST_FAULTS = 5
_LARGEST = 2**62
ONE = 10**6

RETRY: dict[str, Retry] = {
    "tier": "never",
    "draft": "never",
    "not_allowed": "never",
    "disallowed": "never",
    "schema": "after_change",
    "budget": "later",
    "once_per": "never",
    "recently_rejected": "later",
    "killed": "later",
    "no_policy": "later",
}


class Reason(msgspec.Struct, frozen=True):
    """Why, as the agent gets it: codes, never the limits."""

    code: Code
    detail: str


class Refusal(msgspec.Struct, frozen=True):
    """A deny."""

    reasons: tuple[Reason, ...]


class Cost(msgspec.Struct, frozen=True):
    """What an action takes of one of its budgets, in millionths of its unit."""

    budget: int  # its place in the action's list
    amount: int


class Prepared(msgspec.Struct, frozen=True):
    """An action that is not refused by itself."""

    action: Action
    tier: Tier
    args: dict[str, Any]
    context: dict[str, Any]
    subject: str | None
    once: str | None
    costs: tuple[Cost, ...]
    by_person: bool = False


class BudgetState(msgspec.Struct, frozen=True):
    """The budget with the least left, before this action; millionths."""

    spent: int
    limit: int

    @property
    def left(self) -> int:
        return self.limit - self.spent


def action_of(policy: PolicyDocument, name: str) -> Action | None:
    """The allowed action of that name."""
    return next((one for one in policy.action if one.name == name), None)


def _refuse(code: Code, *details: str) -> Refusal:
    return Refusal(tuple(Reason(code, detail) for detail in details))


def prepare(
    policy: PolicyDocument,
    name: str,
    args: dict[str, Any],
    context: dict[str, Any],
    *,
    by_person: bool = False,
) -> Prepared | Refusal:
    """What the action would use up, or why it is refused whatever budgets hold. What a person proposes as their own
    request is not held by the tier `draft`, and never runs without another's approval.
    """
    action = action_of(policy, name)
    forbidden = {name, *(action.classes if action else ())} & set(policy.feature.disallowed)
    if forbidden:
        return _refuse("disallowed", f"{min(forbidden)} is disallowed for this feature.")
    if action is None:
        return _refuse("not_allowed", "This action is not on the feature's list.")
    tier = tier_of(policy.feature, action)
    if action.effect == "read":
        if action.schema_ is not None and (faults := faults_of_arguments(action.schema_, args)):
            return _schema(faults)
        return Prepared(action, tier, args, context, None, None, (), by_person)
    if tier == "suggest":
        return _refuse("tier", "This feature only suggests; nothing that it proposes runs.")
    if faults := faults_of_arguments(action.schema_, args):
        return _schema(faults)
    if tier == "draft" and not by_person:
        return _refuse("draft", "Kept as a draft; a person may propose it.")
    subject, fault = _text(action.subject, args)
    if fault:
        return _refuse("schema", "The arguments do not say whom or what it is about.")
    once, fault = _text(action.once_per, args)
    if fault:
        return _refuse("schema", "The arguments do not say what this may happen once for.")
    costs = _costs(action, args)
    if isinstance(costs, Refusal):
        return costs
    return Prepared(action, tier, args, context, subject, once, costs, by_person)


def _schema(faults: list[tuple[str, str]]) -> Refusal:
    more = len(faults) - _MOST_FAULTS
    said = [f"{f'args.{path}' if path else 'args'} {fault}" for path, fault in faults[:_MOST_FAULTS]]
    return _refuse("schema", *said, *([f"and {more} more faults"] if more > 0 else []))


def _text(expression: str | None, args: dict[str, Any]) -> tuple[str | None, bool]:
    """(value of an expression as text, whether it could not be had)."""
    if expression is None:
        return None, False
    found = compile_rule(expression).value({"args": args})
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        return None, True
    # A number and its spelling are two values.
    return (found if isinstance(found, str) else f"\0{found}"), False


def _costs(action: Action, args: dict[str, Any]) -> tuple[Cost, ...] | Refusal:
    costs = []
    for at, budget in enumerate(action.budget):
        amount: Any = ONE
        if budget.cost is not None:
            amount = compile_rule(budget.cost).value({"args": args})
            if isinstance(amount, int) and not isinstance(amount, bool) and not is_decimal(budget.cost):
                amount *= ONE
        if isinstance(amount, bool) or not isinstance(amount, int) or not 0 < amount < _LARGEST:
            return _refuse("budget", "What this would cost is not a number above 0.")
        costs.append(Cost(at, amount))
    return tuple(costs)


def limit_of(action: Action, cost: Cost) -> int:
    """The limit of the budget that a cost is of, in millionths."""
    return scaled(action.budget[cost.budget].limit)


def answer(prepared: Prepared, budget: BudgetState | None) -> tuple[Answer, tuple[Reason, ...]]:
    """allow or needs_approval, and why."""
    action = prepared.action
    if prepared.by_person:
        own = Reason("draft", "A person proposed this as their own request; somebody else decides.")
        undone = (Reason("irreversible", "It cannot be undone."),) if action.effect == "irreversible" else ()
        return "needs_approval", (own, *undone)
    if action.effect == "read":
        return "allow", (Reason("under_threshold", "A read needs no approval."),)
    if action.effect == "irreversible":
        return "needs_approval", (Reason("irreversible", "It cannot be undone; a person decides."),)
    if prepared.tier == "execute_with_approval":
        return "needs_approval", (Reason("tier", "A person approves whatever this feature does."),)
    if action.under is None:
        return "needs_approval", (Reason("over_threshold", "No rule lets it run alone."),)
    if rule_holds(prepared, budget):
        return "allow", (Reason("under_threshold", "It is within what the feature may do alone."),)
    return "needs_approval", (Reason("over_threshold", "It is over what the feature may do alone."),)


def rule_holds(prepared: Prepared, budget: BudgetState | None) -> bool:
    """Whether the rule lets it run alone, both with the agent's context and without: what an agent says of itself
    never makes its action freer. What cannot be computed is over.
    """
    if prepared.action.under is None:
        return False
    rule = compile_rule(prepared.action.under)
    values: dict[str, Any] = {"args": prepared.args, "context": {}}
    if budget is not None:
        values["budget"] = {"left": budget.left, "spent": budget.spent, "limit": budget.limit}
    if not rule.ask(values).holds:
        return False
    return not prepared.context or rule.ask({**values, "context": prepared.context}).holds


def measured(action: Action, args: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the arguments that the action's rule reads, for the page that says why a person is asked."""
    if action.under is None:
        return {}
    read = {
        path.split(".")[1].partition("[")[0] for path in paths_of(action.under) if path.startswith("args.")
    }
    return {name: value for name, value in args.items() if name in read}
