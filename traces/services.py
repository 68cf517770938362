"""All writes of traces but ingest's: settling (traces/settling/), facts, partitions."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from audit.services import Actor, append
from features.models import Feature
from features.policy import active_policy
from traces.models import FactRow, IngestReceipt
from traces.retention import retention_days
from traces.settling import settle_dirty
from traces.store import mark_dirty
from traces.vault import forget_originals

__all__ = ["add_facts", "ensure_partitions", "forget_expired", "forget_old_receipts", "settle_dirty"]

_PARTITIONS_AHEAD_DAYS = 30


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
