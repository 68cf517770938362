"""Which changes of a policy take something from the agent, and which may give it something.

The list of narrowings is closed: a tier, a threshold or a budget down, an action removed, a quorum up, a ttl down, a
name added to disallowed, retention down, stricter PII. Whatever is not provably one of these widens, and needs a
second person.
"""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from features.policy.document import TIERS, Action, Budget, PolicyDocument, seconds, tier_of
from features.rules import RuleFault
from features.rules.tree import bare, literal_of, tree_of

__all__ = ["Effect", "effects", "widenings"]

_PII = ("keep", "tokenise", "drop")  # from the freest to the strictest
_NOT_LISTED = "not on the list of narrowings"


class Effect(msgspec.Struct, frozen=True):
    """One change: where it is, whether it widens, and why so."""

    path: str
    widens: bool
    why: str


def widenings(before: PolicyDocument | None, after: PolicyDocument) -> list[Effect]:
    """The changes from one policy to the next for which a second person is needed; none: all of them narrow, or
    nothing changed.
    """
    return [effect for effect in effects(before, after) if effect.widens]


def effects(before: PolicyDocument | None, after: PolicyDocument) -> list[Effect]:
    """Each change of meaning, in the order of the file."""
    if before is None:
        return [Effect("", True, "it is the feature's first policy")]
    return [
        *_feature(before, after),
        *_actions(before, after),
        *_changed("limits", before.limits, after.limits),
        *_traces(before, after),
        *_changed("reviews", before.reviews, after.reviews),
        *_whole("check", before.check, after.check),
        *_whole("trigger", before.trigger, after.trigger),
    ]


def _widens(path: str, why: str = _NOT_LISTED) -> Effect:
    return Effect(path, True, why)


def _narrows(path: str, why: str) -> Effect:
    return Effect(path, False, why)


def _lower(path: str, before: float, after: float, what: str) -> Iterator[Effect]:
    """A figure of which less is narrower."""
    if after < before:
        yield _narrows(path, f"{what} down")
    elif after > before:
        yield _widens(path, f"{what} up")


def _whole(path: str, before: Any, after: Any) -> Iterator[Effect]:
    if before != after:
        yield _widens(path)


def _changed(path: str, before: Any, after: Any, but: tuple[str, ...] = ()) -> Iterator[Effect]:
    """The fields of a table that differ; each widens."""
    for name, field in type(before).model_fields.items():
        if name not in but and getattr(before, name) != getattr(after, name):
            yield _widens(f"{path}.{field.alias or name}")


def _feature(before: PolicyDocument, after: PolicyDocument) -> Iterator[Effect]:
    old, new = before.feature, after.feature
    yield from _changed("feature", old, new, ("tier", "disallowed"))
    yield from _lower("feature.tier", TIERS.index(old.tier), TIERS.index(new.tier), "tier")
    for name in sorted(set(new.disallowed) - set(old.disallowed)):
        yield _narrows("feature.disallowed", f"{name} disallowed")
    for name in sorted(set(old.disallowed) - set(new.disallowed)):
        yield _widens("feature.disallowed", f"{name} no longer disallowed")


def _traces(before: PolicyDocument, after: PolicyDocument) -> Iterator[Effect]:
    old, new = before.traces, after.traces
    yield from _changed("traces", old, new, ("pii", "retention_days"))
    if old.pii != new.pii:
        stricter = _PII.index(new.pii) > _PII.index(old.pii)
        yield Effect("traces.pii", not stricter, "stricter" if stricter else "less strict")
    yield from _lower("traces.retention_days", old.retention_days, new.retention_days, "retention")


def _actions(before: PolicyDocument, after: PolicyDocument) -> Iterator[Effect]:
    old = {action.name: action for action in before.action}
    new = {action.name: action for action in after.action}
    for name, action in new.items():
        path = f"action[{name}]"
        if name not in old:
            yield _widens(path, "another action")
        else:
            tiers = [tier_of(job, one) for one, job in ((old[name], before.feature), (action, after.feature))]
            if old[name].tier != action.tier:
                up = TIERS.index(tiers[1]) > TIERS.index(tiers[0])
                yield Effect(f"{path}.tier", up, "tier up" if up else "tier down, or the same in effect")
            yield from _action(path, old[name], action)
    for name in old:
        if name not in new:
            yield _narrows(f"action[{name}]", "action removed")


