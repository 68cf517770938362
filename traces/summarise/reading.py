"""One trace as settle reads it: its spans in their fixed order with what log events say of them."""

from collections.abc import Sequence

import msgspec

from traces.summarise.forest import Forest, choose
from traces.summarise.joining import attach_contents, contents_of, events_in_order
from traces.vocabulary import Content, LogEvent, Span


class Reading(msgspec.Struct, frozen=True):
    """`events` each once and in order; `loose`: what events say of no span that is there; `conflicting`: two
    bodies came under one span ID.
    """

    forest: Forest
    events: list[LogEvent]
    loose: list[Content]
    conflicting: bool

    @property
    def spans(self) -> Sequence[Span]:
        return self.forest.spans


def read(spans: Sequence[Span], events: Sequence[LogEvent]) -> Reading:
    """The trace that these spans and log events make, in whatever order they came and however often. At least
    one of either; ValueError without.
    """
    if not spans and not events:
        raise ValueError("a trace has at least one span or log event")
    chosen, conflicting = choose(spans)
    kept = events_in_order(events)
    contents = contents_of(kept)
    forest = Forest(attach_contents(chosen, contents) if contents else chosen)
    loose = [content for span_id, content in contents.items() if span_id not in forest.by_id]
    return Reading(forest, kept, loose, conflicting)
