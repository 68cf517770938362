"""The dashboard's numbers (api.md 5), exact at any moment and any size. Each carries its n; rates their interval.

Every question is one statement, so one snapshot (docs/decisions/025): whole days, hours and minutes come from the
rollups where nothing in them is marked as changed, and all else - marked minutes and the parts of minutes at the
ends of the window - from the trace rows.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from django.db import connection

from features.models import Feature
from traces.histogram import Histogram
from traces.retention import kept_from
from traces.statistics import Rate, rate_of
from traces.sums import COUNTS, HISTOGRAMS, sums_of_traces

__all__ = [
    "STEPS",
    "MetricGroup",
    "PerSuccess",
    "Quantiles",
    "Report",
    "SeriesPoint",
    "Share",
    "Spent",
    "Step",
    "UnknownGrouping",
    "last_seen",
    "metric_report",
    "metrics",
    "metrics_of",
]

Step = Literal["minute", "hour", "day"]
STEPS: Final[dict[Step, timedelta]] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
_ROLLED: Final = ("model", "tool", "version")
_SEGMENT: Final = "segment."
_COST_PLACES: Final = Decimal("0.000001")


class UnknownGrouping(ValueError):
    """`by` asks for what the metrics are not kept by; says what it knows."""


class Quantiles(msgspec.Struct, frozen=True):
    """p50 and p95, within 1 % of the smallest value that at least that share does not exceed."""

    p50: float | None
    p95: float | None
    n: int


class PerSuccess(msgspec.Struct, frozen=True):
    """What all requests of the window used, for each that succeeded; None without a success."""

    value: float | None
    n: int


class Spent(msgspec.Struct, frozen=True):
    """Dollars of all requests for each that succeeded, a decimal string; None without a success, and None as soon as
    the cost of one request is unknown: `unknown` says of how many.
    """

    value: str | None
    n: int
    unknown: Rate


class Share(msgspec.Struct, frozen=True):
    """k of n tokens. Tokens are no independent trials, so it has no interval."""

    rate: float | None
    k: int
    n: int


class MetricGroup(msgspec.Struct, frozen=True):
    """The metrics of one group of traces."""

    by: dict[str, str]
    requests: int
    task_success: Rate
    unknown_outcome: Rate
    policy_violation: Rate
    tool_failure: Rate
    model_failure: Rate
    escalation: Rate
    retry: Rate
    completeness: Rate
    failed: Rate
    over_context_budget: Rate
    latency_seconds: Quantiles
    waiting_seconds: Quantiles
    context_tokens: Quantiles
    tokens_per_success: PerSuccess
    cost_per_success_usd: Spent
    cost_usd: str | None
    cache_hit: Share
    input_tokens: int
    output_tokens: int
    pii_findings: int


class SeriesPoint(msgspec.Struct, frozen=True):
    """The metrics of one step of time; `end` is exclusive."""

    start: datetime
    end: datetime
    group: MetricGroup


class Report(msgspec.Struct, frozen=True):
    """A window's metrics and its steps, of all traces, of each variant, model (of quantiles only the latency's) and
    tool (none): all of one snapshot.
    """

    total: MetricGroup
    points: list[SeriesPoint]
    variants: dict[str, MetricGroup]
    variant_points: dict[str, list[SeriesPoint]]
    models: list[MetricGroup]
    tools: list[MetricGroup]


def metrics(feature: Feature, start: datetime, end: datetime, by: Sequence[str] = ()) -> list[MetricGroup]:
    """The metrics of the traces that started in [start, end), one group for each value of `by`: `variant`, and one of
    `model`, `tool`, `version`, `segment.<name>`, under each value of which a trace counts once.

    Without `by` always exactly one group. By tool, tool failures are those of that tool, and retries are not known.
    Raises UnknownGrouping.
    """
    dimension = _dimension(by)
    groups: dict[tuple[str, ...], _Sums] = {} if by else {(): _Sums()}
    for row in _rows([feature.pk], [dimension], start, end, "day"):
        key = tuple(row.variant if name == "variant" else row.value for name in by)
        groups.setdefault(key, _Sums()).add(row)
    return [groups[key].group(dict(zip(by, key, strict=True)), dimension) for key in sorted(groups)]


def metrics_of(
    features: Sequence[Feature], start: datetime, end: datetime, step: Step
) -> dict[UUID, tuple[MetricGroup, list[SeriesPoint]]]:
    """The metrics of several features and their steps, in one statement; of quantiles only the latency's."""
    sums: dict[UUID, dict[datetime, _Sums]] = {feature.pk: {} for feature in features}
    for row in _rows(list(sums), [""], start, end, step, _LATENCY_ONLY):
        sums[row.feature_id].setdefault(_floor(row.at, step), _Sums()).add(row)
    return {pk: (_total(steps).group({}), _points(steps, start, end, step)) for pk, steps in sums.items()}


