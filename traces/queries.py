"""All reads of traces: the list, one trace by any of its IDs, what the onboarding waits for."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec
from django.db import connection

from features.models import Feature
from traces.metrics import MetricGroup, metrics
from traces.models import DirtyTrace, IngestReceipt, SpanConflict, Trace
from traces.redaction_key import redactor_for
from traces.search.searching import search
from traces.search.tree import And, Match, Node
from traces.statistics import Rate
from traces.store import day_of
from traces.summarise import attach_events, in_order
from traces.vocabulary import LogEvent, Span, Summary

__all__ = [
    "MetricGroup",
    "Rate",
    "TraceDetail",
    "TraceFilter",
    "TracePage",
    "TraceRow",
    "find_trace",
    "first_trace_at",
    "ingest_receipts",
    "is_settling",
    "last_trace_at",
    "latest_trace",
    "list_traces",
    "locate",
    "metrics",
    "row_of",
    "session_before",
    "summary_of",
    "tree_of",
]

FIELDS = 6  # of completeness


class TraceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of traces is narrowed to; None and empty narrow nothing. All are ANDed."""

    outcome: str | None = None
    status: str | None = None
    variant: str | None = None
    model: str | None = None
    tool: str | None = None
    violation: bool = False
    tool_error: bool = False
    incomplete: bool = False
    missing: str | None = None
    user: str | None = None
    session: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    order: Literal["newest", "slowest"] = "newest"


class TraceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list of traces."""

    trace_id: str
    request_id: str
    feature_slug: str
    feature_name: str
    name: str
    started_at: datetime
    duration_ms: float
    waiting_ms: float
    status: str
    outcome: str
    outcome_source: str
    models: list[str]
    tool_calls: int
    tool_errors: int
    llm_calls: int
    llm_errors: int
    input_tokens: int
    output_tokens: int
    violations: int
    complete: int  # fields of completeness that are not missing
    of: int
    missing: list[str]
    variant: str
    session_id: str | None
    user_id: str | None
    cost_usd: Decimal | None
    unknown_cost_calls: int
    version: str | None
    error: str | None
    rules: list[str]


class TracePage(msgspec.Struct, frozen=True):
    """A page of a list; `next` is the cursor of the page after it; `total` is exact up to 10,000."""

    results: list[TraceRow]
    next: str | None
    total: int


class TraceDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One trace with its spans."""

    feature: Feature
    trace: Trace
    settled: Summary
    summary: dict[str, Any]  # the body of api.md 4 without spans, and what the page needs besides
    spans: list[Span]  # redacted, completed by the log events of the same span
    conflicts: list[str]  # span IDs under which a different body came later
    also: list[str]  # other traces of the same request ID, hex, newest first


def row_of(trace: Trace) -> TraceRow:
    """The line of a trace."""
    return TraceRow(
        trace_id=bytes(trace.trace_id).hex(),
        request_id=trace.request_id,
        feature_slug=trace.feature.slug,
        feature_name=trace.feature.name,
        name=trace.name,
        started_at=trace.started_at,
        duration_ms=trace.duration_ns / 1e6,
        waiting_ms=trace.waiting_ns / 1e6,
        status=trace.status,
        outcome=trace.outcome,
        outcome_source=trace.outcome_source,
        models=trace.models,
        tool_calls=trace.tool_calls,
        tool_errors=trace.tool_errors,
        llm_calls=trace.llm_calls,
        llm_errors=trace.llm_errors,
        input_tokens=trace.input_tokens,
        output_tokens=trace.output_tokens,
        violations=trace.violations,
        complete=FIELDS - len(trace.missing),
        of=FIELDS,
        missing=trace.missing,
        variant=trace.variant,
        session_id=trace.session_id,
        user_id=trace.user_id,
        cost_usd=trace.cost_usd,
        unknown_cost_calls=trace.unknown_cost_calls,
        version=trace.feature_version,
        error=trace.error_signature,
        rules=trace.violated_rules,
    )


def tree_of(wanted: TraceFilter) -> Node | None:
    """What a filter narrows to, as a search asks it."""
    texts = {
        "outcome": wanted.outcome,
        "status": wanted.status,
        "variant": wanted.variant,
        "model": wanted.model,
        "tool": wanted.tool,
        "missing": wanted.missing,
        "user": wanted.user,
        "session": wanted.session,
    }
    flags = {"violation": wanted.violation, "tool_error": wanted.tool_error, "incomplete": wanted.incomplete}
    nodes: list[Node] = [Match(key, value) for key, value in texts.items() if value is not None]
    nodes += [Match("has", flag) for flag, asked in flags.items() if asked]
    return And(tuple(nodes)) if len(nodes) > 1 else (nodes[0] if nodes else None)


