"""Store: one COPY into a staging table, then in key order into the day's partition; sent twice is stored
once.

A body whose ID is known with other content is kept apart (`span_conflict`). The trace is marked dirty in the
same transaction by an upsert that locks its row, so that a settle in flight can never take the mark and miss
the spans.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection
from django.db.backends.utils import CursorWrapper

from traces.vocabulary import LogEvent, Span

_EPOCH_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS = 86_400 * 10**9
_encode = msgspec.json.Encoder().encode

SPAN_COLUMNS = (
    "trace_id, span_id, feature_id, day, started_at, duration_ns, kind, name, status, calls_model, model,"
    " input_tokens, output_tokens, tool_name, body_hash, body"
)
EVENT_COLUMNS = "trace_id, span_id, feature_id, day, event_name, observed_ns, body_hash, body"
_MAX_BIGINT = 2**63 - 1


def day_of(nanoseconds: int) -> date:
    """The UTC day of a time in nanoseconds since the epoch: the partition's key."""
    return _EPOCH_DAY + timedelta(days=nanoseconds // _DAY_NS)


def time_of(nanoseconds: int) -> datetime:
    """The time as PostgreSQL keeps it, to the microsecond."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _whole(value: int | None) -> int | None:
    return None if value is None else max(-_MAX_BIGINT, min(value, _MAX_BIGINT))


def _span_row(feature_id: UUID, span: Span) -> tuple[Any, ...]:
    body = _encode(span)
    return (
        span.trace_id,
        span.span_id,
        feature_id,
        day_of(span.started_at),
        time_of(span.started_at),
        span.ended_at - span.started_at,
        span.kind,
        span.name,
        span.status,
        span.calls_model,
        span.model_answered or span.model_asked,
        _whole(span.usage.input),
        _whole(span.usage.output),
        span.tool_name,
        hashlib.sha256(body).digest()[:16],
        body.decode(),
    )


def _event_row(feature_id: UUID, event: LogEvent) -> tuple[Any, ...]:
    body = _encode(event)
    return (
        event.trace_id,
        event.span_id or b"",
        feature_id,
        day_of(event.observed_at),
        event.event_name,
        event.observed_at,
        hashlib.sha256(body).digest()[:16],
        body.decode(),
    )


def _copy(
    cursor: CursorWrapper, table: str, columns: str, types: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """COPY rows into the session's staging table for `table`; it empties itself at the end of the
    transaction.
    """
    cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS staging_{table} (LIKE {table}) ON COMMIT DELETE ROWS")
    with cursor.copy(f"COPY staging_{table} ({columns}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


# The body goes as text: in binary COPY a json value is its text, and it is encoded already.
_SPAN_TYPES = (
    "bytea bytea uuid date timestamptz int8 text text text bool text int8 int8 text bytea text".split()
)
_EVENT_TYPES = "bytea bytea uuid date text int8 bytea text".split()


def store_spans(feature_id: UUID, spans: Sequence[Span]) -> int:
    """Store spans of one feature and mark their traces, inside the caller's transaction; returns how many
    were new.
    """
    if not spans:
        return 0
    with connection.cursor() as cursor:
        rows = [_span_row(feature_id, span) for span in spans]
        _copy(cursor, "span", SPAN_COLUMNS, _SPAN_TYPES, rows)
        # Distinct first: the same span may stand twice in one body.
        cursor.execute(
            f"INSERT INTO span ({SPAN_COLUMNS}) "
            f"SELECT DISTINCT ON (trace_id, span_id, day) {SPAN_COLUMNS} FROM staging_span "
            "ORDER BY trace_id, span_id, day, body_hash ON CONFLICT DO NOTHING"
        )
        stored = int(cursor.rowcount)
        if stored < len(rows):
            cursor.execute(
                "INSERT INTO span_conflict (trace_id, span_id, feature_id, body_hash, body) "
                "SELECT DISTINCT s.trace_id, s.span_id, s.feature_id, s.body_hash, s.body::text "
                "FROM staging_span s "
                "JOIN span o USING (trace_id, span_id, feature_id, day) WHERE o.body_hash <> s.body_hash "
                "ORDER BY 1, 2, 4 ON CONFLICT DO NOTHING"
            )
        mark_dirty(cursor, feature_id, {span.trace_id for span in spans})
    return stored


def store_events(feature_id: UUID, events: Sequence[LogEvent]) -> int:
    """Store log events of one feature and mark their traces; returns how many were new."""
    if not events:
        return 0
    with connection.cursor() as cursor:
        _copy(
            cursor,
            "log_event",
            EVENT_COLUMNS,
            _EVENT_TYPES,
            [_event_row(feature_id, event) for event in events],
        )
        cursor.execute(
            f"INSERT INTO log_event ({EVENT_COLUMNS}) SELECT {EVENT_COLUMNS} FROM staging_log_event "
            "ORDER BY trace_id, span_id, event_name, observed_ns, body_hash ON CONFLICT DO NOTHING"
        )
        stored = int(cursor.rowcount)
        mark_dirty(cursor, feature_id, {event.trace_id for event in events})
    return stored


def mark_dirty(cursor: CursorWrapper, feature_id: UUID, trace_ids: Iterable[bytes]) -> None:
    """Put traces on the work list. DO UPDATE locks the row against a settle in flight; DO NOTHING would lose
    spans.
    """
    cursor.execute(
        "INSERT INTO dirty_trace (trace_id, feature_id) SELECT t, %s FROM unnest(%s::bytea[]) t ORDER BY t "
        "ON CONFLICT (trace_id, feature_id) DO UPDATE "
        "SET marked_at = clock_timestamp(), attempts = 0, retry_at = NULL",
        [feature_id, sorted(trace_ids)],
    )
