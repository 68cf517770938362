"""The texts of found traces, for the place that a list shows."""

from collections.abc import Sequence
from datetime import UTC
from typing import Final
from uuid import UUID

from django.db import connection

from traces.models import Trace

__all__ = ["documents_of"]

_MOST: Final = 300_000


def documents_of(traces: Sequence[Trace]) -> dict[tuple[bytes, UUID], str]:
    """The search document of each trace."""
    if not traces:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.trace_id, d.feature_id, left(d.document, %s) "
            "FROM unnest(%s::bytea[], %s::uuid[], %s::date[]) k (t, f, y) "
            "JOIN search_document d ON d.trace_id = k.t AND d.feature_id = k.f AND d.day = k.y",
            [
                _MOST,
                [bytes(one.trace_id) for one in traces],
                [one.feature_id for one in traces],
                [one.started_at.astimezone(UTC).date() for one in traces],
            ],
        )
        return {(bytes(trace_id), feature_id): text for trace_id, feature_id, text in cursor.fetchall()}
