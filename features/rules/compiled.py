"""Asking a rule: compiled once, each time in a context of its own, within bounds, never raising."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import cel
import msgspec

from features.rules.tree import RuleFault, nesting_of

__all__ = ["Answer", "Rule", "compile_rule", "scaled"]

# The evaluator has no limit of its own and holds the interpreter: the length of what macros go through is bounded,
# by how deep they stand in each other.
_LONGEST_LIST = {0: 100_000, 1: 10_000, 2: 300}
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,6})?")
_SCALE = 6


class Answer(msgspec.Struct, frozen=True):
    """`holds` is true only where the rule says so; `fault`: why it could not be asked."""

    holds: bool
    fault: str | None = None


class Rule:
    """A compiled rule. Threads may share it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._program = cel.compile(text)
        self._longest = _LONGEST_LIST.get(nesting_of(text), 0)

    def ask(self, values: Mapping[str, Any]) -> Answer:
        """What the rule says of these values. A key that is not there, types that do not fit, too much to go through:
        a fault, never true.
        """
        if (length := _longest(values, 0)) > self._longest:
            return Answer(
                False, f"a list of {length} is too long for this rule; it goes through {self._longest}"
            )
        decimals = _Decimals()
        try:
            found = self._run(values, decimals)
        except Exception as error:  # noqa: BLE001 - whatever the evaluator raises: the rule could not be asked
            return Answer(False, f"{type(error).__name__}: {str(error)[:200]}")
        if decimals.failed:
            return Answer(False, "decimal(...) was given what is no decimal such as 49.99")
        if not isinstance(found, bool):
            return Answer(False, f"it says {type(found).__name__}, not true or false")
        return Answer(found)

    def value(self, values: Mapping[str, Any]) -> Any:
        """What an expression that is no question comes to; None where it cannot be had. A decimal is in millionths."""
        if _longest(values, 0) > self._longest:
            return None
        decimals = _Decimals()
        try:
            found = self._run(values, decimals)
        except Exception:  # noqa: BLE001 - whatever the evaluator raises: there is no value
            return None
        return None if decimals.failed else found

    def _run(self, values: Mapping[str, Any], decimals: "_Decimals") -> Any:
        context = cel.Context(variables=dict(values))  # of its own: a shared one is not safe with threads
        context.add_function("decimal", decimals.read)
        return self._program.execute(context)


class _Decimals:
    """`decimal()` for one question. One that fails makes the whole answer a fault: || would pass over an error."""

    def __init__(self) -> None:
        self.failed = False

    def read(self, text: Any) -> int:
        """The decimal in millionths."""
        try:
            return scaled(text)
        except ValueError:
            self.failed = True
            return 0


@lru_cache(maxsize=1024)
def compile_rule(text: str) -> Rule:
    """The rule. Raises RuleFault where it does not compile."""
    try:
        return Rule(text)
    except ValueError as error:
        raise RuleFault("is no expression of CEL") from error


def scaled(text: Any) -> int:
    """A decimal as a whole number of millionths: exact, where a double would not be. ValueError for what is no
    decimal of at most twelve digits before and six behind the point.
    """
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise ValueError("this is no decimal such as 49.99")
    whole, _, part = text.partition(".")
    sign: int = -1 if whole.startswith("-") else 1
    units: int = 10**_SCALE
    return sign * (int(whole.lstrip("-")) * units + int(part.ljust(_SCALE, "0")))


def _longest(value: Any, depth: int) -> int:
    """The length of the longest list in a value, as deep as a rule can look."""
    if isinstance(value, Mapping):
        return max((_longest(inner, depth + 1) for inner in value.values()), default=0) if depth < 8 else 0
    if isinstance(value, list):
        inner = max((_longest(item, depth + 1) for item in value), default=0) if depth < 8 else 0
        return max(len(value), inner)
    return 0
