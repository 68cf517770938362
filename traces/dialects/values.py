"""Reading loose values: JSON that came as text, numbers that came as strings, lists that came flattened."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from traces.vocabulary import Json

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_MAX_COUNT = 2**53
_VECTOR = 32  # more numbers than this in one list are a vector, not a list that somebody reads


def parsed(value: Json) -> Json:
    """The value of a JSON object or array that came as text; anything else as it came."""
    if isinstance(value, str):
        text = value.strip()
        if text[:1] in {"{", "["}:
            try:
                return _decode(text)
            except (msgspec.DecodeError, RecursionError, UnicodeEncodeError, ValueError):
                return value
    return value


def parsed_scalar(value: Json) -> Json:
    """As `parsed`, and a text in JSON's quotes too: some emitters encode every value."""
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return _decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return value
    return parsed(value)


def text_of(value: Json) -> str | None:
    """The value as text: itself, or its JSON. None for None and for an empty text."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    try:
        return _encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return str(value)


def plain_text(value: Json) -> str | None:
    """The value if it is a text that says something, or a number as text."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def count_of(value: Json) -> int | None:
    """A number of tokens: a whole number from 0, also as a double or a text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 17:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value <= _MAX_COUNT else None


def number_of(value: Json) -> float | None:
    """A finite number, also as a text."""
    if isinstance(value, str):
        try:
            value = float(value[:40])
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def truth_of(value: Json) -> bool | None:
    """A boolean, also as a text."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def mapping_of(value: Json) -> dict[str, Json]:
    """The object that the value is or holds as JSON text; {} for anything else."""
    found = parsed(value)
    return found if isinstance(found, dict) else {}


def list_of(value: Json) -> list[Json]:
    """The array that the value is or holds as JSON text; [] for anything else."""
    found = parsed(value)
    return found if isinstance(found, list) else []


def first(mapping: Mapping[str, Json], *names: str) -> Json:
    """The first of these that is there and says something."""
    for name in names:
        value = mapping.get(name)
        if value is not None and value != "":
            return value
    return None


def unflattened(pairs: Mapping[str, Json]) -> Json:
    """`{"0.message.role": "user", ...}` as nested objects and lists; a name of digits is a place in a
    list.
    """
    root: dict[str, Any] = {}
    for name, value in pairs.items():
        node = root
        *path, last = name.split(".")[:32]
        for step in path:
            inner = node.setdefault(step, {})
            if not isinstance(inner, dict):
                inner = node[step] = {"": inner}  # both `a` and `a.b`: keep both
            node = inner
        if isinstance(node.get(last), dict):
            node[last][""] = value
        else:
            node[last] = value
    return _listed(root)


def _listed(node: Json) -> Json:
    if not isinstance(node, dict):
        return node
    if node and all(name.isascii() and name.isdigit() and len(name) < 7 for name in node):
        return [_listed(node[name]) for name in sorted(node, key=int)]
    return {name: _listed(inner) for name, inner in node.items()}


def without_vectors(value: Json) -> Json:
    """The value with every long list of numbers replaced by its length: nobody reads an embedding."""
    if isinstance(value, list):
        if len(value) > _VECTOR and all(
            isinstance(item, int | float) and not isinstance(item, bool) for item in value
        ):
            return {"numbers": len(value)}
        return (
            [without_vectors(item) for item in value]
            if any(isinstance(item, list | dict) for item in value)
            else value
        )
    if isinstance(value, dict):
        return {name: without_vectors(inner) for name, inner in value.items()}
    return value
