"""All writes of traces but ingest's: settling, facts, partitions."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from audit.services import Actor, append
from features.models import Feature
from features.policy import active_policy
from traces.models import FactRow, IngestReceipt
from traces.retention import retention_days
from traces.rollups import mark_minutes
from traces.store import mark_dirty, time_of
from traces.summarise import Rules, summarise
from traces.vault import forget_originals
from traces.vocabulary import Fact, LogEvent, Span, Summary

log = logging.getLogger("clearance.settle")

_decode_span = msgspec.json.Decoder(Span).decode
_decode_event = msgspec.json.Decoder(LogEvent).decode
_PARTITIONS_AHEAD_DAYS = 30

TraceKey = tuple[bytes, UUID]


def settle_dirty(limit: int = 100) -> int:
    """Recompute up to `limit` dirty traces from all their spans, log events and facts; returns how many were
    taken.

    One transaction: the marks are locked first, the spans read in a later statement (READ COMMITTED), so
    whatever was acknowledged before the lock is seen; what comes after waits for this commit and marks the
    trace again. A trace that cannot be summarised is logged, left marked and tried again later; the others
    are not held up.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT trace_id, feature_id FROM dirty_trace "
            "WHERE retry_at IS NULL OR retry_at < clock_timestamp() "
            "ORDER BY since LIMIT %s FOR UPDATE SKIP LOCKED",
            [limit],
        )
        keys: list[TraceKey] = [(bytes(trace_id), feature_id) for trace_id, feature_id in cursor.fetchall()]
        if not keys:
            return 0
        rules = {feature_id: _rules(feature_id) for feature_id in {feature_id for _, feature_id in keys}}
        spans = _bodies(cursor, "span", keys)
        events = _bodies(cursor, "log_event", keys)
        facts = _facts(cursor, keys)
        settled: list[tuple[TraceKey, Summary]] = []
        failed: list[TraceKey] = []
        gone: list[TraceKey] = []
        for key in keys:
            if not spans[key] and not events[key]:
                gone.append(key)  # only facts so far, or past retention
                continue
            try:
                summary = summarise(
                    [_decode_span(body) for body in spans[key]],
                    [_decode_event(body) for body in events[key]],
                    facts[key],
                    rules[key[1]],
                )
            except Exception:
                # One poisonous trace must not stop all others; its mark stays, with the number of tries.
                log.exception("trace %s cannot be settled", key[0].hex())
                failed.append(key)
            else:
                settled.append((key, summary))
        if settled:
            _write(cursor, settled)
        _unmark(cursor, [key for key, _ in settled] + gone)
        if failed:
            cursor.execute(
                "UPDATE dirty_trace d SET attempts = attempts + 1, "
                "retry_at = clock_timestamp() + interval '1 second' * least(power(2, attempts), 3600) "
                "FROM unnest(%s::bytea[], %s::uuid[]) k (t, f) WHERE d.trace_id = k.t AND d.feature_id = k.f",
                _columns(failed),
            )
        return len(keys)


def _rules(feature_id: UUID) -> Rules:
    """What the policy in force says about reading traces."""
    policy = active_policy(feature_id)
    return Rules(escalation_tools=frozenset(policy.traces.escalation_tools)) if policy else Rules()


def _columns(keys: Sequence[TraceKey]) -> list[list[Any]]:
    return [[trace_id for trace_id, _ in keys], [feature_id for _, feature_id in keys]]


def _bodies(cursor: CursorWrapper, table: str, keys: Sequence[TraceKey]) -> defaultdict[TraceKey, list[str]]:
    wanted = set(keys)
    found: defaultdict[TraceKey, list[str]] = defaultdict(list)
    cursor.execute(
        f"SELECT trace_id, feature_id, body::text FROM {table} WHERE trace_id = ANY(%s)",
        [list({trace_id for trace_id, _ in keys})],
    )
    for trace_id, feature_id, body in cursor.fetchall():
        if (key := (bytes(trace_id), feature_id)) in wanted:
            found[key].append(body)
    return found


def _facts(cursor: CursorWrapper, keys: Sequence[TraceKey]) -> defaultdict[TraceKey, list[Fact]]:
    found: defaultdict[TraceKey, list[Fact]] = defaultdict(list)
    trace_ids = [trace_id for trace_id, _ in keys]
    for row in FactRow.objects.filter(trace_id__in=trace_ids).order_by("created_at", "id"):
        found[(bytes(row.trace_id), row.feature_id)].append(
            Fact(
                kind=row.kind,
                source=row.source,
                value=row.value,
                created_at=int(row.created_at.timestamp() * 10**9),
            )
        )
    return found


_TRACE_COLUMNS = (
    "trace_id feature_id request_id name session_id user_id variant feature_version segments "
    "started_at duration_ns waiting_ns status outcome outcome_source llm_calls llm_errors embeddings "
    "models input_tokens output_tokens cached_input_tokens tools tool_calls tool_errors retries "
    "violations missing span_count summary settled_at"
).split()
_UPSERT = (
    f"INSERT INTO trace ({', '.join(_TRACE_COLUMNS)}) "
    f"VALUES ({', '.join(['%s'] * (len(_TRACE_COLUMNS) - 1))}, clock_timestamp()) "
    "ON CONFLICT (trace_id, feature_id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _TRACE_COLUMNS[2:])
)


