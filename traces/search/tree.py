"""The tree of a search line, and the line of a tree. Pure, no Django."""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

__all__ = ["And", "Match", "Node", "Not", "Or", "Pattern", "Range", "Substring", "Text", "quoted", "written"]

Pattern = Literal["exact", "any", "prefix", "glob"]


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where in the line it stands; two trees are the same wherever their words stood."""

    position: int = field(default=0, compare=False, kw_only=True)
    length: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Text(_Placed):
    """Words, in this order, anywhere in the trace's text; `prefix`: the last one may go on."""

    text: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Substring(_Placed):
    """Characters, anywhere in the trace's text, without regard to case."""

    text: str


@dataclass(frozen=True, slots=True)
class Match(_Placed):
    """A key with a value, without regard to case."""

    key: str
    value: str
    pattern: Pattern = "exact"


@dataclass(frozen=True, slots=True)
class Range(_Placed):
    """A key with a number in [low, high]; `open_low`, `open_high`: the end itself is out. In nanoseconds, tokens
    or dollars. `said` is the range as it was written.
    """

    key: str
    said: str
    low: Decimal | None
    high: Decimal | None
    open_low: bool = False
    open_high: bool = False


@dataclass(frozen=True, slots=True)
class Not(_Placed):
    node: "Node"


@dataclass(frozen=True, slots=True)
class And(_Placed):
    nodes: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or(_Placed):
    nodes: tuple["Node", ...]


Node = Text | Substring | Match | Range | Not | And | Or


# A value that needs no quotes, the start of a term `key:`, and a comparison that lacks its colon.
BARE: Final = re.compile(r'[^\s\x00-\x1f\x7f-\x9f()"]+')
KEY: Final = re.compile(r'([A-Za-z][^\s\x00-\x1f\x7f-\x9f():"]*):')
COMPARED: Final = re.compile(r"([A-Za-z_]+)(>=|<=|>|<|=)(.+)", re.DOTALL)


def written(node: Node | None) -> str:
    """The line of a tree; read again it is the same tree."""
    match node:
        case None:
            return ""
        case Text(text, prefix):
            plain = BARE.fullmatch(text) and "*" not in text and text not in {"OR", "AND"}
            plain = plain and text[0] not in "-~" and not KEY.match(text) and not COMPARED.fullmatch(text)
            return f"{text if plain else quoted(text)}{'*' if prefix else ''}"
        case Substring(text):
            return f"~{quoted(text)}"
        case Match(key, value, pattern):
            return f"{key}:{_value(value, pattern)}"
        case Range(key, said):
            return f"{key}:{said}"
        case Not(inner):
            return f"-{_grouped(inner) if isinstance(inner, And | Or) else written(inner)}"
        case And(nodes):
            return " ".join(written(one) for one in nodes)
        case Or(nodes):
            return " OR ".join(_grouped(one) if isinstance(one, And) else written(one) for one in nodes)


def _grouped(node: Node) -> str:
    return f"({written(node)})"


def _value(value: str, pattern: Pattern) -> str:
    if pattern in {"any", "glob"}:
        return value
    plain = BARE.fullmatch(value) and "*" not in value
    return f"{value if plain else quoted(value)}{'*' if pattern == 'prefix' else ''}"


def quoted(text: str) -> str:
    """The text between quotes, as the grammar reads it back."""
    inner = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'
