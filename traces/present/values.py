"""JSON values as a page shows them: a table of names and values where it is an object, else readable JSON
text.
"""

import json

import msgspec

from traces.present.signs import Signs, leaves_of
from traces.present.taint_values import Marks
from traces.present.text import Budget, Piece, Shown, line, shown
from traces.vocabulary import Json

_MOST_NAMES = 60
# Past this length a call is not written on one line.
_ONE_LINE = 140


class Named(msgspec.Struct, frozen=True):
    """One name of an object with its value."""

    name: list[Piece]
    value: Shown
    is_data: bool  # drawn as code; a string stands as it is


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON value: `rows` when it is an object with few names, else `text`. `more`: names that only the raw
    span has.
    """

    rows: list[Named] = []
    text: Shown | None = None
    is_data: bool = True
    more: int = 0


def readable(value: Json) -> str:
    """Indented JSON in which control characters are escaped and everything else stands as it was stored."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def text_of(value: Json) -> str:
    """A string as it is (its JSON made readable where it is JSON); anything else as readable JSON."""
    if not isinstance(value, str):
        return readable(value)
    return _pretty(value)


def _pretty(text: str) -> str:
    """JSON that came as text, indented; text that is none, or repeats a name or a number's spelling, stays as
    it is.
    """
    start = text.lstrip()[:1]
    if start not in {"{", "["} or len(text) > 200_000:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Only white space may differ: what is shown must be what was said.
    if "".join(compact.split()) != "".join(text.split()):
        return text
    return readable(value)


def present(
    value: Json, budget: Budget | None = None, marks: Marks | None = None, signs: Signs | None = None
) -> Value:
    """The value for a page. Every string in it is stored text and comes out as pieces, `marks` marked; `signs` where it
    is untrusted.
    """
    if isinstance(value, dict) and value:
        names = list(value.items())
        rows = [_named(name, inner, budget, marks, signs) for name, inner in names[:_MOST_NAMES]]
        return Value(rows=rows, more=max(len(names) - _MOST_NAMES, 0))
    leaves = leaves_of(value) if signs else None
    text = shown(text_of(value), budget=budget, marks=marks, signs=signs, leaves=leaves)
    return Value(text=text, is_data=not isinstance(value, str))


def _named(
    name: object, value: Json, budget: Budget | None, marks: Marks | None, signs: Signs | None
) -> Named:
    leaves = leaves_of(value) if signs else None
    return Named(
        line(str(name), 120),
        shown(text_of(value), lead=400, budget=budget, marks=marks, signs=signs, leaves=leaves),
        not isinstance(value, str),
    )


def call_text(name: str, arguments: Json) -> str:
    """A call as one line, `refund(order_id="A-1042", amount="180.00")`; long or odd arguments as readable
    JSON below.
    """
    if isinstance(arguments, dict):
        inner = ", ".join(
            f"{key}={json.dumps(value, ensure_ascii=False, default=str)}" for key, value in arguments.items()
        )
        if len(name) + len(inner) <= _ONE_LINE:
            return f"{name}({inner})"
    if arguments is None or arguments == "":
        return f"{name}()"
    return f"{name}\n{text_of(arguments)}"
