"""Join log events to their spans: they carry a call's messages when the span does not, and may come first."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from traces.vocabulary import Content, LogEvent, Span

_encode = msgspec.json.Encoder(order="deterministic").encode
_WHOLE = "gen_ai.client.inference.operation.details"


def events_in_order(events: Iterable[LogEvent]) -> list[LogEvent]:
    """Each event once, by time, name and content."""
    once = {(event.observed_at, event.event_name, _encode(event)): event for event in events}
    return [once[key] for key in sorted(once)]


def contents_of(events: Sequence[LogEvent]) -> dict[bytes | None, Content]:
    """What the events in order say of each span (None: of the trace). An event that tells a whole call wins
    over those that tell one message each.
    """
    told: defaultdict[bytes | None, list[LogEvent]] = defaultdict(list)
    for event in events:
        told[event.span_id].append(event)
    found: dict[bytes | None, Content] = {}
    for span_id, group in told.items():
        whole = [event for event in group if event.event_name == _WHOLE]
        content = Content()
        for event in whole[-1:] or group:
            content.input = [*(content.input or []), *(event.content.input or [])] or None
            content.output = [*(content.output or []), *(event.content.output or [])] or None
            content.tool_definitions = content.tool_definitions or event.content.tool_definitions
            content.cut |= event.content.cut
        found[span_id] = content
    return found


def attach_events(spans: Iterable[Span], events: Iterable[LogEvent]) -> list[Span]:
    """The spans with what their log events say filled in where the span itself says nothing. The spans given
    are not changed.
    """
    return attach_contents(spans, contents_of(events_in_order(events)))


def attach_contents(spans: Iterable[Span], contents: Mapping[bytes | None, Content]) -> list[Span]:
    """As `attach_events`, with what the events say read already."""
    return [_filled(span, contents[span.span_id]) if span.span_id in contents else span for span in spans]


def _filled(span: Span, told: Content) -> Span:
    own = span.content
    content = msgspec.structs.replace(
        own,
        input=own.input or told.input,
        output=own.output or told.output,
        tool_definitions=own.tool_definitions or told.tool_definitions,
        cut=own.cut or told.cut,
    )
    calls = span.calls_model or (span.kind == "llm" and bool(told.output))
    return msgspec.structs.replace(span, content=content, calls_model=calls)