def last_seen(features: Sequence[Feature]) -> dict[UUID, datetime]:
    """When the latest trace of each feature started; features without one are left out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT f, (SELECT max(started_at) FROM trace WHERE feature_id = f) FROM unnest(%s::uuid[]) AS k (f)",
            [[feature.pk for feature in features]],
        )
        return {pk: at for pk, at in cursor.fetchall() if at is not None}


def metric_report(feature: Feature, start: datetime, end: datetime, step: Step) -> Report:
    """The metrics over [start, end) and by step (UTC), every step present, also the empty ones (n = 0)."""
    variants: dict[str, dict[datetime, _Sums]] = {}
    parts: dict[str, dict[str, _Sums]] = {"model": {}, "tool": {}}
    for row in _rows([feature.pk], ["", *parts], start, end, step, _REPORTED):
        if row.dimension:
            parts[row.dimension].setdefault(row.value, _Sums()).add(row)
            continue
        variants.setdefault(row.variant, {}).setdefault(_floor(row.at, step), _Sums()).add(row)
    everything: dict[datetime, _Sums] = {}
    for steps in variants.values():
        for at, sums in steps.items():
            everything.setdefault(at, _Sums()).merge(sums)
    return Report(
        total=_total(everything).group({}),
        points=_points(everything, start, end, step),
        variants={name: _total(steps).group({"variant": name}) for name, steps in sorted(variants.items())},
        variant_points={
            name: _points(steps, start, end, step, {"variant": name})
            for name, steps in sorted(variants.items())
        },
        models=[sums.group({"model": name}) for name, sums in sorted(parts["model"].items())],
        tools=[sums.group({"tool": name}, "tool") for name, sums in sorted(parts["tool"].items())],
    )


def _dimension(by: Sequence[str]) -> str:
    named = [name for name in by if name != "variant"]
    for name in named:
        if name not in _ROLLED and not (name.startswith(_SEGMENT) and name != _SEGMENT):
            raise UnknownGrouping(
                f"by knows variant, {', '.join(_ROLLED)} and segment.<name>; not {name[:80]!r}."
            )
    if len(named) > 1:
        raise UnknownGrouping(
            f"by takes variant and one more; not both {named[0][:80]!r} and {named[1][:80]!r}."
        )
    return named[0][: len(_SEGMENT) + 120] if named else ""


# --- adding up -------------------------------------------------------------------------------------------


class _Row(msgspec.Struct, frozen=True):
    """What traces of one variant and value add up to, for a step or a part of one that begins at `at`."""

    feature_id: UUID
    at: datetime
    dimension: str
    variant: str
    value: str
    counts: tuple[Any, ...]
    histograms: tuple[list[int], ...]  # a pair of arrays for each of HISTOGRAMS, None: not asked for


class _Sums:
    """What rows add up to; adding is exact, in whatever order."""

    def __init__(self) -> None:
        self.counts: list[Any] = [0] * len(COUNTS)
        self.histograms = [Histogram() for _ in HISTOGRAMS]

    def add(self, row: _Row) -> None:
        self.counts = [mine + more for mine, more in zip(self.counts, row.counts, strict=True)]
        for mine, buckets, counts in zip(
            self.histograms, row.histograms[::2], row.histograms[1::2], strict=True
        ):
            if buckets:
                mine.add(buckets, counts)

    def merge(self, other: "_Sums") -> None:
        self.counts = [mine + more for mine, more in zip(self.counts, other.counts, strict=True)]
        for mine, more in zip(self.histograms, other.histograms, strict=True):
            mine.merge(more)

    def group(self, by: dict[str, str], dimension: str = "") -> MetricGroup:
        """The metrics of what was added up."""
        c: dict[str, Any] = dict(zip(COUNTS, self.counts, strict=True))
        n, successes = c["requests"], c["successes"]
        known = successes + c["escalated"] + c["failed"] + c["abandoned"]
        calls = 0 if dimension == "tool" else c["tool_calls"] + c["llm_calls"]
        tokens = c["input_tokens"] + c["output_tokens"]
        cost = None if c["unknown_cost"] else Decimal(c["cost_usd"])
        latency, waiting, context = self.histograms
        return MetricGroup(
            by=by,
            requests=n,
            task_success=rate_of(successes, known),
            unknown_outcome=rate_of(n - known, n),
            policy_violation=rate_of(c["violated"], n),
            tool_failure=_rate(c["tool_errors"], c["tool_calls"]),
            model_failure=_rate(c["llm_errors"], c["llm_calls"]),
            escalation=rate_of(c["escalated"], n),
            retry=_rate(c["retries"], calls),
            completeness=rate_of(c["complete"], n),
            failed=rate_of(c["failed"], n),
            over_context_budget=_rate(c["over_budget_calls"], c["budgeted_calls"]),
            latency_seconds=_quantiles(latency, 1e-9),
            waiting_seconds=_quantiles(waiting, 1e-9),
            context_tokens=_quantiles(context, 1),
            tokens_per_success=PerSuccess(tokens / successes if successes else None, successes),
            cost_per_success_usd=Spent(
                None if cost is None or not successes else _dollars(cost / successes),
                successes,
                rate_of(c["unknown_cost"], n),
            ),
            cost_usd=None if cost is None else _dollars(cost),
            cache_hit=_share(c["cached_input_tokens"], c["input_tokens"]),
            input_tokens=c["input_tokens"],
            output_tokens=c["output_tokens"],
            pii_findings=c["redactions"],
        )


def _rate(k: int, n: int) -> Rate:
    # What agents claim of their own calls need not fit together.
    return rate_of(min(k, n), n)


def _share(k: int, n: int) -> Share:
    return Share(min(k, n) / n if n else None, min(k, n), n)


def _quantiles(histogram: Histogram, unit: float) -> Quantiles:
    p50, p95 = histogram.quantiles(0.5, 0.95)
    return Quantiles(None if p50 is None else p50 * unit, None if p95 is None else p95 * unit, histogram.n)


def _dollars(value: Decimal) -> str:
    return f"{value.quantize(_COST_PLACES):f}"


def _total(steps: Mapping[datetime, _Sums]) -> _Sums:
    total = _Sums()
    for sums in steps.values():
        total.merge(sums)
    return total


def _points(
    steps: Mapping[datetime, _Sums],
    start: datetime,
    end: datetime,
    step: Step,
    by: dict[str, str] | None = None,
) -> list[SeriesPoint]:
    width, empty = STEPS[step], _Sums()
    points, at = [], _floor(start, step)
    while at < end:
        points.append(SeriesPoint(at, at + width, steps.get(at, empty).group(by or {})))
        at += width
    return points


# --- reading ---------------------------------------------------------------------------------------------


# Which dimensions each histogram is wanted of; arrays that nobody reads cost more than all else.
_Wanted = tuple[tuple[str, ...] | None, ...]
_ALL: Final[_Wanted] = (None, None, None)
_LATENCY_ONLY: Final[_Wanted] = (None, (), ())
_REPORTED: Final[_Wanted] = (("", "model"), ("",), ("",))


def _rows(
    features: Sequence[UUID],
    dimensions: Sequence[str],
    start: datetime,
    end: datetime,
    coarsest: Step,
    wanted: _Wanted = _ALL,
) -> list[_Row]:
    """What covers [start, end) exactly once in each dimension; no row is longer than a step of `coarsest` or leaves
    one. Of days past retention only held traces are left: they are no figure, and left out.
    """
    kept = {feature_id: kept_from(feature_id) for feature_id in features}
    kinds = tuple("segment" if name.startswith(_SEGMENT) else name for name in dimensions)
    parameters: dict[str, Any] = {
        "features": list(features),
        "dimensions": list(dimensions),
        "start": start,
        "end": end,
        **_borders(start, end, coarsest),
    }
    with connection.cursor() as cursor:
        cursor.execute(_statement(kinds, wanted), parameters)
        width = len(COUNTS)
        return [
            _Row(feature_id, at, dimension, variant, value, tuple(measures[:width]), tuple(measures[width:]))
            for feature_id, at, dimension, variant, value, *measures in cursor.fetchall()
            if at >= kept[feature_id]
        ]


def _floor(at: datetime, step: Step) -> datetime:
    at = at.astimezone(UTC).replace(second=0, microsecond=0)
    if step != "minute":
        at = at.replace(minute=0)
    return at.replace(hour=0) if step == "day" else at


def _ceiling(at: datetime, step: Step) -> datetime:
    floor = _floor(at, step)
    return floor if floor == at else floor + STEPS[step]


def _borders(start: datetime, end: datetime, coarsest: Step) -> dict[str, datetime]:
    """Between which times whole minutes (m0, m1), hours and days may be taken: start <= m0 <= h0 <= d0 <= d1 <= h1
    <= m1 <= end. A step that the window has no whole one of, or that is too coarse, has an empty range.
    """
    borders: dict[str, datetime] = {}
    first, last = start, end
    for step in STEPS:
        lo, hi = _ceiling(first, step), _floor(last, step)
        if lo > hi or STEPS[step] > STEPS[coarsest]:
            lo = hi = last
        borders[f"{step[0]}0"], borders[f"{step[0]}1"] = lo, hi
        first, last = lo, hi
    return borders


def _below(step: str, dirty: str, measures: str) -> str:
    """The rollups of `step` in the ranges where no longer step could be taken."""
    return f"""
    SELECT p.feature_id, p.{step}, dimension, variant, value, {measures} FROM {step}_ranges AS x CROSS JOIN LATERAL (
        SELECT * FROM rollup_{step} WHERE feature_id = x.feature_id AND dimension = ANY(%(dimensions)s::text[])
        AND {step} >= x.lo AND {step} < x.hi OFFSET 0
    ) AS p WHERE NOT EXISTS (SELECT FROM {dirty} AS d WHERE d.feature_id = p.feature_id AND d.at = p.{step})"""


def _array(column: str, dimensions: tuple[str, ...] | None) -> str:
    if dimensions is None:
        return column
    named = ", ".join(f"'{name}'" for name in dimensions)
    return f"CASE WHEN dimension IN ({named}) THEN {column} END" if dimensions else "NULL::integer[]"


@cache
def _statement(kinds: tuple[str, ...], wanted: _Wanted) -> str:
    arrays = [
        _array(f"{name}_{part}", dimensions)
        for name, dimensions in zip(HISTOGRAMS, wanted, strict=True)
        for part in ("buckets", "counts")
    ]
    measures = ", ".join([*COUNTS, *arrays])
    return f"""
