"""Count each model call and each tool call once, however many spans tell of it.

Two spans are one model call when they name the same model and the same token counts and one stands inside the
other, or they are siblings of different scopes that overlap in time (SDKs, instrumentations and frameworks
each report the same call). Parallel calls of one scope with equal counts are several calls. A span around
several calls that has their sum, or no counts at all, sums its children.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from traces.summarise.forest import Forest, in_order
from traces.vocabulary import Json, Span, Usage

SUMS = "sums its children"
CALLS_NOTHING = "calls no model"
_encode = msgspec.json.Encoder(order="deterministic").encode
_VERSION = re.compile(r"[-@:.](?:v?[0-9]|latest)")  # what follows a model's bare name
_Key = tuple[str, int | None, int | None]


class Call(msgspec.Struct, frozen=True):
    """One real call of a model: the span that tells most of it, and the token counts of all that tell
    of it.
    """

    span: Span
    usage: Usage
    model: str | None  # that answered, else that was asked; the most exact name of all that tell of it


def encoded(value: Json) -> bytes:
    """A value's one spelling, to compare."""
    return _encode(value)


def count_calls(forest: Forest) -> tuple[list[Call], dict[str, str]]:
    """The model calls in time order, and for each span of kind llm or embedding that is not counted why: the
    ID of the span it repeats, or a word.
    """
    candidates = [span for span in forest.spans if span.calls_model]
    uncounted = {
        span.span_id.hex(): CALLS_NOTHING
        for span in forest.spans
        if span.kind in {"llm", "embedding"} and not span.calls_model
    }
    groups = _Groups(candidates)
    inside = _inside(forest, candidates)
    for outer in sorted(candidates, key=lambda span: -forest.depth(span)):
        inner = [span for span in inside[outer.span_id] if span.span_id.hex() not in uncounted]
        if not inner:
            continue
        same = [span for span in inner if _key(span) == _key(outer) and _same_model(span, outer)]
        if same:
            groups.join(outer, same[0])
        elif _wraps(outer, inner):
            if len(inner) == 1:
                groups.join(outer, inner[0])
            else:
                uncounted[outer.span_id.hex()] = SUMS
    _join_siblings(forest, [span for span in candidates if span.span_id.hex() not in uncounted], groups)
    calls = []
    for group in groups.all():
        group = [span for span in group if span.span_id.hex() not in uncounted]
        if not group:
            continue
        chosen = max(group, key=_telling)
        calls.append(Call(chosen, _most([span.usage for span in group]), _model(group)))
        for span in group:
            if span is not chosen:
                uncounted[span.span_id.hex()] = chosen.span_id.hex()
    calls.sort(key=lambda call: (call.span.started_at, call.span.ended_at, call.span.span_id))
    return calls, uncounted


def uncounted(spans: Sequence[Span]) -> dict[str, str]:
    """For each span that is not counted why, models and tools: the ID of the span it repeats, or a word."""
    forest = Forest(in_order(spans))
    return {**count_calls(forest)[1], **count_tools(forest)[1]}


def _key(span: Span) -> _Key:
    return (span.kind, span.usage.input, span.usage.output)


def _same_model(one: Span, other: Span) -> bool:
    """Whether two spans may name the same model: frameworks report the name they asked for, providers the
    version that answered (`gpt-4o`, `gpt-4o-2024-08-06`), routers put the provider before it
    (`openai/gpt-4o`).
    """
    names = [_bare(span.model_answered or span.model_asked) for span in (one, other)]
    if one.model_asked and other.model_asked and _bare(one.model_asked) == _bare(other.model_asked):
        return True
    if not all(names):
        return True
    short, long = sorted(names, key=len)
    return long == short or (long.startswith(short) and _VERSION.match(long, len(short)) is not None)


def _bare(model: str | None) -> str:
    return (model or "").rpartition("/")[2].lower()


def _model(group: Sequence[Span]) -> str | None:
    answered = sorted(
        (span.model_answered for span in group if span.model_answered), key=lambda name: (len(name), name)
    )
    asked = sorted(
        (span.model_asked for span in group if span.model_asked), key=lambda name: (len(name), name)
    )
    return answered[-1] if answered else asked[-1] if asked else None


def _inside(forest: Forest, candidates: Sequence[Span]) -> defaultdict[bytes, list[Span]]:
    """For each candidate the candidates inside it with no other between."""
    known = {span.span_id for span in candidates}
    found: defaultdict[bytes, list[Span]] = defaultdict(list)
    for span in candidates:
        for ancestor in forest.ancestors(span):
            if ancestor.span_id in known:
                found[ancestor.span_id].append(span)
                break
    return found


