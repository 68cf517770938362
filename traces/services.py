"""All writes of traces but ingest's and retention's: settling (traces/settling/), facts."""

from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction

from features.models import Feature
from traces.models import FactRow
from traces.settling import settle_dirty
from traces.store import mark_dirty

__all__ = ["add_facts", "settle_dirty"]


def add_facts(feature: Feature, trace_id: bytes, facts: Iterable[tuple[str, str, Any]]) -> None:
    """Write facts (kind, source, value) about a trace and mark it, in one transaction; also before it has
    arrived.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for kind, source, value in facts:
            FactRow.objects.create(feature=feature, trace_id=trace_id, kind=kind, source=source, value=value)
        mark_dirty(cursor, feature.pk, [trace_id])