WITH wanted AS MATERIALIZED (SELECT unnest(%(features)s::uuid[]) AS feature_id),
marked AS MATERIALIZED (
    SELECT feature_id, 'minute' AS step, minute AS at FROM dirty_minute
    WHERE feature_id = ANY(%(features)s::uuid[]) AND minute >= %(m0)s AND minute < %(m1)s
    UNION ALL SELECT feature_id, 'hour', hour FROM dirty_hour
    WHERE feature_id = ANY(%(features)s::uuid[]) AND hour >= %(h0)s AND hour < %(h1)s
    UNION ALL SELECT feature_id, 'day', day FROM dirty_day
    WHERE feature_id = ANY(%(features)s::uuid[]) AND day >= %(d0)s AND day < %(d1)s
),
-- A day is taken whole when neither it nor anything in it is marked; so is an hour.
dirty_days AS MATERIALIZED (
    SELECT DISTINCT feature_id, date_trunc('day', at, 'UTC') AS at FROM marked WHERE at >= %(d0)s AND at < %(d1)s
),
dirty_hours AS MATERIALIZED (
    SELECT DISTINCT feature_id, date_trunc('hour', at, 'UTC') AS at FROM marked
    WHERE step <> 'day' AND at >= %(h0)s AND at < %(h1)s
),
dirty_minutes AS MATERIALIZED (SELECT feature_id, at FROM marked WHERE step = 'minute'),
hour_ranges AS MATERIALIZED (
    SELECT feature_id, lo, hi FROM wanted, (VALUES
        (%(h0)s::timestamptz, %(d0)s::timestamptz), (%(d1)s, %(h1)s)) AS v (lo, hi) WHERE lo < hi
    UNION ALL SELECT feature_id, at, at + interval '1 day' FROM dirty_days
),
minute_ranges AS MATERIALIZED (
    SELECT feature_id, lo, hi FROM wanted, (VALUES
        (%(m0)s::timestamptz, %(h0)s::timestamptz), (%(h1)s, %(m1)s)) AS v (lo, hi) WHERE lo < hi
    UNION ALL SELECT feature_id, at, at + interval '1 hour' FROM dirty_hours
),
ranges AS MATERIALIZED (
    SELECT feature_id, lo AS at, lo, hi FROM wanted, (VALUES
        (%(start)s::timestamptz, %(m0)s::timestamptz), (%(m1)s, %(end)s)) AS v (lo, hi) WHERE lo < hi
    UNION ALL SELECT feature_id, at, at, at + interval '1 minute' FROM dirty_minutes
),
{sums_of_traces("ranges", kinds)}
SELECT feature_id, at, dimension, variant, value, {measures} FROM summed
WHERE dimension = ANY(%(dimensions)s::text[])
UNION ALL
SELECT feature_id, day, dimension, variant, value, {measures} FROM rollup_day AS p
WHERE feature_id = ANY(%(features)s::uuid[]) AND dimension = ANY(%(dimensions)s::text[])
    AND day >= %(d0)s AND day < %(d1)s
    AND NOT EXISTS (SELECT FROM dirty_days AS d WHERE d.feature_id = p.feature_id AND d.at = p.day)
UNION ALL {_below("hour", "dirty_hours", measures)}
UNION ALL {_below("minute", "dirty_minutes", measures)}"""
