"""The raw span: everything that is stored of it, as readable JSON in sections."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from traces.present.signs import Signs
from traces.present.text import Budget, Piece, Shown, line, with_signs
from traces.present.values import readable
from traces.present.words import counted, size
from traces.summarise.injection import untrusted_texts
from traces.vocabulary import Json, Span

# Past this a section is offered as a download of JSON instead of being drawn: 4 MiB of elements stall a
# browser.
_MOST_DRAWN: Final = 300_000


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the stored span as JSON text; `empty`: the span has nothing of the kind."""

    name: str
    text: Shown
    entries: str
    size: str
    empty: bool


class RawSpanView(msgspec.Struct, frozen=True, kw_only=True):
    """A stored span with nothing left out, redacted as it is stored."""

    span_id: str
    name: list[Piece]
    sections: list[Section]


def raw_span(span: Span) -> RawSpanView:
    """All of a stored span: its own fields, content, remaining attributes, events, links, resource."""
    sections: list[tuple[str, Json]] = [
        ("Span", _own(span)),
        ("Attributes that no reader claimed", span.attributes),
        ("Content", msgspec.to_builtins(span.content)),
        ("Events", [_timed(event) for event in span.events]),
        ("Links", span.links),
        ("Resource", span.resource),
    ]
    budget = Budget(_MOST_DRAWN)
    untrusted = [text for _, _, text in untrusted_texts([span])]
    return RawSpanView(
        span_id=span.span_id.hex(),
        name=line(span.name or "(no name)", 120),
        sections=[
            _section(name, value, budget, untrusted if name == "Content" else []) for name, value in sections
        ],
    )


def raw_json(span: Span) -> str:
    """The same as one JSON text."""
    return readable(span_fields(span))


def span_fields(span: Span) -> dict[str, Json]:
    """All that is stored of a span as one JSON value."""
    return {
        **_own(span),
        "content": msgspec.to_builtins(span.content),
        "attributes": span.attributes,
        "events": [_timed(event) for event in span.events],
        "links": span.links,
        "resource": span.resource,
    }


def _own(span: Span) -> dict[str, Json]:
    """The span's own fields; times in RFC 3339 with all nine digits beside the nanoseconds as they came."""
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex() if span.parent_span_id else None,
        "name": span.name,
        "kind": span.kind,
        "scope": span.scope,
        "started_at": _time(span.started_at),
        "ended_at": _time(span.ended_at),
        "started_at_ns": span.started_at,
        "ended_at_ns": span.ended_at,
        "status": span.status,
        "status_message": span.status_message,
        "calls_model": span.calls_model,
        "model_asked": span.model_asked,
        "model_answered": span.model_answered,
        "provider": span.provider,
        "response_id": span.response_id,
        "usage": msgspec.to_builtins(span.usage),
        "tool_name": span.tool_name,
        "tool_call_id": span.tool_call_id,
        "claims": msgspec.to_builtins(span.claims),
        "dialects": span.dialects,
        "redactions": span.redactions,
    }


def _timed(event: dict[str, Json]) -> dict[str, Json]:
    at = event.get("time")
    return {**event, "at": _time(at)} if isinstance(at, int) else event


def _time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return "out of range"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _entries(value: Json) -> str:
    if isinstance(value, dict):
        return counted(len(value), "name")
    return counted(len(value), "entry", "entries") if isinstance(value, list) else ""


def _section(name: str, value: Json, budget: Budget, untrusted: list[str]) -> Section:
    text = readable(value)
    granted = budget.take(len(text))
    drawn = text if granted == len(text) else ""
    return Section(
        name=name,
        text=Shown(
            with_signs(drawn, Signs("raw-sign"), untrusted),
            [],
            size=len(text.encode("utf-8", "surrogatepass")),
            left_out=len(text) - len(drawn),
        ),
        entries=_entries(value),
        size=size(len(text.encode("utf-8", "surrogatepass"))),
        empty=not value,
    )
