"""The dashboard's numbers, exact, from trace rows. Each carries its n; rates their Wilson interval (api.md
5).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from django.db import connection

from features.models import Feature
from traces.statistics import Rate, rate_of

Step = Literal["hour", "day"]
STEPS: dict[Step, timedelta] = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
GROUPINGS = {"variant": "variant", "model": "model"}


class Quantiles(msgspec.Struct, frozen=True):
    """p50 and p95 in seconds: the smallest value that at least that share does not exceed, so one a request
    had.
    """

    p50: float | None
    p95: float | None
    n: int


class PerSuccess(msgspec.Struct, frozen=True):
    """What all requests of the window used, for each that succeeded; None without a success."""

    value: float | None
    n: int


class MetricGroup(msgspec.Struct, frozen=True):
    """The metrics of one group of traces."""

    by: dict[str, str]
    requests: int
    task_success: Rate
    unknown_outcome: Rate
    policy_violation: Rate
    tool_failure: Rate
    escalation: Rate
    retry: Rate
    completeness: Rate
    over_context_budget: Rate
    latency_seconds: Quantiles
    waiting_seconds: Quantiles
    tokens_per_success: PerSuccess
    cost_per_success_usd: PerSuccess


class SeriesPoint(msgspec.Struct, frozen=True):
    """The metrics of one step of time; `end` is exclusive."""

    start: datetime
    end: datetime
    group: MetricGroup


_AGGREGATES = """
    count(*),
    count(*) FILTER (WHERE outcome = 'success'),
    count(*) FILTER (WHERE outcome <> 'unknown'),
    count(*) FILTER (WHERE violations > 0),
    coalesce(sum(tool_errors), 0),
    coalesce(sum(tool_calls), 0),
    count(*) FILTER (WHERE outcome = 'escalated'),
    coalesce(sum(retries), 0),
    coalesce(sum(tool_calls + llm_calls), 0),
    count(*) FILTER (WHERE missing = '{}'),
    percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_ns - waiting_ns),
    percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_ns - waiting_ns),
    percentile_disc(0.5) WITHIN GROUP (ORDER BY waiting_ns) FILTER (WHERE waiting_ns > 0),
    percentile_disc(0.95) WITHIN GROUP (ORDER BY waiting_ns) FILTER (WHERE waiting_ns > 0),
    count(*) FILTER (WHERE waiting_ns > 0),
    coalesce(sum(input_tokens + output_tokens), 0)
"""
_WIDTH = 16


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9


def _group(by: dict[str, str], row: Sequence[Any]) -> MetricGroup:
    (n, success, known, violated, tool_errors, tool_calls, escalated, retries, calls, complete) = map(
        int, row[:10]
    )
    p50, p95, waited50, waited95, waited, tokens = row[10:_WIDTH]
    return MetricGroup(
        by=by,
        requests=n,
        task_success=rate_of(success, known),
        unknown_outcome=rate_of(n - known, n),
        policy_violation=rate_of(violated, n),
        tool_failure=rate_of(tool_errors, tool_calls),
        escalation=rate_of(escalated, n),
        retry=rate_of(min(retries, calls), calls),
        completeness=rate_of(complete, n),
        over_context_budget=rate_of(0, 0),  # no policy names a budget yet
        latency_seconds=Quantiles(_seconds(p50), _seconds(p95), n),
        waiting_seconds=Quantiles(_seconds(waited50), _seconds(waited95), waited),
        tokens_per_success=PerSuccess(float(tokens) / success if success else None, success),
        cost_per_success_usd=PerSuccess(None, success),  # no price is known yet: unknown, not 0
    )


EMPTY_ROW: tuple[Any, ...] = (0,) * 10 + (None, None, None, None, 0, 0)


def metrics(feature: Feature, start: datetime, end: datetime, by: Sequence[str] = ()) -> list[MetricGroup]:
    """The metrics of the traces that started in [start, end), one group for each value of `by` (variant,
    model).

    Without `by` always exactly one group. By model, a trace counts once under each model that answered in it.
    """
    columns = [GROUPINGS[name] for name in by]
    models = " CROSS JOIN LATERAL unnest(models) AS m (model)" if "model" in by else ""
    keys = "".join(f"{column}, " for column in columns)
    grouped = f" GROUP BY {', '.join(columns)} ORDER BY {', '.join(columns)}" if columns else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {keys}{_AGGREGATES} FROM trace{models} "
            f"WHERE feature_id = %s AND started_at >= %s AND started_at < %s{grouped}",
            [feature.pk, start, end],
        )
        rows = cursor.fetchall()
    width = len(columns)
    return [_group(dict(zip(by, row[:width], strict=True)), row[width:]) for row in rows]


def metric_series(feature: Feature, start: datetime, end: datetime, step: Step) -> list[SeriesPoint]:
    """The metrics by hour or day (UTC) over [start, end), every step present, also the empty ones (n = 0)."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT date_trunc(%s, started_at, 'UTC') AS at, {_AGGREGATES} FROM trace "
            "WHERE feature_id = %s AND started_at >= %s AND started_at < %s GROUP BY at",
            [step, feature.pk, start, end],
        )
        found = {row[0]: row[1:] for row in cursor.fetchall()}
    width = STEPS[step]
    at = start.replace(minute=0, second=0, microsecond=0)
    if step == "day":
        at = at.replace(hour=0)
    points = []
    while at < end:
        points.append(SeriesPoint(at, at + width, _group({}, found.get(at, EMPTY_ROW))))
        at += width
    return points
