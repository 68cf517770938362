"""What higher rooms know of a trace that is not a span, kept as rows that settle reads."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from traces.models import FactRow, Participant
from traces.store import mark_dirty
from traces.wake import wake

__all__ = ["keep_decision", "keep_execution", "keep_participant"]

# Of an execution whose decision named no trace: found when a span names the execution.
_NO_TRACE = b""


def keep_execution(
    feature_id: UUID, execution_id: UUID, trace_id: bytes | None, value: dict[str, Any], at: datetime
) -> None:
    """Keep, in the caller's transaction, that an execution started. The trace is marked after the commit: a settle in
    flight is never waited for, and what it misses is settled again.
    """
    FactRow.objects.create(
        feature_id=feature_id,
        trace_id=trace_id or _NO_TRACE,
        kind="execution",
        source=str(execution_id),
        value=value,
        created_at=at,
        digest=execution_id.bytes,
    )
    if trace_id:
        transaction.on_commit(lambda: _mark(feature_id, trace_id), robust=True)


def keep_decision(feature_id: UUID, decision_id: UUID, trace_id: bytes, answer: str, at: datetime) -> None:
    """Keep, in the caller's transaction, what was decided about an action that a trace asked for."""
    FactRow.objects.create(
        feature_id=feature_id,
        trace_id=trace_id,
        kind="decision",
        source=str(decision_id),
        value={"answer": answer},
        created_at=at,
        digest=decision_id.bytes,
    )
    transaction.on_commit(lambda: _mark(feature_id, trace_id), robust=True)


def keep_participant(
    feature_id: UUID, trace_id: bytes | memoryview | None, person_id: UUID, part: str
) -> None:
    """Keep, in the caller's transaction, that a person had a part in what a trace did; again: nothing."""
    if trace_id:
        row = Participant(feature_id=feature_id, trace_id=bytes(trace_id), person_id=person_id, part=part)
        Participant.objects.bulk_create([row], ignore_conflicts=True)


def _mark(feature_id: UUID, trace_id: bytes) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        mark_dirty(cursor, feature_id, [trace_id])
    wake()
