"""Reading a clearance.toml: every fault at once, each with its line, or the whole policy."""

import json
import math
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import chain
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from features.checks import faults_of_output_schema
from features.errors import ClearanceError
from features.policy.action_rules import action_faults, action_warnings
from features.policy.document import BUILT_IN_KINDS, MOST_ACTIONS, TIERS, PolicyDocument
from features.policy.examples import example_faults
from features.policy.positions import Path, Positions
from features.rules import TRACE, RuleFault, check_rule, compile_rule

_MOST_CHARACTERS = 256 * 1024
_EXACT = 2**53


class PolicyFault(msgspec.Struct, frozen=True, order=True):
    """One thing to mend."""

    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class UnreadablePolicy(ClearanceError):
    """A policy that is refused, with all that is wrong with it."""

    def __init__(self, faults: list[PolicyFault]) -> None:
        self.faults = sorted(set(faults))
        first = self.faults[0]
        super().__init__("invalid_policy", f"line {first.line}: {first}")


class Reading(msgspec.Struct, frozen=True):
    """A policy and what its author should know of it."""

    document: PolicyDocument
    warnings: list[PolicyFault]


def read_policy(text: str) -> Reading:
    """The policy that a TOML text says. Raises UnreadablePolicy with every fault and its line."""
    if len(text) > _MOST_CHARACTERS:
        raise UnreadablePolicy([PolicyFault(1, "", f"the file is over {_MOST_CHARACTERS} characters")])
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UnreadablePolicy([_syntax(text, error)]) from error
    except (RecursionError, ValueError) as error:
        raise UnreadablePolicy([PolicyFault(1, "", "the file is no TOML that can be read")]) from error
    where = Positions(text)
    faults: list[tuple[Path, str]] = list(_inexact(values, ()))
    document = None
    try:
        document = PolicyDocument.model_validate(values)
    except ValidationError as error:
        known = {path for path, _ in faults}
        said = (_said(one) for one in error.errors(include_url=False))
        faults += [(path, message) for path, message in said if path not in known]
    faults += action_faults(values)
    if document is not None:
        faults += _contradictions(document)
        faults += _check_faults(document)
    if document is not None and not faults:
        faults += example_faults(document)
    if document is None or faults:
        raise UnreadablePolicy([_fault(where, path, message) for path, message in faults])
    return Reading(document, sorted(_fault(where, path, said) for path, said in action_warnings(document)))


def _fault(where: Positions, path: Path, message: str) -> PolicyFault:
    written = ""
    for key in path:
        written += f"[{key}]" if isinstance(key, int) else f".{key}" if written else str(key)
    return PolicyFault(where.line(path), written, message)


def _syntax(text: str, error: tomllib.TOMLDecodeError) -> PolicyFault:
    """tomllib says `... (at line 3, column 5)`, or `(at end of document)`."""
    said, _, place = str(error).rpartition(" (at ")
    line = text.count("\n") + 1
    if place.startswith("line "):
        line = int(place.removeprefix("line ").partition(",")[0])
    return PolicyFault(line, "", f"this is no TOML: {said or error}")


