"""What the rules of an action see: its arguments as its JSON Schema types them, the agent's context, its budgets.

A rule may read only what the schema promises to be there, of one type: `||` swallows what is missing, so that
`args.ghost <= 50 || args.currency == "USD"` would be true of arguments without `ghost`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import re2

from features.rules.checking import faults_of_rule
from features.rules.tree import literal_of, path_of, tree_of
from features.rules.types import (
    ANY,
    BOOL,
    DECIMAL,
    DOUBLE,
    INT,
    NULL,
    STRING,
    Type,
    list_of,
    map_of,
    object_of,
    unreadable,
)

__all__ = ["faults_of_expression", "may_be_negative", "reads_without_has", "resolved", "scope_of", "type_of"]

_SIMPLE = {"string": STRING, "integer": INT, "number": DOUBLE, "boolean": BOOL, "null": NULL}
_BUDGET = object_of({"left": DECIMAL, "spent": DECIMAL, "limit": DECIMAL})
_DEEPEST = 16
_NEGATIVES = ("-1", "-1.0", "-1.00", "-0.01", "-10.00", "-100", "-1.000000")

# What an expression of an action may come to, and whether it sees only arguments.
_WANTED: dict[str, tuple[Type, ...]] = {
    "under": (BOOL, ANY),
    "cost": (DECIMAL, INT),
    "subject": (STRING, INT),
    "once_per": (STRING, INT),
}


def scope_of(schema: Mapping[str, Any] | None, field: str, budgets: bool) -> dict[str, Type]:
    """What the expression in `field` (under, cost, subject, once_per) of an action with this schema may name."""
    args = object_of({}) if schema is None else type_of(schema, schema)
    scope = {"args": args}
    if field == "under":
        scope["context"] = map_of(ANY)
        if budgets:
            scope["budget"] = _BUDGET
    return scope


def faults_of_expression(
    text: str, schema: Mapping[str, Any] | None, field: str, budgets: bool = False
) -> list[str]:
    """All that is wrong with an action's expression, in words that say what to write."""
    return faults_of_rule(text, scope_of(schema, field, budgets), _WANTED[field])


def type_of(schema: Any, root: Mapping[str, Any], depth: int = 0) -> Type:
    """The type that a schema promises; what it leaves open is unreadable, and says why."""
    if depth > _DEEPEST:
        return unreadable("stands too deep in the schema, or in itself")
    if not isinstance(schema, Mapping):
        return unreadable("has no type in the schema")
    if "$ref" in schema:
        return _referred(schema, root, depth)
    declared = schema.get("type")
    if declared is None:
        return _by_values(schema)
    if not isinstance(declared, str):
        kinds = " or ".join(str(one) for one in declared) if isinstance(declared, list) else str(declared)
        return unreadable(f"may be {kinds} by the schema: give it one type")
    if declared == "object":
        return _object(schema, root, depth)
    if declared == "array":
        least = schema.get("minItems", 0)
        items = schema.get("items")
        # prefixItems type each place by itself; items then only those behind.
        of = unreadable("has no one type in the schema: give items") if "prefixItems" in schema else None
        return list_of(of or type_of(items, root, depth + 1), least if isinstance(least, int) else 0)
    return _SIMPLE.get(declared) or unreadable(f"has the unknown type {declared}")