def _action(path: str, old: Action, new: Action) -> Iterator[Effect]:
    own = ("tier", "under", "quorum", "ttl", "grant_ttl", "budget", "example")
    yield from _changed(path, old, new, own)
    yield from _under(f"{path}.under", old.under, new.under)
    if new.quorum != old.quorum:
        up = new.quorum > old.quorum
        yield Effect(f"{path}.quorum", not up, "quorum up" if up else "quorum down")
    for field in ("ttl", "grant_ttl"):
        times = (seconds(getattr(old, field)), seconds(getattr(new, field)))
        yield from _lower(f"{path}.{field}", *times, field)
    rules = (old.under or "") + (new.under or "")
    yield from _budgets(f"{path}.budget", old.budget, new.budget, "budget" in rules)


def _budgets(path: str, old: tuple[Budget, ...], new: tuple[Budget, ...], read: bool) -> Iterator[Effect]:
    """`read`: a rule names a budget, so that less of one may make the rule true."""
    for at, budget in enumerate(new):
        if at >= len(old):
            yield Effect(f"{path}[{at}]", read, "another budget")
            continue
        before = old[at]
        if (before.cost, before.per, before.by) != (budget.cost, budget.per, budget.by):
            yield _widens(f"{path}[{at}]", "another budget in its place")
        elif read and Decimal(before.limit) != Decimal(budget.limit):
            yield _widens(f"{path}[{at}].limit", "the rule reads the budget")
        else:
            yield from _budget_limit(f"{path}[{at}].limit", Decimal(before.limit), Decimal(budget.limit))
    for at in range(len(new), len(old)):
        yield _widens(f"{path}[{at}]", "budget removed")


def _budget_limit(path: str, before: Decimal, after: Decimal) -> Iterator[Effect]:
    if after != before:
        up = after > before
        yield Effect(path, up, "budget up" if up else "budget down")


# --- rules ------------------------------------------------------------------------------------------------


def _under(path: str, old: str | None, new: str | None) -> Iterator[Effect]:
    if old == new:
        return
    if new is None:
        yield _narrows(path, "no longer runs alone")
    elif old is None:
        yield _widens(path, "runs alone under a rule")
    else:
        try:
            steps = [_step(one, other) for one, other in _pairs(tree_of(old), tree_of(new))]
        except (RuleFault, _Otherwise):
            yield _widens(path, "another rule")
            return
        if any(step > 0 for step in steps):
            yield _widens(path, "threshold up")
        elif any(steps):
            yield _narrows(path, "threshold down")


class _Otherwise(Exception):
    """The rules differ by more than thresholds."""


def _pairs(old: Any, new: Any) -> list[tuple[Any, Any]]:
    """The parts of two conjunctions, one by one."""
    olds, news = _conjuncts(old), _conjuncts(new)
    if len(olds) != len(news):
        raise _Otherwise
    return list(zip(olds, news, strict=True))


def _conjuncts(node: Any) -> list[Any]:
    node = bare(node)
    if node.data == "conditionaland" and len(node.children) == 2:
        return [*_conjuncts(node.children[0]), *_conjuncts(node.children[1])]
    return [node]


def _step(old: Any, new: Any) -> int:
    """-1 where a limit went down, 1 where it went up, 0 where nothing differs. Raises _Otherwise for the rest."""
    if _said(old) == _said(new):
        return 0
    sides = [_limit(node) for node in (old, new)]
    if None in sides:
        raise _Otherwise
    (what, before), (other, after) = sides[0], sides[1]  # type: ignore[misc]
    if what != other:
        raise _Otherwise
    return (after > before) - (after < before)


def _limit(node: Any) -> tuple[str, Decimal] | None:
    """(`what <=` in one spelling, the figure) of a part that holds something under a literal; None for another."""
    if node.data != "relation" or len(node.children) != 2:
        return None
    operator = node.children[0]
    if operator.data not in ("relation_le", "relation_lt"):
        return None
    right = bare(node.children[1])
    if right.data == "ident_arg" and str(right.children[0]) == "decimal" and len(right.children) > 1:
        kind, written = "decimal", literal_of(right.children[1].children[0])
    else:
        kind, written = "number", literal_of(node.children[1])
    if written is None:
        return None
    try:
        figure = Decimal(written.strip("\"'"))
    except InvalidOperation:
        return None
    if not figure.is_finite():
        return None
    return f"{_said(operator)} {kind}", figure


def _said(node: Any) -> str:
    """A tree in one spelling: spaces and needless brackets say nothing."""
    if not hasattr(node, "children"):
        return str(node)
    found = bare(node)
    return f"({found.data} {' '.join(_said(child) for child in found.children)})"