def _inexact(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """What JSON cannot say, or not exactly."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _inexact(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _inexact(inner, (*path, at))
    elif isinstance(value, int) and abs(value) > _EXACT:
        yield path, "is too large for an exact number"
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, "must be a finite number"
    elif isinstance(value, str):
        if "\x00" in value:
            yield path, "must not hold NUL"
    elif not isinstance(value, int | float):
        yield path, "must be a string, a number, true, false, a list or a table"


_WORDS = {
    "missing": "is missing",
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes",
    "tuple_type": "must be a list in brackets",
    "dict_type": "must be a table",
    "model_type": "must be a table",
}


def _said(error: ErrorDetails) -> tuple[Path, str]:
    """(path, message) of one of pydantic's errors, in our words where they are clearer."""
    path = tuple(key for key in error["loc"] if key != "[key]")
    kind, context = error["type"], error.get("ctx", {})
    if kind in _WORDS:
        return path, _WORDS[kind]
    if kind == "extra_forbidden":
        names = _fields_at(path[:-1])
        near = get_close_matches(str(path[-1]), names, 1)
        return (
            path,
            f"is not known here; {f'did you mean {near[0]}?' if near else 'known: ' + ', '.join(names)}",
        )
    if kind == "literal_error":
        return path, f"must be one of {context['expected'].replace(chr(39), '')}"
    if kind == "value_error":
        return path, str(context["error"])
    if kind == "string_pattern_mismatch":
        if "[key]" in error["loc"]:
            return path, "must be named by small letters, digits and underscores"
        return path, f"must match {context['pattern']}"
    if kind == "too_long" and path == ("action",):
        return path, "are too many"
    return path, error["msg"].replace("Input should", "must").replace("String should", "must")


def _fields_at(path: Path) -> list[str]:
    """The names that a table at this path may have."""
    model: Any = PolicyDocument
    for key in path:
        if isinstance(key, str) and isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(key)
            model = _model_in(field.annotation if field else None)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _model_in(annotation: Any) -> Any:
    """The table inside an annotation such as tuple[Action, ...]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, getattr(annotation, "__args__", ()))), None)


def _contradictions(document: PolicyDocument) -> Iterator[tuple[Path, str]]:
    """Fields that are right alone and wrong together."""
    job = document.feature
    if not document.action:
        yield ("action",), "a policy allows 1 to 7 actions; this one allows none"
    elif len(document.action) > MOST_ACTIONS and not job.reason_for_more.strip():
        yield (
            ("action", MOST_ACTIONS),
            f"{len(document.action)} actions are more than {MOST_ACTIONS}: say why in feature.reason_for_more",
        )
    forbidden, seen = set(job.disallowed), set[str]()
    for at, action in enumerate(document.action):
        path: Path = ("action", at)
        if action.name in seen:
            yield (*path, "name"), f"{action.name} is allowed twice"
        seen.add(action.name)
        if action.name in forbidden:
            yield (*path, "name"), f"{action.name} is both allowed and disallowed"
        for n, one in enumerate(action.classes):
            if one in forbidden:
                yield (*path, "classes", n), f"{action.name} is allowed and its class {one} disallowed"
        if action.tier is not None and TIERS.index(action.tier) > TIERS.index(job.tier):
            yield (*path, "tier"), f"an action's tier may only be stricter than the feature's, {job.tier}"
        for n, budget in enumerate(action.budget):
            if budget.by == "subject" and action.subject is None:
                yield (*path, "budget", n, "by"), "needs the action's subject, which is not said"
    for kind in document.traces.patterns:
        if kind in BUILT_IN_KINDS:
            yield (
                ("traces", "patterns", kind),
                f"{kind} is the name of a kind that is always found; choose another",
            )
    for at, trigger in enumerate(document.trigger):
        bounds = (trigger.above, trigger.below, trigger.above_baseline, trigger.below_baseline)
        if sum(bound is not None for bound in bounds) != 1:
            yield ("trigger", at), "needs one bound: above, below, above_baseline or below_baseline"


_TAKEN_NAMES = frozenset({"disallowed_tool"})


def _check_faults(document: PolicyDocument) -> Iterator[tuple[Path, str]]:
    """What is wrong with the rules about traces."""
    if document.traces.success is not None:
        yield from _rule_fault(document.traces.success, ("traces", "success"))
    seen = set(_TAKEN_NAMES)
    for at, check in enumerate(document.check):
        path: Path = ("check", at)
        if check.name in seen:
            taken = check.name in _TAKEN_NAMES
            yield (
                (*path, "name"),
                f"{check.name} is {'what a rule of its own is called' if taken else 'declared twice'}",
            )
        seen.add(check.name)
        if check.rule is not None:
            yield from _rule_fault(check.rule, (*path, "rule"))
        if check.schema_ is not None:
            found = faults_of_output_schema(check.schema_)
            yield from (((*path, "schema", *inside), said) for inside, said in found)


def _rule_fault(text: str, path: Path) -> Iterator[tuple[Path, str]]:
    try:
        check_rule(text, {"trace": TRACE})
        compile_rule(text)
    except RuleFault as fault:
        yield path, str(fault)


def flattened(kept: dict[str, Any]) -> dict[str, str]:
    """A kept document as lines: path to value as JSON. Named things stand under their names, so that an order
    changed is no change of everything.
    """
    found: dict[str, str] = {}

    def put(value: Any, path: str) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                put(inner, f"{path}.{key}" if path else key)
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            for at, inner in enumerate(value):
                put(inner, f"{path}[{inner.get('name', at)}]")
        else:
            found[path] = json.dumps(value, ensure_ascii=False)

    put(kept, "")
    return found


class Change(msgspec.Struct, frozen=True):
    """A field that differs; None: it is not there."""

    path: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.path} = {self.after}"
        if self.after is None:
            return f"- {self.path} = {self.before}"
        return f"~ {self.path}: {self.before} -> {self.after}"


def changes(before: dict[str, Any] | None, after: dict[str, Any]) -> list[Change]:
    """What differs between two kept documents, in the order of the newer one; what is gone last."""
    old, new = flattened(before) if before else {}, flattened(after)
    return [
        Change(path, old.get(path), new.get(path))
        for path in dict.fromkeys(chain(new, old))
        if old.get(path) != new.get(path)
    ]