def list_traces(
    features: Sequence[Feature], wanted: TraceFilter, limit: int = 50, cursor: str | None = None
) -> TracePage:
    """A page of the traces of these features, newest (or slowest) first, by keyset. BadField for a bad
    cursor.
    """
    found = search(
        features,
        tree_of(wanted),
        wanted.start,
        wanted.end,
        order=wanted.order,
        limit=limit,
        cursor=cursor,
        bodies=False,
    )
    return TracePage([row_of(trace) for trace in found.traces], found.next, found.total.n)


def latest_trace(feature: Feature) -> TraceRow | None:
    """The feature's newest settled trace."""
    found = search([feature], None, limit=1, counted=False, bodies=False).traces
    return row_of(found[0]) if found else None


def _hex_id(text: str) -> bytes | None:
    if len(text) != 32:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _spellings(features: Iterable[Feature], text: str) -> list[str]:
    """The ID as typed, and as each feature's redaction would have stored it."""
    return sorted({text, *(redactor_for(feature.pk).redact_text(text)[0] for feature in features)})


def locate(features: Sequence[Feature], text: str) -> list[Trace]:
    """The traces that an ID names, newest first: a trace ID, else a request ID. Empty: none that is
    settled.
    """
    text = text.replace("\x00", "")
    mine = Trace.objects.filter(feature_id__in=[feature.pk for feature in features]).select_related("feature")
    order = ("-started_at", "-trace_id")
    if (trace_id := _hex_id(text)) and (found := list(mine.filter(trace_id=trace_id).order_by(*order)[:50])):
        return found
    return list(mine.filter(request_id__in=_spellings(features, text)).order_by(*order)[:50])


def find_trace(features: Sequence[Feature], text: str) -> TraceDetail | None:
    """The newest settled trace of these features that has this trace ID or request ID, with its spans."""
    found = locate(features, text)
    if not found:
        return None
    trace = found[0]
    others = Trace.objects.filter(feature_id=trace.feature_id, request_id=trace.request_id)
    others = others.exclude(trace_id=trace.trace_id).order_by("-started_at", "-trace_id")
    also = [bytes(other).hex() for other in others.values_list("trace_id", flat=True)[:50]]
    settled = msgspec.convert(trace.summary, Summary)
    trace_id = bytes(trace.trace_id)
    first = day_of(settled.started_at)
    last = day_of(settled.started_at + settled.duration_ns)
    spans, events = _stored(trace_id, trace.feature_id, first, last)
    conflicts = SpanConflict.objects.filter(trace_id=trace_id, feature_id=trace.feature_id).values_list(
        "span_id"
    )
    return TraceDetail(
        feature=trace.feature,
        trace=trace,
        settled=settled,
        summary=summary_of(trace, also),
        spans=attach_events(spans, events),
        conflicts=sorted({bytes(span_id).hex() for (span_id,) in conflicts}),
        also=also,
    )


def session_before(trace: Trace, most: int) -> list[list[Span]]:
    """The spans of the `most` requests of the same session just before, the oldest first."""
    if not trace.session_id:
        return []
    rows = (
        Trace.objects.filter(
            feature=trace.feature_id, session_id=trace.session_id, started_at__lt=trace.started_at
        )
        .order_by("-started_at", "-trace_id")
        .values_list("trace_id", "started_at", "duration_ns")[:most]
    )
    found = []
    for trace_id, started_at, duration_ns in rows:
        first, last = started_at.date(), (started_at + timedelta(microseconds=duration_ns / 1000)).date()
        found.append(attach_events(*_stored(bytes(trace_id), trace.feature_id, first, last)))
    return found[::-1]


def _stored(trace_id: bytes, feature_id: UUID, first: Any, last: Any) -> tuple[list[Span], list[LogEvent]]:
    """Spans and log events of a trace. The days only narrow the partitions: log records may be noted a day
    off.
    """
    around = [first - timedelta(days=1), last + timedelta(days=1)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT body::text FROM all_span WHERE trace_id = %s AND feature_id = %s AND day BETWEEN %s AND %s "
            "ORDER BY started_at, span_id",
            [trace_id, feature_id, *around],
        )
        spans = [msgspec.json.decode(body, type=Span) for (body,) in cursor.fetchall()]
        # Of several bodies under one ID the page shows the one that settle took.
        cursor.execute(
            "SELECT body FROM span_conflict WHERE trace_id = %s AND feature_id = %s", [trace_id, feature_id]
        )
        spans = in_order([*spans, *(msgspec.json.decode(body, type=Span) for (body,) in cursor.fetchall())])
        cursor.execute(
            "SELECT body::text FROM all_log_event WHERE trace_id = %s AND feature_id = %s ORDER BY observed_ns",
            [trace_id, feature_id],
        )
        events = [msgspec.json.decode(body, type=LogEvent) for (body,) in cursor.fetchall()]
    return spans, events


