"""A different body that came under the ID of a stored span: both, and what differs."""

from collections.abc import Iterator
from typing import Final

import msgspec

from traces.present.raw import span_fields
from traces.present.text import Budget, Piece, Shown, line, shown
from traces.present.values import readable
from traces.vocabulary import Json, Span

_MOST_DIFFERENCES: Final = 60
_MOST_FIELDS: Final = 20_000


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A field that the two bodies tell differently; None: the body has no such field."""

    path: list[Piece]
    first: Shown | None
    other: Shown | None


class ConflictView(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between the body that is counted and another; `whole` is that other body as JSON."""

    differences: list[Difference]
    more: int
    whole: Shown


def conflict_view(first: Span, other: Span, budget: Budget) -> ConflictView:
    """The fields of two bodies under one ID that are not the same, in the order of the first."""
    one, two = dict(_fields(span_fields(first))), dict(_fields(span_fields(other)))
    paths = [path for path in {**one, **two} if one.get(path) != two.get(path)]
    return ConflictView(
        differences=[
            Difference(
                path=line(path, 200),
                first=_value(one[path], budget) if path in one else None,
                other=_value(two[path], budget) if path in two else None,
            )
            for path in paths[:_MOST_DIFFERENCES]
        ],
        more=max(len(paths) - _MOST_DIFFERENCES, 0),
        whole=shown(readable(span_fields(other)), lead=0, budget=budget),
    )


def _value(text: str, budget: Budget) -> Shown:
    return shown(text, lead=400, budget=budget)


def _fields(value: Json) -> Iterator[tuple[str, str]]:
    """Each leaf with its path; bounded, without recursion."""
    waiting: list[tuple[str, Json]] = [("", value)]
    seen = 0
    while waiting and seen < _MOST_FIELDS:
        seen += 1
        path, at = waiting.pop()
        if isinstance(at, dict) and at:
            waiting.extend(
                (f"{path}.{name}" if path else str(name), inner) for name, inner in reversed(at.items())
            )
        elif isinstance(at, list) and at:
            waiting.extend((f"{path}[{index}]", inner) for index, inner in reversed(list(enumerate(at))))
        else:
            yield path, at if isinstance(at, str) else readable(at)
