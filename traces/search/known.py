"""Values that traces have under a key: for a `*` in the middle, and for what is offered while typing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.db import connection

from features.models import Feature

__all__ = ["known_values"]

_NEWEST: Final = 2000
_MOST: Final = 200
# Where a value stands in a trace's row.
_VALUES: Final = {
    "model": "unnest(models)",
    "tool": "unnest(tools)",
    "tool_error": "unnest(tools)",
    "variant": "variant",
    "version": "feature_version",
    "name": "name",
    "violation": "unnest(violated_rules)",
    "error": "error_signature",
    "session": "session_id",
    "user": "user_id",
}
_DIMENSIONS: Final = {"model": "model", "tool": "tool", "tool_error": "tool", "version": "version"}


def known_values(
    features: Sequence[Feature], key: str, start: datetime | None = None, end: datetime | None = None
) -> list[str]:
    """Values of a key, the commonest among the newest traces first; for models, tools and versions all that the
    rollups of the time know.
    """
    ids = [one.pk for one in features]
    with connection.cursor() as cursor:
        values: list[str] = []
        if what := _VALUES.get(key):
            # The newest of each feature: bounded, whatever the window holds.
            cursor.execute(
                f"SELECT value, count(*) FROM (SELECT {what} AS value FROM unnest(%s::uuid[]) f (id) "
                "CROSS JOIN LATERAL (SELECT * FROM trace t WHERE t.feature_id = f.id "
                "AND t.started_at >= coalesce(%s, '-infinity'::timestamptz) "
                "AND t.started_at < coalesce(%s, 'infinity'::timestamptz) "
                "ORDER BY t.started_at DESC LIMIT %s) t) v "
                "WHERE value IS NOT NULL AND value <> '' GROUP BY value ORDER BY 2 DESC, 1 LIMIT %s",
                [ids, start, end, max(_NEWEST // max(len(ids), 1), 100), _MOST],
            )
            values = [row[0] for row in cursor.fetchall()]
        if dimension := _dimension(key):
            cursor.execute(
                "SELECT value FROM rollup_hour WHERE feature_id = ANY(%s::uuid[]) AND dimension = %s "
                "AND hour >= coalesce(%s, '-infinity'::timestamptz) AND hour < coalesce(%s, 'infinity'::timestamptz) "
                "GROUP BY value ORDER BY sum(requests) DESC LIMIT %s",
                [ids, dimension, start, end, _MOST],
            )
            values += [row[0] for row in cursor.fetchall() if row[0] not in values]
        return values[:_MOST]


def _dimension(key: str) -> str | None:
    return key if key.startswith("segment.") else _DIMENSIONS.get(key)
