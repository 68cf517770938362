"""Taint in the words of the page: what a call repeats and from where, and which calls repeat a text."""

from collections.abc import Callable
from typing import Final

import msgspec

from traces.present.taint import Place, Sink, Taint, TaintedValue
from traces.present.text import Piece, line
from traces.present.words import counted, number

_MOST_CALLS: Final = 12  # that repeat one text, or are listed for the trace
_MOST_VALUES: Final = 12  # of one call

# The address of a turn of the conversation, by its number.
TurnAddress = Callable[[int], str]


class SourceLink(msgspec.Struct, frozen=True, kw_only=True):
    """A text that holds the value, and where it stands on the page."""

    what: str
    name: list[Piece]
    href: str


class TaintedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a call's arguments with all texts that it may come from."""

    path: list[Piece]
    value: list[Piece]
    sources: list[SourceLink]
    more: int
    note: str


class TaintedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call whose arguments repeat untrusted text."""

    tool: list[Piece]
    span_id: str
    lines: list[TaintedLine]
    more: int


class Repeated(msgspec.Struct, frozen=True, kw_only=True):
    """A later call that repeats a text: the other end of a TaintedLine."""

    tool: list[Piece]
    path: list[Piece]
    value: list[Piece]
    span_id: str


class TaintView(msgspec.Struct, frozen=True, kw_only=True):
    """All taint of the trace; `unread` says what was not looked at, empty: nothing."""

    word: str  # empty: none
    calls: list[TaintedCall]
    more: int
    unread: str


def taint_view(taint: Taint, address: TurnAddress) -> TaintView:
    """The trace's taint, the first calls of it."""
    values = sum(len(sink.values) for sink in taint.sinks)
    unread = [f"{number(taint.unread)} characters of text"] if taint.unread else []
    unread += [f"{number(taint.unread_words)} words of arguments"] if taint.unread_words else []
    return TaintView(
        word=counted(values, "value from untrusted text", "values from untrusted text") if values else "",
        calls=[tainted_call(sink, address) for sink in taint.sinks[:_MOST_CALLS]],
        more=max(len(taint.sinks) - _MOST_CALLS, 0),
        unread=" and ".join(unread),
    )


def tainted_call(sink: Sink, address: TurnAddress) -> TaintedCall:
    """One call with each value and its sources."""
    return TaintedCall(
        tool=line(sink.tool or "(no name)", 80),
        span_id=sink.span_id,
        lines=[tainted_line(value, address) for value in sink.values[:_MOST_VALUES]],
        more=max(len(sink.values) - _MOST_VALUES, 0),
    )


def tainted_line(value: TaintedValue, address: TurnAddress) -> TaintedLine:
    """One value with its sources; also one that is only told, because a trusted text said it first."""
    note = ""
    if value.said_first:
        note = f"{value.said_first} said it first"
    elif value.said_later:
        note = f"{value.said_later} repeats it, after that"
    return TaintedLine(
        path=line(value.path, 80),
        value=line(value.value, 120),
        sources=[_source(place, address) for place in value.sources],
        more=value.more_sources,
        note=note,
    )


def repeated_by(taint: Taint, turn: int) -> list[Repeated]:
    """The calls that repeat what this turn says."""
    return [
        Repeated(
            tool=line(sink.tool or "(no name)", 80),
            path=line(value.path, 80),
            value=line(value.value, 80),
            span_id=sink.span_id,
        )
        for sink, value in taint.sources.get(turn, [])[:_MOST_CALLS]
    ]


def _source(place: Place, address: TurnAddress) -> SourceLink:
    return SourceLink(what=place.what, name=line(place.name, 80), href=address(place.turn))
