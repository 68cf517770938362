"""Compile: a tree becomes one tsquery and conditions on columns of `search_document`, all values as parameters.

What the tree asks of lexemes and words is one tsquery; numbers, features and substrings are conditions. Where both
stand under one OR or minus, the tsquery becomes a condition like the others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from traces.search.keys import KEYS
from traces.search.tree import And, Match, Node, Not, Or, Range, Substring, Text
from traces.terms import term

__all__ = ["Compiled", "Condition", "Resolved", "compile_query", "leaves"]

_COLUMNS = {"latency": "d.worked_ns", "tokens": "d.tokens", "cost": "d.cost_usd"}


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL over a row `d` of search_document; `heavy` reads the whole document."""

    sql: str
    parameters: tuple[Any, ...] = ()
    heavy: bool = False


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the database had to be asked for before: the tsquery of each text, the features that a value means, the
    known values that a `*` in the middle covers.
    """

    texts: Mapping[Text, str]
    features: Callable[[Match], Sequence[UUID]]
    globs: Mapping[Match, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Compiled:
    """`tsquery` None: nothing is asked of lexemes. `selective`: it needs some lexeme to be there, so that the index
    finds it.
    """

    tsquery: str | None = None
    selective: bool = False
    conditions: list[Condition] = field(default_factory=list)

    @property
    def light(self) -> list[Condition]:
        """The conditions that do not read documents."""
        return [one for one in self.conditions if not one.heavy]

    @property
    def heavy(self) -> list[Condition]:
        """The conditions that read documents."""
        return [one for one in self.conditions if one.heavy]


def leaves(node: Node | None) -> list[Node]:
    """Every term of a tree, in the order of the line."""
    if isinstance(node, Not):
        return leaves(node.node)
    if isinstance(node, And | Or):
        return [leaf for inner in node.nodes for leaf in leaves(inner)]
    return [] if node is None else [node]


def compile_query(node: Node | None, resolved: Resolved) -> Compiled:
    """The query of a tree; of None, one that everything answers to."""
    if node is None:
        return Compiled()
    parts = [_part(one, resolved) for one in (node.nodes if isinstance(node, And) else (node,))]
    return _joined(parts)


@dataclass(frozen=True, slots=True)
class _Part:
    tsquery: str | None = None
    selective: bool = False
    condition: Condition | None = None


def _joined(parts: Sequence[_Part]) -> Compiled:
    asked = [part.tsquery for part in parts if part.tsquery is not None]
    return Compiled(
        " & ".join(f"({one})" for one in asked) if asked else None,
        any(part.selective for part in parts),
        [part.condition for part in parts if part.condition is not None],
    )


def _condition(parts: Sequence[_Part], joiner: str) -> Condition:
    """The parts as one condition, tsqueries too."""
    found = [_as_condition(part) for part in parts]
    return Condition(
        "(" + f" {joiner} ".join(one.sql for one in found) + ")",
        tuple(value for one in found for value in one.parameters),
        any(one.heavy for one in found),
    )


def _as_condition(part: _Part) -> Condition:
    if part.condition is not None:
        return part.condition
    return Condition("d.terms @@ %s::tsquery", (part.tsquery,))


def _part(node: Node, resolved: Resolved) -> _Part:
    match node:
        case Text():
            return _Part(resolved.texts[node], True)
        case Match(key="feature"):
            return _Part(
                condition=Condition("d.feature_id = ANY(%s::uuid[])", (list(resolved.features(node)),))
            )
        case Match():
            return _match(node, resolved)
        case Range():
            return _Part(condition=_range(node))
        case Substring(text):
            return _Part(
                condition=Condition(
                    "strpos(lower(d.document), lower(%s)) > 0", (_storable(text),), heavy=True
                )
            )
        case Not(inner):
            part = _part(inner, resolved)
            if part.tsquery is not None:
                return _Part(f"!({part.tsquery})")
            found = _as_condition(part)
            return _Part(condition=Condition(f"({found.sql}) IS NOT TRUE", found.parameters, found.heavy))
        case And(nodes):
            parts = [_part(one, resolved) for one in nodes]
            if all(part.tsquery is not None for part in parts):
                joined = _joined(parts)
                return _Part(joined.tsquery, joined.selective)
            return _Part(condition=_condition(parts, "AND"))
        case Or(nodes):
            parts = [_part(one, resolved) for one in nodes]
            if all(part.tsquery is not None for part in parts):
                asked = " | ".join(f"({part.tsquery})" for part in parts)
                return _Part(asked, all(part.selective for part in parts))
            return _Part(condition=_condition(parts, "OR"))


def _storable(text: str) -> str:
    """What the database cannot hold, no document has."""
    return text.replace("\x00", "\ufffd")


def _match(node: Match, resolved: Resolved) -> _Part:
    if node.pattern == "glob":
        known = [lexeme(node.key, value) for value in resolved.globs[node]]
        # No known value fits: a lexeme that no trace has.
        return _Part(" | ".join(known) or "'=none:'", True)
    if node.pattern == "any":
        return _Part(lexeme(node.key, "", prefix=True), True)
    return _Part(lexeme(node.key, node.value, prefix=node.pattern == "prefix"), True)


def lexeme(key: str, value: str, *, prefix: bool = False) -> str:
    """The lexeme of a key and value as a tsquery has it."""
    inner = term(key, value).replace("\\", "\\\\").replace("'", "''")
    return f"'{inner}'{':*' if prefix else ''}"


def _range(node: Range) -> Condition:
    column = _COLUMNS[node.key]
    whole = KEYS[node.key].kind != "money"
    bounds: list[str] = []
    values: list[Any] = []
    if node.low is not None:
        bounds.append(f"{column} {'>' if node.open_low else '>='} %s")
        values.append(node.low)
    if node.high is not None:
        bounds.append(f"{column} {'<' if node.open_high else '<='} %s")
        values.append(node.high)
    if not bounds:
        bounds.append("TRUE" if whole else f"{column} IS NOT NULL")
    return Condition(f"({' AND '.join(bounds)})", tuple(values))