def summary_of(trace: Trace, also: Sequence[str] = ()) -> dict[str, Any]:
    """The body of api.md 4 without spans; `also` are the other traces of the same request ID."""
    settled = msgspec.convert(trace.summary, Summary)
    evidence = msgspec.structs.asdict(settled.completeness)
    return {
        "trace_id": bytes(trace.trace_id).hex(),
        "request_id": trace.request_id,
        "feature": trace.feature.slug,
        "name": trace.name,
        "session_id": trace.session_id,
        "user_id": trace.user_id,
        "variant": trace.variant,
        "feature_version": trace.feature_version,
        "segments": trace.segments,
        "also": list(also),
        "started_at": rfc3339(trace.started_at),
        "duration_ms": trace.duration_ns / 1e6,
        "waiting_ms": trace.waiting_ns / 1e6,
        "status": trace.status,
        "outcome": trace.outcome,
        "outcome_source": trace.outcome_source,
        "llm_calls": trace.llm_calls,
        "llm_errors": trace.llm_errors,
        "embeddings": trace.embeddings,
        "models": trace.models,
        "input_tokens": trace.input_tokens,
        "output_tokens": trace.output_tokens,
        "cached_input_tokens": trace.cached_input_tokens,
        "cost_usd": settled.cost_usd,
        "unknown_cost_calls": settled.unknown_cost_calls,
        "context_tokens": settled.context_tokens,
        "over_budget_calls": settled.over_budget_calls,
        "error_signature": settled.error_signature,
        "policy": settled.policy,
        "rule_faults": settled.rule_faults,
        "retries": trace.retries,
        "tool_calls": [msgspec.structs.asdict(call) for call in settled.tool_calls],
        "retrieved_ids": settled.retrieved_ids,
        "final_output": settled.final_output,
        "violations": [msgspec.structs.asdict(violation) for violation in settled.violations],
        "completeness": {field: found.state for field, found in evidence.items()},
        "completeness_evidence": {field: msgspec.structs.asdict(found) for field, found in evidence.items()},
        "redactions": settled.redactions,
        "span_count": trace.span_count,
        "root_span_id": settled.root_span_id,
        "uncounted": settled.uncounted,
    }


def rfc3339(at: datetime) -> str:
    """RFC 3339 in UTC, as the API writes every time."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def is_settling(features: Sequence[Feature], text: str) -> bool:
    """Whether spans with this trace ID or request ID are stored and wait to be settled."""
    ids = [feature.pk for feature in features]
    if trace_id := _hex_id(text):
        return DirtyTrace.objects.filter(trace_id=trace_id, feature_id__in=ids).exists()
    with connection.cursor() as cursor:
        # The work list is short when workers live; bounded for when they do not.
        cursor.execute(
            "SELECT EXISTS (SELECT FROM "
            "(SELECT trace_id, feature_id FROM dirty_trace WHERE feature_id = ANY(%s) "
            "ORDER BY since LIMIT 1000) d JOIN span s USING (trace_id, feature_id) "
            "WHERE s.body -> 'claims' ->> 'request_id' = ANY(%s))",
            [ids, _spellings(features, text.replace(chr(0), ""))],
        )
        return bool(cursor.fetchone()[0])


def first_trace_at(feature: Feature) -> datetime | None:
    """When the feature's earliest settled trace started; None: none yet."""
    row = Trace.objects.filter(feature=feature).order_by("started_at").values_list("started_at").first()
    return row[0] if row else None


def last_trace_at(feature: Feature) -> datetime | None:
    """When the feature's latest settled trace started; None: none yet."""
    row = Trace.objects.filter(feature=feature).order_by("-started_at").values_list("started_at").first()
    return row[0] if row else None


def ingest_receipts(feature: Feature, limit: int = 20) -> list[IngestReceipt]:
    """The latest bodies that came with a key of the feature, accepted and refused, newest first."""
    return list(IngestReceipt.objects.filter(feature=feature).order_by("-at", "-id")[:limit])
