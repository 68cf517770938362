"""The spans of a trace in one fixed order, and who stands inside whom, whatever the parents' IDs say."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from traces.vocabulary import Span

_encode = msgspec.json.Encoder(order="deterministic").encode


def in_order(spans: Iterable[Span]) -> list[Span]:
    """Each span ID once, by start and ID; of several bodies under one ID the same one whichever came first."""
    return choose(spans)[0]


def choose(spans: Iterable[Span]) -> tuple[list[Span], bool]:
    """(the spans as `in_order` gives them, whether two bodies came under one ID). Of several bodies the one that
    ends last is taken, then the longest, then the last in byte order: an emitter that sends a span while it runs
    and again when it is done means the second.
    """
    chosen: dict[bytes, Span] = {}
    conflicting = False
    for span in spans:
        known = chosen.setdefault(span.span_id, span)
        if known is not span:
            rank, known_rank = _rank(span), _rank(known)
            conflicting = conflicting or rank != known_rank
            if rank > known_rank:
                chosen[span.span_id] = span
    return sorted(chosen.values(), key=_place), conflicting


def _place(span: Span) -> tuple[int, int, bytes]:
    return (span.started_at, span.ended_at, span.span_id)


def _rank(span: Span) -> tuple[int, int, bytes]:
    body = _encode(span)
    return (span.ended_at, len(body), body)


class Forest:
    """Parents and depths. A parent that is absent, or that would close a circle, counts as none."""

    def __init__(self, spans: Sequence[Span]) -> None:
        """`spans` as `in_order` gives them."""
        self.spans = spans
        self.by_id = {span.span_id: span for span in spans}
        self._parent: dict[bytes, bytes | None] = {
            span.span_id: span.parent_span_id if span.parent_span_id in self.by_id else None for span in spans
        }
        self._depth: dict[bytes, int] = {}
        for span in spans:
            self._settle_depth(span.span_id)

    def _settle_depth(self, span_id: bytes) -> None:
        path: list[bytes] = []
        on_path: set[bytes] = set()
        at: bytes | None = span_id
        while at is not None and at not in self._depth:
            if at in on_path:
                self._parent[path[-1]] = None
                break
            path.append(at)
            on_path.add(at)
            at = self._parent[at]
        for step in reversed(path):
            parent = self._parent[step]
            self._depth[step] = 0 if parent is None else self._depth[parent] + 1

    def depth(self, span: Span) -> int:
        return self._depth[span.span_id]

    def parent(self, span: Span) -> Span | None:
        parent = self._parent[span.span_id]
        return None if parent is None else self.by_id[parent]

    def ancestors(self, span: Span) -> Iterator[Span]:
        """From the parent up."""
        at = self.parent(span)
        while at is not None:
            yield at
            at = self.parent(at)

    def root(self) -> Span | None:
        """The span that says it has no parent, else one whose parent is absent; the earliest of several."""
        tops = [span for span in self.spans if self._parent[span.span_id] is None]
        return next((span for span in tops if span.parent_span_id is None), tops[0] if tops else None)
