"""JSON Schemas of arguments: valid, closed, with keywords that are known and patterns that end in time."""

import json
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from typing import Any, cast

import re2
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from features.rules.arguments import resolved

Path = tuple[str | int, ...]
Fault = tuple[Path, str]

_ONE = ("items", "contains", "not", "if", "then", "else", "propertyNames", "unevaluatedItems")
_LIST = ("prefixItems", "allOf", "anyOf", "oneOf")
_NAMED = ("properties", "patternProperties", "$defs", "dependentSchemas")
# JSON Schema 2020-12: validation, applicators, metadata. An unknown keyword would be ignored in silence, and
# what it was meant to forbid would be allowed.
_KEYWORDS = frozenset(
    "$schema $id $ref $defs $comment type enum const multipleOf maximum exclusiveMaximum minimum exclusiveMinimum "
    "maxLength minLength pattern maxItems minItems uniqueItems maxContains minContains maxProperties minProperties "
    "required dependentRequired format title description default deprecated readOnly writeOnly examples "
    "additionalProperties unevaluatedProperties".split()
).union(_ONE, _LIST, _NAMED)
_DEPTH = 16


def faults_of_schema(schema: dict[str, Any]) -> list[Fault]:
    """What is wrong with a schema of arguments, each with the path inside of it."""
    faults = list(_walk(schema, ()))
    if not faults:
        faults += _reference_faults(schema)
    if not faults and schema.get("type") != "object":
        faults.append((("type",), 'must be "object": arguments are an object'))
    if not faults:
        # Its metaschema says the rest: types of keywords, forms of their values.
        check = cast(Validator, Draft202012Validator(Draft202012Validator.META_SCHEMA))
        faults = [(tuple(error.absolute_path), error.message[:200]) for error in check.iter_errors(schema)]
    return faults


def _walk(schema: Any, path: Path) -> Iterator[Fault]:
    if isinstance(schema, bool):
        if schema:
            yield path, "must say what it allows: true allows anything"
        return
    if not isinstance(schema, dict):
        yield path, "must be a schema"
        return
    if len(path) > _DEPTH * 2:
        yield path, f"is nested over {_DEPTH} deep"
        return
    for keyword in schema:
        if keyword not in _KEYWORDS:
            near = get_close_matches(keyword, _KEYWORDS, 1)
            yield (
                (*path, keyword),
                f"is no keyword of JSON Schema{f'; did you mean {near[0]}?' if near else ''}",
            )
    if path and "$id" in schema:
        yield (*path, "$id"), "stands only at the top: below it, $ref would point elsewhere"
    if "patternProperties" in schema and "unevaluatedProperties" in schema:
        yield (
            (*path, "unevaluatedProperties"),
            "is not known beside patternProperties; schemas are closed anyway",
        )
    reference = schema.get("$ref", "#")
    if not isinstance(reference, str) or not reference.startswith("#"):
        yield (*path, "$ref"), "must point into this schema: #/$defs/..."
    if schema.get("additionalProperties", False) is not False:
        yield (*path, "additionalProperties"), "must be false: schemas of arguments are closed"
    if (pattern := schema.get("pattern")) is not None:
        yield from _pattern(pattern, (*path, "pattern"))
    yield from _required(schema, path)
    for name in _as(dict, schema.get("patternProperties")):
        yield from _pattern(name, (*path, "patternProperties", name))
    for step, inner in _inside(schema):
        yield from _walk(inner, (*path, *step))


