"""JSON that says one thing only: what RFC 8785 can spell in one way, read strictly.

Two readers of one body must never see two different things in it: a key that stands twice, a number that a double
cannot hold, a lone surrogate and nesting without end are refused. Pure, no Django.
"""

import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

__all__ = ["MOST_DEPTH", "NotCanonical", "NotJson", "parse_canonical"]

MOST_DEPTH = 64
_LONGEST_NUMBER = 400
# A string whole, or one bracket: linear, and a quote that is never closed is left to the parser.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


class NotJson(ValueError):
    """It is no JSON; `position` is the character at which reading stopped."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


class NotCanonical(ValueError):
    """It is JSON, but not of one meaning."""


def parse_canonical(body: bytes) -> Any:
    """The value of a JSON text in UTF-8. Raises NotJson, or NotCanonical for what has no one spelling."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJson("the body is not UTF-8", error.start) from error
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_once,
            parse_int=_whole,
            parse_float=_exact,
            parse_constant=_no_constant,
        )
    except json.JSONDecodeError as error:
        raise NotJson(f"the body is no JSON: {error.msg}", error.pos) from error
    if "\\u" in text:
        _check_text(value)
    return value


def _check_depth(text: str) -> None:
    depth = 0
    for found in _BRACKETS.finditer(text):
        mark = found[0]
        if mark in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise NotCanonical(f"it is nested over {MOST_DEPTH} deep")
        elif mark in "]}":
            depth -= 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise NotCanonical(f"the key {json.dumps(key[:60])} stands twice")
            seen.add(key)
    return found


def _exact(text: str) -> float:
    return _double(text)


def _whole(text: str) -> int:
    _double(text)
    return int(text)


def _double(text: str) -> float:
    """The number as a double, where that is what was written: exactly, or as the double's shortest spelling."""
    if len(text) <= _LONGEST_NUMBER:
        number = float(text)
        try:
            written = Decimal(text)
        except InvalidOperation:
            written = Decimal("NaN")
        if math.isfinite(number) and written in (Decimal(number), Decimal(repr(number))):
            return number
    raise NotCanonical(f"the number {text[:40]} is not exact in a double")


def _no_constant(name: str) -> NoReturn:
    raise NotJson(f"the body is no JSON: {name} is no number")


def _check_text(value: Any) -> None:
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise NotCanonical("a text holds a lone surrogate")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key)
            _check_text(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_text(inner)
