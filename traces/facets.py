"""The values that traces of a window have, with counts: what a list can be narrowed to."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from django.db import connection

from features.models import Feature

_MOST = 50


class FacetValue(msgspec.Struct, frozen=True):
    """A value and the number of traces that have it."""

    value: str
    count: int


# One pass over the window's rows; each facet counts a trace once for a value it has.
_SQL = """
    WITH seen AS MATERIALIZED (
        SELECT outcome, status, variant, models, tools FROM trace
        WHERE feature_id = ANY(%s) AND started_at >= %s AND started_at < %s
    ), counted AS (
        SELECT 'outcome' AS facet, outcome AS value, count(*) AS n FROM seen GROUP BY outcome
        UNION ALL SELECT 'status', status, count(*) FROM seen GROUP BY status
        UNION ALL SELECT 'variant', variant, count(*) FROM seen GROUP BY variant
        UNION ALL SELECT 'model', m, count(*) FROM seen, unnest(models) m GROUP BY m
        UNION ALL SELECT 'tool', t, count(*) FROM seen, unnest(tools) t GROUP BY t
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY facet ORDER BY n DESC, value) AS place FROM counted
    )
    SELECT facet, value, n FROM ranked WHERE place <= %s ORDER BY facet, place
"""


def facets(features: Sequence[Feature], start: datetime, end: datetime) -> dict[str, list[FacetValue]]:
    """For outcome, status, variant, model and tool: the commonest values of traces that started in
    [start, end)."""
    found: dict[str, list[FacetValue]] = {
        name: [] for name in ("outcome", "status", "variant", "model", "tool")
    }
    with connection.cursor() as cursor:
        cursor.execute(_SQL, [[feature.pk for feature in features], start, end, _MOST])
        for facet, value, n in cursor.fetchall():
            found[facet].append(FacetValue(value, n))
    return found