def _inside(schema: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    """The schemas that stand in a schema, each with the way to it."""
    for keyword in _ONE:
        if keyword in schema:
            yield (keyword,), schema[keyword]
    for keyword in _LIST:
        for at, inner in enumerate(_as(list, schema.get(keyword))):
            yield (keyword, at), inner
    for keyword in _NAMED:
        for name, inner in _as(dict, schema.get(keyword)).items():
            yield (keyword, name), inner


_MOST_PARTS = 2000


def _reference_faults(schema: dict[str, Any]) -> Iterator[Fault]:
    """References that point at nothing or, by whatever way, at themselves; schemas that unfold into too much."""
    known: dict[str, int] = {}
    sound = True
    for path, reference in _references(schema, ()):
        if not isinstance(resolved(reference, schema), dict):
            sound = False
            yield (*path, "$ref"), f"points at {reference}, which this schema does not have"
    for path, reference in _references(schema, ()) if sound else ():
        try:
            _parts(resolved(reference, schema), schema, frozenset({reference}), known)
        except _Round:
            sound = False
            yield (*path, "$ref"), "points at itself; arguments do not go on for ever"
    if sound and _parts(schema, schema, frozenset({"#"}), known) > _MOST_PARTS:
        yield (), f"unfolds into over {_MOST_PARTS} parts: judging arguments by it could take long"


class _Round(Exception):
    """A reference leads back to itself."""


def _references(schema: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if not isinstance(schema, dict) or len(path) > _DEPTH * 2:
        return
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        yield path, reference
    for step, inner in _inside(schema):
        yield from _references(inner, (*path, *step))


def _parts(schema: Any, root: dict[str, Any], seen: frozenset[str], known: dict[str, int]) -> int:
    """How many schemas stand in a schema once its references are unfolded. Raises _Round where that has no end."""
    if not isinstance(schema, dict):
        return 1
    found = 1 + sum(_parts(inner, root, seen, known) for step, inner in _inside(schema) if step[0] != "$defs")
    if isinstance(reference := schema.get("$ref"), str):
        if reference in seen:
            raise _Round
        if reference not in known:
            known[reference] = _parts(resolved(reference, root), root, seen | {reference}, known)
        found += known[reference]
    return found


def _as(kind: type, value: Any) -> Any:
    """The value where it is of its kind; the metaschema refuses it where not."""
    return value if isinstance(value, kind) else kind()


def _required(schema: dict[str, Any], path: Path) -> Iterator[Fault]:
    required = schema.get("required")
    if not isinstance(required, list) or "properties" not in schema:
        return
    for name in required:
        if isinstance(name, str) and name not in _as(dict, schema["properties"]):
            yield (*path, "required"), f"names {name}, which properties does not have"


def _pattern(pattern: Any, path: Path) -> Iterator[Fault]:
    if not isinstance(pattern, str):
        yield path, "must be a string"
    elif problem := fault_of_pattern(pattern):
        yield path, problem


def fault_of_pattern(pattern: str) -> str | None:
    """What RE2 says against a pattern; None: nothing."""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        said = said.decode() if isinstance(said, bytes) else str(said)
        return f"is no pattern of RE2: {said}"
    return None


def loose_patterns(schema: dict[str, Any]) -> Iterator[Fault]:
    """Keywords that hold less than they seem to: a pattern that looks at a part of the text, a format."""

    def walk(value: Any, path: Path) -> Iterator[Fault]:
        if not isinstance(value, dict):
            return
        pattern = value.get("pattern")
        if isinstance(pattern, str) and not (
            pattern.startswith(("^", "\\A")) and pattern.endswith(("$", "\\z"))
        ):
            yield (*path, "pattern"), "looks for a part of the text; write ^...$ around it to hold all of it"
        if "format" in value:
            yield (*path, "format"), "says something and checks nothing; write a pattern"
        for step, inner in _inside(value):
            yield from walk(inner, (*path, *step))

    return walk(schema, ())


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with `additionalProperties: false` wherever an object is described."""
    found: dict[str, Any] = dict(schema)
    for keyword in _ONE:
        if isinstance(found.get(keyword), dict):
            found[keyword] = closed(found[keyword])
    for keyword in _LIST:
        if keyword in found:
            found[keyword] = [closed(inner) if isinstance(inner, dict) else inner for inner in found[keyword]]
    for keyword in _NAMED:
        if keyword in found:
            found[keyword] = {
                name: closed(inner) if isinstance(inner, dict) else inner
                for name, inner in found[keyword].items()
            }
    if found.get("type") == "object" or "properties" in found:
        found.setdefault("additionalProperties", False)
    return found


# --- arguments against their schema -----------------------------------------------------------------------

NO_ARGUMENTS: dict[str, Any] = {"type": "object", "additionalProperties": False}
_MOST_SAID = 20


def argument_validator(schema: dict[str, Any]) -> Validator:
    """What judges arguments by a schema that was read with a policy: patterns are RE2's, in which `$` is the end of
    the text and `\\d` a digit of ASCII; numbers are no booleans; an object that is described is closed.
    """
    return cast(Validator, _Exact(closed(schema)))


def faults_of_arguments(schema: dict[str, Any] | None, args: dict[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with arguments, as (path, message), none for right ones. No message repeats a value of theirs.
    Without a schema an action takes no arguments.
    """
    errors = _validator(json.dumps(NO_ARGUMENTS if schema is None else schema)).iter_errors(args)
    found = [_argument_fault(error) for error in islice(errors, _MOST_SAID)]
    return sorted(dict.fromkeys(found))


@lru_cache(maxsize=256)
def _validator(schema: str) -> Validator:
    return argument_validator(json.loads(schema))


def _argument_fault(error: ValidationError) -> tuple[str, str]:
    path = ""
    for key in error.absolute_path:
        path += f"[{key}]" if isinstance(key, int) else f".{key}" if path else str(key)
    said = _SAID.get(str(error.validator))
    return path[:200], said(error) if said else f"is not as {error.validator} of the schema says"


def _listed(values: Iterable[Any]) -> str:
    shown = [json.dumps(value, ensure_ascii=False)[:40] for value in values]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _missing(error: ValidationError) -> str:
    instance = error.instance if isinstance(error.instance, dict) else {}
    required = cast(list[str], error.validator_value)
    return f"needs {', '.join(name for name in required if name not in instance)}"


def _unknown(error: ValidationError) -> str:
    schema, instance = cast(dict[str, Any], error.schema), cast(dict[str, Any], error.instance)
    unknown = sorted(_beyond(instance, schema))
    return f"has {_listed(unknown)}, which the schema does not know"


_SAID: dict[str, Callable[[ValidationError], str]] = {
    "required": _missing,
    "additionalProperties": _unknown,
    "type": lambda error: f"must be of type {error.validator_value}",
    "enum": lambda error: f"must be one of {_listed(cast(list[Any], error.validator_value))}",
    "const": lambda error: f"must be {_listed([error.validator_value])}",
    "pattern": lambda error: f"must match {str(error.validator_value)[:100]}",
    "minLength": lambda error: f"must have {error.validator_value} characters or more",
    "maxLength": lambda error: f"must have {error.validator_value} characters at most",
    "minItems": lambda error: f"must hold {error.validator_value} or more",
    "maxItems": lambda error: f"must hold {error.validator_value} at most",
    "minimum": lambda error: f"must be {error.validator_value} or more",
    "maximum": lambda error: f"must be {error.validator_value} at most",
    "exclusiveMinimum": lambda error: f"must be above {error.validator_value}",
    "exclusiveMaximum": lambda error: f"must be below {error.validator_value}",
    "multipleOf": lambda error: f"must be a multiple of {error.validator_value}",
    "uniqueItems": lambda error: "must not hold the same twice",
}


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _beyond(instance: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """The names of an object that neither properties nor patternProperties describe."""
    patterns = [_compiled(pattern) for pattern in schema.get("patternProperties", {})]
    known = schema.get("properties", {})
    return [name for name in instance if name not in known and not any(one.search(name) for one in patterns)]


def _match(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and _compiled(pattern).search(instance) is None:
        yield ValidationError("does not match")


def _match_names(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, inner in patterns.items():
        for name, value in instance.items():
            if _compiled(pattern).search(name) is not None:
                yield from validator.descend(value, inner, path=name, schema_path=pattern)


def _closed_to(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict) and allowed is False and _beyond(instance, schema):
        yield ValidationError("has more than it may")


# jsonschema's own would ask Python's `re`: `^\d+$` takes "٦٠" and "50\n" there.
_Exact: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {"pattern": _match, "patternProperties": _match_names, "additionalProperties": _closed_to},
)
