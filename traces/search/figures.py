"""What stands around a list: the values that its traces have, with counts, and their number over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from features.models import Feature
from traces.search import execute
from traces.search.compiled import Compiled
from traces.search.execute import Scope, bounded
from traces.search.searching import prepare, scope_of
from traces.search.tree import Node

__all__ = ["Bar", "Facets", "facets", "histogram"]

FACETS_OF: Final = 2_000
_BARS: Final = 64
_MS: Final = 3_000
_VALUES: Final = {
    "outcome": "outcome",
    "status": "status",
    "tool": "unnest(tools)",
    "model": "unnest(models)",
    "variant": "variant",
    "violation": "unnest(violated_rules)",
    "missing": "unnest(missing)",
    "version": "feature_version",
    "feature": "slug",
}
# Steps of the histogram in seconds, up to which a minute, an hour and a day are round.
_STEPS: Final = (60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 7 * 86400, 30 * 86400)


@dataclass(frozen=True, slots=True)
class Facets:
    """For each key its commonest values with counts, over the newest `of` traces; `whole`: these are all."""

    values: dict[str, list[tuple[str, int]]]
    of: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """A step of the histogram: how many started in [start, end), how many of them failed."""

    start: datetime
    end: datetime
    total: int
    errors: int


def facets(
    features: Sequence[Feature], node: Node | None, start: datetime | None, end: datetime | None
) -> Facets:
    """The values of the newest traces that answer. Raises as `search`."""
    scope = scope_of(features, start, end)
    found = execute.find(scope, prepare(features, node), "newest", FACETS_OF, None)
    values: dict[str, list[tuple[str, int]]] = {}
    keys: list[Any] = [[hit.trace_id for hit in found.hits], [hit.feature_id for hit in found.hits]]
    counted = " UNION ALL ".join(
        f"SELECT '{name}' AS facet, value, count(*) AS n FROM (SELECT {what} AS value FROM seen) v "
        "WHERE value IS NOT NULL AND value <> '' GROUP BY value"
        for name, what in _VALUES.items()
    )
    with bounded(_MS) as database:
        database.execute(
            "WITH seen AS MATERIALIZED (SELECT outcome, status, tools, models, variant, violated_rules, missing, "
            "feature_version, slug FROM unnest(%s::bytea[], %s::uuid[]) k (t, f) "
            "JOIN trace ON trace_id = k.t AND feature_id = k.f JOIN features_feature ON features_feature.id = k.f), "
            f"counted AS ({counted}), ranked AS (SELECT *, row_number() OVER "
            "(PARTITION BY facet ORDER BY n DESC, value) AS place FROM counted) "
            "SELECT facet, value, n FROM ranked WHERE place <= 8 ORDER BY facet, place",
            keys,
        )
        for name, value, n in database.fetchall():
            values.setdefault(name, []).append((value, n))
    ordered = {name: values[name] for name in _VALUES if name in values}
    if len(features) == 1:
        ordered.pop("feature", None)
    return Facets(ordered, len(found.hits), found.next is None)


def histogram(
    features: Sequence[Feature], node: Node | None, start: datetime | None, end: datetime | None
) -> list[Bar]:
    """The number of traces that answer over time, failed ones apart; empty when there are none. Raises as `search`."""
    scope = scope_of(features, start, end)
    query = prepare(features, node)
    if query.heavy or not features:
        return []
    now = datetime.now(UTC)
    with bounded(_MS) as database:
        if start is None:
            scope = Scope(scope.features, _first(database, scope) or scope.start, scope.end)
        last = min(scope.end, now + timedelta(minutes=1))
        seconds = max((last - scope.start).total_seconds(), 1)
        step = next((one for one in _STEPS if seconds / one <= _BARS), _STEPS[-1])
        # Steps begin on the clock, so that bars stay when the window moves on.
        begin = int(scope.start.timestamp()) // step * step
        asked = query.tsquery
        failing = Compiled(
            f"({asked}) & '=status:error'" if asked else "'=status:error'", True, query.conditions
        )
        totals = _binned(database, scope, query, begin, step)
        errors = _binned(database, scope, failing, begin, step) if totals else {}
    if not totals:
        return []
    bins = range(int((last.timestamp() - begin) // step) + 1)
    at = [datetime.fromtimestamp(begin + n * step, UTC) for n in (*bins, len(bins))]
    return [Bar(at[n], at[n + 1], totals.get(n, 0), errors.get(n, 0)) for n in bins]


def _first(database: Any, scope: Scope) -> datetime | None:
    database.execute(
        "SELECT min(t.started_at) FROM unnest(%s::uuid[]) f (id) CROSS JOIN LATERAL "
        "(SELECT started_at FROM trace WHERE feature_id = f.id ORDER BY started_at LIMIT 1) t",
        [list(scope.features)],
    )
    first: datetime | None = database.fetchone()[0]
    return first


def _binned(database: Any, scope: Scope, query: Compiled, begin: int, step: int) -> dict[int, int]:
    where = execute.where_of(scope, query)
    database.execute(
        "SELECT floor((extract(epoch FROM d.started_at) - %s) / %s)::int AS bin, count(*) "
        f"FROM search_document d WHERE {where.sql} GROUP BY bin",
        [begin, step, *where.parameters],
    )
    return dict(database.fetchall())
