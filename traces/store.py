"""Store: one COPY into the days' partitions; where a key is known already, one COPY into a staging table and
from there what is new: sent twice is stored once.

A body whose ID is known with other content is kept apart (`span_conflict`). The trace is marked dirty in the
same transaction by an upsert that locks its row, so that a settle in flight can never take the mark and miss
the spans.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection
from django.db.backends.utils import CursorWrapper
from psycopg.errors import UniqueViolation

from traces.vocabulary import LogEvent, Span

_EPOCH_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS = 86_400 * 10**9

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


@lru_cache(maxsize=512)
def _date(day: int) -> date:
    return _EPOCH_DAY + timedelta(days=day)


class AlreadyKnown(Exception):
    """A key of the rows is there already: the transaction is lost, and the rows go in by way of staging."""


def _span_row(feature_id: UUID, span: Span, body: bytes) -> tuple[Any, ...]:
    started_at = span.started_at
    usage = span.usage
    return (
        span.trace_id,
        span.span_id,
        feature_id,
        _date(started_at // _DAY_NS),
        _EPOCH + timedelta(microseconds=started_at // 1000),
        span.ended_at - started_at,
        span.kind,
        span.name,
        span.status,
        span.calls_model,
        span.model_answered or span.model_asked,
        _whole(usage.input),
        _whole(usage.output),
        span.tool_name,
        hashlib.sha256(body).digest()[:16],
        body.decode(),
    )


def _event_row(feature_id: UUID, event: LogEvent, body: bytes) -> tuple[Any, ...]:
    return (
        event.trace_id,
        event.span_id or b"",
        feature_id,
        _date(event.observed_at // _DAY_NS),
        event.event_name,
        event.observed_at,
        hashlib.sha256(body).digest()[:16],
        body.decode(),
    )


# The body goes as text: in binary COPY a json value is its text, and it is encoded already.
_SPAN_TYPES = (
    "bytea bytea uuid date timestamptz int8 text text text bool text int8 int8 text bytea text".split()
)
_EVENT_TYPES = "bytea bytea uuid date text int8 bytea text".split()
# Of a row: day, trace, span; the order in which all writers take their keys, so that none waits for another
# crosswise.
_SPAN_KEY = itemgetter(3, 0, 1)
_EVENT_KEY = itemgetter(3, 0, 1, 4, 5, 6)
_SPAN_HASH = 14


def store_spans(feature_id: UUID, spans: Sequence[tuple[Span, bytes]], *, anew: bool = True) -> int:
    """Store spans of one feature with their bodies and mark their traces, inside the caller's transaction;
    returns how many were new.

    `anew` takes them all for new, as they nearly always are. Raises AlreadyKnown where they are not: roll back
    and call again with `anew=False`.
    """
    if not spans:
        return 0
    rows = sorted((_span_row(feature_id, span, body) for span, body in spans), key=_SPAN_KEY)
    with connection.cursor() as cursor:
        if anew:
            rows = _once(rows)
            _copy(cursor, "span", SPAN_COLUMNS, _SPAN_TYPES, rows)
            stored = len(rows)
        else:
            stored = _store_spans_by_staging(cursor, rows)
        mark_dirty(cursor, feature_id, {row[0] for row in rows})
    return stored


def _once(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Sorted rows of spans without those that stand twice. AlreadyKnown when one stands there with another body."""
    kept: list[tuple[Any, ...]] = []
    before: tuple[Any, ...] | None = None
    for row in rows:
        if before is not None and row[1] == before[1] and _SPAN_KEY(row) == _SPAN_KEY(before):
            if row[_SPAN_HASH] != before[_SPAN_HASH]:
                raise AlreadyKnown
            continue
        kept.append(row)
        before = row
    return kept


def _store_spans_by_staging(cursor: CursorWrapper, rows: Sequence[tuple[Any, ...]]) -> int:
    _copy_to_staging(cursor, "span", SPAN_COLUMNS, _SPAN_TYPES, rows)
    # Distinct first: the same span may stand twice in one body.
    cursor.execute(
        f"INSERT INTO span ({SPAN_COLUMNS}) "
        f"SELECT DISTINCT ON (day, trace_id, span_id) {SPAN_COLUMNS} FROM staging_span "
        "ORDER BY day, trace_id, span_id, body_hash ON CONFLICT DO NOTHING"
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
    return stored


def store_events(feature_id: UUID, events: Sequence[tuple[LogEvent, bytes]], *, anew: bool = True) -> int:
    """Store log events of one feature with their bodies and mark their traces; as `store_spans`."""
    if not events:
        return 0
    # Its body is part of an event's key: what stands twice is the same.
    by_key = {_EVENT_KEY(row): row for row in (_event_row(feature_id, event, body) for event, body in events)}
    rows = [by_key[key] for key in sorted(by_key)]
    with connection.cursor() as cursor:
        if anew:
            _copy(cursor, "log_event", EVENT_COLUMNS, _EVENT_TYPES, rows)
            stored = len(rows)
        else:
            _copy_to_staging(cursor, "log_event", EVENT_COLUMNS, _EVENT_TYPES, rows)
            cursor.execute(
                f"INSERT INTO log_event ({EVENT_COLUMNS}) SELECT {EVENT_COLUMNS} FROM staging_log_event "
                "ORDER BY day, trace_id, span_id, event_name, observed_ns, body_hash ON CONFLICT DO NOTHING"
            )
            stored = int(cursor.rowcount)
        mark_dirty(cursor, feature_id, {row[0] for row in rows})
    return stored


def _copy(
    cursor: CursorWrapper, table: str, columns: str, types: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """COPY rows into a table. AlreadyKnown when one of their keys is there."""
    try:
        # Django knows nothing of COPY: what goes wrong in it becomes Django's error here.
        with (
            connection.wrap_database_errors,
            cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
    except IntegrityError as error:
        if isinstance(error.__cause__, UniqueViolation):
            raise AlreadyKnown from error
        raise


def _copy_to_staging(
    cursor: CursorWrapper, table: str, columns: str, types: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """COPY rows into the session's staging table for `table`; it empties itself at the end of the
    transaction.
    """
    cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS staging_{table} (LIKE {table}) ON COMMIT DELETE ROWS")
    _copy(cursor, f"staging_{table}", columns, types, rows)


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