def _referred(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Type:
    if {"type", "properties", "enum", "const"} & set(schema):
        return unreadable("has both $ref and a type in the schema: give it one of them")
    found = resolved(str(schema["$ref"]), root)
    if found is None:
        return unreadable(f"is described by {schema['$ref']}, which the schema does not have")
    return type_of(found, root, depth + 1)


def resolved(pointer: str, root: Mapping[str, Any]) -> Any:
    """What a local `$ref` (`#/$defs/money`) points at; None: nothing."""
    if not pointer.startswith("#"):
        return None
    found: Any = root
    for step in pointer[1:].split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found if pointer in ("#", "") or pointer.startswith("#/") else None


def _by_values(schema: Mapping[str, Any]) -> Type:
    """The one type of the values that `enum` or `const` list."""
    if "const" in schema:
        values = [schema["const"]]
    elif isinstance(schema.get("enum"), list):
        values = schema["enum"]
    else:
        mixed = next((key for key in ("anyOf", "oneOf", "allOf", "not", "if") if key in schema), None)
        what = f"is described by {mixed}, not by a type" if mixed else "has no type in the schema"
        return unreadable(f'{what}: give it one, such as type = "string"')
    kinds = {_kind_of(value) for value in values}
    if kinds == {"int", "double"}:
        return DOUBLE
    if len(kinds) != 1 or (kind := _KINDS.get(kinds.pop())) is None:
        return unreadable("may have values of several types by the schema: give it values of one type")
    return kind


_KINDS = {"string": STRING, "int": INT, "double": DOUBLE, "bool": BOOL}


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "int" if isinstance(value, int) else "double" if isinstance(value, float) else "other"


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Type:
    properties = schema.get("properties")
    required = schema.get("required")
    needed = set(required) if isinstance(required, list) else set()
    fields = {}
    for name, inner in properties.items() if isinstance(properties, Mapping) else ():
        if name in needed:
            fields[name] = type_of(inner, root, depth + 1)
        else:
            fields[name] = unreadable(
                f'is not required by the schema and may be missing: add "{name}" to required'
            )
    return object_of(fields)


# --- what is allowed and should be known ------------------------------------------------------------------


def reads_without_has(text: str) -> list[str]:
    """The paths of `context` that a checked rule reads and never asks for by `has()`; they may be missing."""
    read, asked = set[str](), set[str]()
    _gather(tree_of(text), read, asked)
    return sorted(read - asked)


def _gather(node: Any, read: set[str], asked: set[str]) -> None:
    children = getattr(node, "children", None)
    if not children:
        return
    if node.data == "ident_arg" and str(children[0]) == "has" and len(children) > 1:
        if (path := path_of(children[1].children[0])) is not None:
            asked.add(path)
        return
    if (path := path_of(node)) is not None:
        if path.startswith(("context.", "context[")):
            read.add(path)
        return
    for child in children:
        _gather(child, read, asked)


def may_be_negative(text: str, schema: Mapping[str, Any] | None) -> list[str]:
    """The paths by which a checked cost, or what a checked rule holds under a limit, may be below 0 as far as the
    schema goes; `-` where it calculates.
    """
    return sorted(set(_negatives(tree_of(text), schema or {})))


def _negatives(node: Any, root: Mapping[str, Any]) -> Iterator[str]:
    children = getattr(node, "children", None)
    if not children:
        return
    if (literal := literal_of(node)) is not None:
        if literal.strip("\"'").startswith("-"):
            yield literal
        return
    name = str(node.data)
    if name == "unary" and len(children) == 2 and str(children[0].data) == "unary_neg":
        yield "-"
    if name == "addition" and len(children) == 2 and str(children[0].data) == "addition_sub":
        yield "-"
    if name == "ident_arg" and str(children[0]) in ("size", "has"):
        return
    if (path := path_of(node)) is not None:
        if path.startswith("args.") and _below_zero(_schema_at(path, root)):
            yield path
        return
    for child in children:
        yield from _negatives(child, root)


def _schema_at(path: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for key in path.replace("[", ".[").split(".")[1:]:
        for _ in range(_DEEPEST):
            if isinstance(found, Mapping) and "$ref" in found:
                found = resolved(str(found["$ref"]), root)
        inner = found if isinstance(found, Mapping) else {}
        found = inner.get("items") if key.startswith("[") else inner.get("properties", {}).get(key)
    for _ in range(_DEEPEST):
        if isinstance(found, Mapping) and "$ref" in found:
            found = resolved(str(found["$ref"]), root)
    return found if isinstance(found, Mapping) else {}


def _below_zero(schema: Mapping[str, Any]) -> bool:
    """Whether a number, or a text that is read as one, may be below 0."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(values, list):
        return any(str(value).startswith("-") for value in values)
    if schema.get("type") == "string":
        pattern = schema.get("pattern")
        if not isinstance(pattern, str):
            return True
        try:
            return any(re2.search(pattern, text) for text in _NEGATIVES)
        except re2.error:
            return True
    least = max((schema[key] for key in ("minimum", "exclusiveMinimum") if key in schema), default=None)
    return least is None or least < 0