def _write(cursor: CursorWrapper, settled: Sequence[tuple[TraceKey, Summary]]) -> None:
    encode = msgspec.json.Encoder().encode
    rows = []
    for (trace_id, feature_id), summary in settled:
        completeness = msgspec.structs.asdict(summary.completeness)
        missing = [field for field, evidence in completeness.items() if evidence.state == "missing"]
        rows.append(
            (
                trace_id,
                feature_id,
                summary.request_id,
                summary.name,
                summary.session_id,
                summary.user_id,
                summary.variant,
                summary.feature_version,
                encode(summary.segments).decode(),
                time_of(summary.started_at),
                summary.duration_ns,
                summary.waiting_ns,
                summary.status,
                summary.outcome,
                summary.outcome_source,
                summary.llm_calls,
                summary.llm_errors,
                summary.embeddings,
                summary.models,
                summary.input_tokens,
                summary.output_tokens,
                summary.cached_input_tokens,
                sorted({call.name for call in summary.tool_calls}),
                len(summary.tool_calls),
                summary.tool_errors,
                summary.retries,
                len(summary.violations),
                missing,
                summary.span_count,
                encode(summary).decode(),
            )
        )
    # The minutes that a trace leaves and comes to, with the trace: no reader sees one without the other.
    cursor.execute(
        "SELECT t.feature_id, t.started_at FROM trace t JOIN unnest(%s::bytea[], %s::uuid[]) k (t, f) "
        "ON t.trace_id = k.t AND t.feature_id = k.f",
        _columns([key for key, _ in settled]),
    )
    starts = [*cursor.fetchall(), *((key[1], time_of(summary.started_at)) for key, summary in settled)]
    cursor.executemany(_UPSERT, rows)
    mark_minutes(cursor, starts)


def _unmark(cursor: CursorWrapper, keys: Sequence[TraceKey]) -> None:
    cursor.execute(
        "DELETE FROM dirty_trace d USING unnest(%s::bytea[], %s::uuid[]) k (t, f) "
        "WHERE d.trace_id = k.t AND d.feature_id = k.f",
        _columns(keys),
    )


def add_facts(feature: Feature, trace_id: bytes, facts: Iterable[tuple[str, str, Any]]) -> None:
    """Write facts (kind, source, value) about a trace and mark it, in one transaction; also before it has
    arrived.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for kind, source, value in facts:
            FactRow.objects.create(feature=feature, trace_id=trace_id, kind=kind, source=source, value=value)
        mark_dirty(cursor, feature.pk, [trace_id])


def ensure_partitions() -> int:
    """Make the day partitions of the whole accepted range and some days ahead; returns how many were made.

    Ingest itself runs no DDL: making a partition waits for every insert under way.
    """
    today = datetime.now(UTC).date()
    first = today - timedelta(days=settings.RETENTION_DAYS + 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ensure_partitions(%s, %s)", [first, today + timedelta(days=_PARTITIONS_AHEAD_DAYS)]
        )
        return int(cursor.fetchone()[0])


def forget_old_receipts() -> int:
    """Delete ingest receipts older than a day; returns how many."""
    deleted, _ = IngestReceipt.objects.filter(at__lt=datetime.now(UTC) - timedelta(days=1)).delete()
    return deleted


def forget_expired() -> int:
    """Delete the traces that are older than their feature's policy keeps them, and what tokens of them stood
    for; returns how many traces. Each feature by itself and recorded where anything went.
    """
    forgotten = 0
    for feature in Feature.objects.all():
        before = datetime.now(UTC).date() - timedelta(days=retention_days(active_policy(feature.pk)))
        with transaction.atomic(), connection.cursor() as cursor:
            spans = 0
            for table in ("span", "log_event"):
                cursor.execute(
                    f"DELETE FROM {table} WHERE feature_id = %s AND day < %s", [feature.pk, before]
                )
                spans += cursor.rowcount
            # A trace that goes on keeps its summary until its last span is gone.
            cursor.execute(
                "DELETE FROM trace t WHERE feature_id = %s AND started_at < %s AND NOT EXISTS "
                "(SELECT FROM span s WHERE s.trace_id = t.trace_id AND s.feature_id = t.feature_id) AND NOT EXISTS "
                "(SELECT FROM log_event e WHERE e.trace_id = t.trace_id AND e.feature_id = t.feature_id)",
                [feature.pk, before],
            )
            traces = cursor.rowcount
            cursor.execute(
                "DELETE FROM span_conflict WHERE feature_id = %s AND received_at < %s", [feature.pk, before]
            )
            originals = forget_originals(feature.pk, before)
            if spans or traces or originals:
                append(
                    Actor("system", "retention"),
                    "retention.run",
                    feature=str(feature.pk),
                    subject=("feature", str(feature.pk)),
                    before=before.isoformat(),
                    traces=traces,
                    spans=spans,
                )
        forgotten += traces
    return forgotten
