"""JSON Schemas of arguments: valid, closed, with keywords that are known and patterns that end in time."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, cast

import re2
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

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
    reference = schema.get("$ref", "#")
    if not isinstance(reference, str) or not reference.startswith("#"):
        yield (*path, "$ref"), "must point into this schema: #/$defs/..."
    if schema.get("additionalProperties", False) is not False:
        yield (*path, "additionalProperties"), "must be false: schemas of arguments are closed"
    if (pattern := schema.get("pattern")) is not None:
        yield from _pattern(pattern, (*path, "pattern"))
    yield from _required(schema, path)
    for keyword in _ONE:
        if keyword in schema:
            yield from _walk(schema[keyword], (*path, keyword))
    for keyword in _LIST:
        for at, inner in enumerate(_as(list, schema.get(keyword))):
            yield from _walk(inner, (*path, keyword, at))
    for keyword in _NAMED:
        for name, inner in _as(dict, schema.get(keyword)).items():
            if keyword == "patternProperties":
                yield from _pattern(name, (*path, keyword, name))
            yield from _walk(inner, (*path, keyword, name))


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
