"""What is wrong with the expressions of actions, and what their author should know of them."""

from collections.abc import Iterator
from typing import Any

from features.policy.document import Action, PolicyDocument
from features.policy.schemas import Fault, Path, faults_of_schema, loose_patterns
from features.rules import RuleFault, compile_rule
from features.rules.arguments import faults_of_expression, may_be_negative, reads_without_has

_EXPRESSIONS = ("under", "subject", "once_per")
_CONTEXT_WORDS = (
    "is the agent's own word and may be missing, and then a person decides: ask has({path}) first to say what else"
    " holds; it never makes an action freer"
)


def action_faults(values: dict[str, Any]) -> list[Fault]:
    """What is wrong with schemas and expressions of actions as they are written, whatever else is wrong: each
    expression against the schema of its action, where that can be read.
    """
    actions = values.get("action")
    found: list[Fault] = []
    for at, action in enumerate(actions if isinstance(actions, list) else []):
        if isinstance(action, dict):
            found += _faults_of(action, ("action", at))
    return found


def _faults_of(action: dict[str, Any], path: Path) -> Iterator[Fault]:
    schema = action.get("schema")
    if isinstance(schema, dict):
        faults = faults_of_schema(schema)
        yield from (((*path, "schema", *inside), said) for inside, said in faults)
        if faults:
            return
    elif schema is not None:
        return
    budgets = action.get("budget")
    budgets = [one for one in budgets if isinstance(one, dict)] if isinstance(budgets, list) else []
    for field in _EXPRESSIONS:
        yield from _expression(action.get(field), schema, field, (*path, field), bool(budgets))
    for at, budget in enumerate(budgets):
        yield from _expression(budget.get("cost"), schema, "cost", (*path, "budget", at, "cost"))


def _expression(text: Any, schema: Any, field: str, path: Path, budgets: bool = False) -> Iterator[Fault]:
    if not isinstance(text, str) or not text.strip():
        return
    faults = faults_of_expression(text, schema, field, budgets)
    if not faults:
        try:
            compile_rule(text)
        except RuleFault as fault:
            faults = [str(fault)]
    yield from ((path, said) for said in faults)


def action_warnings(document: PolicyDocument) -> Iterator[Fault]:
    """What is allowed and should be known."""
    for at, action in enumerate(document.action):
        path: Path = ("action", at)
        if action.under is not None:
            yield from _rule_warnings(action, (*path, "under"))
        for n, budget in enumerate(action.budget):
            if budget.cost is not None:
                for negative in may_be_negative(budget.cost, action.schema_):
                    yield (
                        (*path, "budget", n, "cost"),
                        _negative_words(negative, "what costs 0 or less is denied"),
                    )
        if action.schema_ is not None:
            for inside, said in loose_patterns(action.schema_):
                yield (*path, "schema", *inside), said


def _rule_warnings(action: Action, path: Path) -> Iterator[Fault]:
    rule = action.under or ""
    if action.effect != "reversible":
        why = "a read needs no decision" if action.effect == "read" else "it always needs approval"
        yield path, f"changes nothing: {action.name} is {action.effect}, {why}"
        return
    if not action.budget and action.once_per is None:
        yield path, f"many small ones are one big one: {action.name} has neither a budget nor once_per"
    for read in reads_without_has(rule):
        yield path, f"{read} {_CONTEXT_WORDS.replace('{path}', read)}"
    for negative in may_be_negative(rule, action.schema_):
        if not any(budget.cost for budget in action.budget):
            yield path, _negative_words(negative, "what is below 0 is under any limit")


def _negative_words(path: str, what: str) -> str:
    if path == "-":
        return f"calculates with -, so it may be negative; {what}"
    mend = r"give it a pattern such as ^[0-9]{1,9}\.[0-9]{2}$ or a minimum"
    return f"{path} may be negative by the schema; {what}: {mend}"