def _wraps(outer: Span, inner: Sequence[Span]) -> bool:
    """Whether a call span only stands around other calls: it has no counts of its own, or theirs together."""
    if outer.kind != "llm" and any(span.kind != outer.kind for span in inner):
        return False
    own = (outer.usage.input, outer.usage.output)
    if own == (None, None):
        return True
    if len(inner) == 1 and not _same_model(outer, inner[0]):
        return False
    known = [span for span in inner if (span.usage.input, span.usage.output) != (None, None)]
    if not known:
        return len(inner) == 1 and inner[0].status == outer.status
    return own == (
        sum(span.usage.input or 0 for span in known),
        sum(span.usage.output or 0 for span in known),
    )


def _join_siblings(forest: Forest, candidates: Sequence[Span], groups: "_Groups") -> None:
    buckets: defaultdict[tuple[bytes | None, _Key], list[Span]] = defaultdict(list)
    for span in candidates:
        if span.model_answered or span.model_asked:
            buckets[(span.parent_span_id, _key(span))].append(span)
    for bucket in buckets.values():
        if len({span.scope for span in bucket}) > 1:
            for cluster in _clusters(bucket):
                for span in cluster[1:]:
                    groups.join(cluster[0], span)


def _clusters(bucket: Sequence[Span]) -> list[list[Span]]:
    """Spans that overlap, at most one of each scope together: the earliest fitting cluster takes a span."""
    clusters: list[list[Span]] = []
    open_ones: list[list[Span]] = []
    for span in bucket:  # in time order
        open_ones = [
            cluster for cluster in open_ones if max(one.ended_at for one in cluster) >= span.started_at
        ]
        for cluster in open_ones:
            if all(one.scope != span.scope and _same_model(one, span) for one in cluster):
                cluster.append(span)
                break
        else:
            cluster = [span]
            clusters.append(cluster)
            open_ones.append(cluster)
    return clusters


def _telling(span: Span) -> tuple[int, int, int, int, int]:
    """How much a span tells of its call, to choose the one that is counted."""
    content, usage = span.content, span.usage
    counts = sum(
        count is not None for count in (usage.input, usage.output, usage.cached_input, usage.reasoning)
    )
    return (
        bool(content.output) + bool(content.input),
        counts,
        bool(span.model_answered),
        -span.started_at,
        -int.from_bytes(span.span_id, "big"),
    )


def _most(usages: Sequence[Usage]) -> Usage:
    def most(name: str) -> int | None:
        return max((count for usage in usages if (count := getattr(usage, name)) is not None), default=None)

    return Usage(
        input=most("input"),
        output=most("output"),
        cached_input=most("cached_input"),
        reasoning=most("reasoning"),
    )


class _Groups:
    """Spans that are one call (disjoint sets)."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._leader = {span.span_id: span.span_id for span in spans}

    def _find(self, span_id: bytes) -> bytes:
        while self._leader[span_id] != span_id:
            self._leader[span_id] = self._leader[self._leader[span_id]]
            span_id = self._leader[span_id]
        return span_id

    def join(self, one: Span, other: Span) -> None:
        first, second = sorted((self._find(one.span_id), self._find(other.span_id)))
        self._leader[second] = first

    def all(self) -> list[list[Span]]:
        found: defaultdict[bytes, list[Span]] = defaultdict(list)
        for span in self._spans:
            found[self._find(span.span_id)].append(span)
        return list(found.values())


def count_tools(forest: Forest) -> tuple[list[Span], dict[str, str]]:
    """The spans of kind tool that are counted, in time order, and for each other one the ID of the span it
    repeats: the same tool and the same call or arguments, of another scope, inside or beside it.
    """
    counted: list[Span] = []
    repeats: dict[str, str] = {}
    beside: defaultdict[tuple[object, ...], list[Span]] = defaultdict(list)
    tools = [span for span in forest.spans if span.kind == "tool"]
    for span in sorted(tools, key=lambda span: (forest.depth(span), span.started_at, span.span_id)):
        outer = next(
            (
                ancestor
                for ancestor in forest.ancestors(span)
                if ancestor.kind == "tool" and ancestor.scope != span.scope and _same_tool(ancestor, span)
            ),
            None,
        )
        place = (span.parent_span_id, span.tool_name, encoded(span.content.arguments))
        if outer is None:
            outer = next(
                (
                    other
                    for other in beside[place][-8:]
                    if other.scope != span.scope
                    and other.started_at <= span.ended_at
                    and span.started_at <= other.ended_at
                    and (other.tool_call_id is None or span.tool_call_id in {None, other.tool_call_id})
                ),
                None,
            )
        if outer is None:
            counted.append(span)
            beside[place].append(span)
        else:
            repeats[span.span_id.hex()] = repeats.get(outer.span_id.hex(), outer.span_id.hex())
    counted.sort(key=lambda span: (span.started_at, span.ended_at, span.span_id))
    return counted, repeats


def _same_tool(one: Span, other: Span) -> bool:
    if one.tool_name != other.tool_name:
        return False
    if one.tool_call_id and other.tool_call_id:
        return one.tool_call_id == other.tool_call_id
    return encoded(one.content.arguments) == encoded(other.content.arguments)
