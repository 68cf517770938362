"""The results of settling, written by COPY into staging tables and from there in key order: the trace's row, its
search document, the marks of the minutes it touches.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection
from django.db.backends.utils import CursorWrapper

from traces.rollups import mark_minutes
from traces.settling.inputs import Before, TraceKey, columns
from traces.store import day_of, time_of
from traces.summarise import SearchText, missing_fields
from traces.terms import plain_words
from traces.vocabulary import Summary

_encode = msgspec.json.Encoder().encode

# Column and type. JSON goes as text and is cast on the way: the binary form of jsonb has a version before it.
_TRACE: tuple[tuple[str, str], ...] = (
    ("trace_id", "bytea"),
    ("feature_id", "uuid"),
    ("request_id", "text"),
    ("name", "text"),
    ("session_id", "text"),
    ("user_id", "text"),
    ("variant", "text"),
    ("feature_version", "text"),
    ("segments", "jsonb"),
    ("started_at", "timestamptz"),
    ("duration_ns", "int8"),
    ("waiting_ns", "int8"),
    ("status", "text"),
    ("outcome", "text"),
    ("outcome_source", "text"),
    ("llm_calls", "int4"),
    ("llm_errors", "int4"),
    ("embeddings", "int4"),
    ("models", "text[]"),
    ("input_tokens", "int8"),
    ("output_tokens", "int8"),
    ("cached_input_tokens", "int8"),
    ("tools", "text[]"),
    ("tool_calls", "int4"),
    ("tool_errors", "int4"),
    ("retries", "int4"),
    ("violations", "int4"),
    ("missing", "text[]"),
    ("span_count", "int4"),
    ("cost_usd", "numeric"),
    ("unknown_cost_calls", "int4"),
    ("context_tokens", "int8"),
    ("budgeted_calls", "int4"),
    ("over_budget_calls", "int4"),
    ("violated_rules", "text[]"),
    ("error_signature", "text"),
    ("policy", "int4"),
    ("executions", "uuid[]"),
    ("summary", "jsonb"),
)
_DOCUMENT: tuple[tuple[str, str], ...] = (
    ("trace_id", "bytea"),
    ("feature_id", "uuid"),
    ("day", "date"),
    ("started_at", "timestamptz"),
    ("worked_ns", "int8"),
    ("tokens", "int8"),
    ("cost_usd", "numeric"),
    ("lexemes", "text[]"),
    ("document", "text"),
    ("words", "text"),  # the document as search_plain would make it
)


class Settled(NamedTuple):
    """One trace's result."""

    key: TraceKey
    summary: Summary
    text: SearchText
    before: Before | None


def write(cursor: CursorWrapper, settled: Sequence[Settled]) -> None:
    """Write the results of several traces, all or none. The minutes come last: their marks are shared by everything
    that goes on, and a lock on one is held until the commit.
    """
    settled = sorted(settled, key=lambda one: one.key)
    _stage(cursor, "settled_trace", _TRACE, (_trace_row(one) for one in settled))
    cursor.execute(_UPSERT_TRACE)
    moved = [
        one.key
        for one in settled
        if one.before and one.before.started_at.astimezone(UTC).date() != day_of(one.summary.started_at)
    ]
    if moved:
        cursor.execute(
            "DELETE FROM search_document d USING unnest(%s::bytea[], %s::uuid[]) k (t, f) "
            "WHERE d.trace_id = k.t AND d.feature_id = k.f",
            columns(moved),
        )
    _stage(cursor, "settled_document", _DOCUMENT, (_document_row(one) for one in settled))
    cursor.execute(_UPSERT_DOCUMENT)
    mark_minutes(cursor, _starts(settled))


def _starts(settled: Iterable[Settled]) -> Iterable[tuple[UUID, datetime]]:
    """Where each trace starts, and where it did."""
    for one in settled:
        yield one.key[1], time_of(one.summary.started_at)
        if one.before:
            yield one.key[1], one.before.started_at


def _stage(
    cursor: CursorWrapper, name: str, shape: Sequence[tuple[str, str]], rows: Iterable[tuple[Any, ...]]
) -> None:
    """COPY rows into a staging table of the session, which is emptied first and at the end of the transaction."""
    types = ["text" if kind == "jsonb" else kind for _, kind in shape]
    made = ", ".join(f"{column} {kind}" for (column, _), kind in zip(shape, types, strict=True))
    cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({made}) ON COMMIT DELETE ROWS")
    cursor.execute(f"DELETE FROM pg_temp.{name}")
    names = ", ".join(column for column, _ in shape)
    # Django does not turn what a COPY raises into its own errors.
    with (
        connection.wrap_database_errors,
        cursor.copy(f"COPY pg_temp.{name} ({names}) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


_NAMES = [column for column, _ in _TRACE]
_UPSERT_TRACE = (
    f"INSERT INTO trace ({', '.join(_NAMES)}, settled_at) SELECT "
    + ", ".join(f"{column}::{kind}" if kind == "jsonb" else column for column, kind in _TRACE)
    + ", clock_timestamp() FROM pg_temp.settled_trace ORDER BY trace_id, feature_id "
    "ON CONFLICT (trace_id, feature_id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in [*_NAMES[2:], "settled_at"])
)
_UPSERT_DOCUMENT = (
    "INSERT INTO search_document "
    "(trace_id, feature_id, day, started_at, worked_ns, tokens, cost_usd, terms, document) "
    "SELECT trace_id, feature_id, day, started_at, worked_ns, tokens, cost_usd, "
    "array_to_tsvector(lexemes) || to_tsvector('simple', words), document "
    "FROM pg_temp.settled_document ORDER BY trace_id, feature_id "
    "ON CONFLICT (trace_id, feature_id, day) DO UPDATE SET started_at = excluded.started_at, "
    "worked_ns = excluded.worked_ns, tokens = excluded.tokens, cost_usd = excluded.cost_usd, "
    "terms = excluded.terms, document = excluded.document"
)


def _cost(summary: Summary) -> Decimal | None:
    return None if summary.cost_usd is None else Decimal(summary.cost_usd)


def _trace_row(one: Settled) -> tuple[Any, ...]:
    summary = one.summary
    return (
        *one.key,
        summary.request_id,
        summary.name,
        summary.session_id,
        summary.user_id,
        summary.variant,
        summary.feature_version,
        _encode(summary.segments).decode(),
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
        missing_fields(summary),
        summary.span_count,
        _cost(summary),
        summary.unknown_cost_calls,
        summary.context_tokens,
        summary.budgeted_calls,
        summary.over_budget_calls,
        sorted({violation.rule for violation in summary.violations}),
        summary.error_signature,
        summary.policy,
        sorted(executions_of(summary)),
        _encode(summary).decode(),
    )


def executions_of(summary: Summary) -> set[UUID]:
    """The executions that the trace shows runs of."""
    return {UUID(call.execution) for call in summary.tool_calls if call.execution}


def _document_row(one: Settled) -> tuple[Any, ...]:
    summary, text = one.summary, one.text
    return (
        *one.key,
        day_of(summary.started_at),
        time_of(summary.started_at),
        max(0, summary.duration_ns - summary.waiting_ns),
        summary.input_tokens + summary.output_tokens,
        _cost(summary),
        text.lexemes,
        text.document,
        plain_words(text.document),
    )
