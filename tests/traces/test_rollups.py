"""Metrics are those of the trace rows at every moment: before, between and after roll-ups, whoever dies or races."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.models import Feature
from features.services import create_feature
from tests.support import unique
from tests.traces.trace_rows import complete, put, settle_rollups, trace_id
from traces.metrics import STEPS, MetricGroup, Quantiles, UnknownGrouping, metric_report, metrics, metrics_of
from traces.rollups import mark_all, roll_up

# Within what is kept; a day and an hour begin inside.
BASE = (datetime.now(UTC) - timedelta(days=20)).replace(hour=22, minute=50, second=0, microsecond=0)
GROUPINGS: tuple[tuple[str, ...], ...] = (
    (),
    ("variant",),
    ("model",),
    ("variant", "model"),
    ("tool",),
    ("version",),
    ("segment.tier", "variant"),
)


@pytest.fixture
def feature() -> Feature:
    return create_feature(slug=unique("rolled"), task="Resolve tier-1 billing tickets.")


def values_of(row: dict[str, Any], name: str) -> list[str]:
    if name == "variant":
        return [row["variant"]]
    if name == "model":
        return sorted(set(row["models"]))
    if name == "tool":
        return sorted({called for called, _ in row["calls"]})
    if name == "version":
        return [row["feature_version"]] if row["feature_version"] else []
    tag = row["segments"].get(name.removeprefix("segment."))
    return [] if tag is None else [tag]


def keys_of(row: dict[str, Any], by: tuple[str, ...]) -> list[tuple[str, ...]]:
    keys: list[tuple[str, ...]] = [()]
    for name in by:
        keys = [(*key, value) for key in keys for value in values_of(row, name)]
    return keys


def rank(values: list[int], share: float) -> int:
    return sorted(values)[max(1, ceil(share * len(values))) - 1]


def quantiles_agree(found: Quantiles, values: list[int], unit: float) -> None:
    assert found.n == len(values)
    for estimate, share in ((found.p50, 0.5), (found.p95, 0.95)):
        if not values:
            assert estimate is None
        else:
            right = rank(values, share) * unit
            assert estimate is not None
            assert abs(estimate - right) <= right * 0.0100001


def agrees(group: MetricGroup, rows: list[dict[str, Any]], tool: str | None = None) -> None:
    """The metrics of a group against the rows themselves, each computed in the plainest way."""
    outcomes = Counter(row["outcome"] for row in rows)
    n = len(rows)
    calls = [status for row in rows for name, status in row["calls"] if tool in (None, name)]
    assert group.requests == n
    assert (group.task_success.k, group.task_success.n) == (outcomes["success"], n - outcomes["unknown"])
    assert (group.unknown_outcome.k, group.unknown_outcome.n) == (outcomes["unknown"], n)
    assert (group.escalation.k, group.escalation.n) == (outcomes["escalated"], n)
    assert group.policy_violation.k == sum(row["violations"] > 0 for row in rows)
    assert group.completeness.k == sum(not row["missing"] for row in rows)
    assert (group.tool_failure.k, group.tool_failure.n) == (calls.count("error"), len(calls))
    if tool is None:
        assert group.retry.k == min(sum(row["retries"] for row in rows), group.retry.n)
        assert group.retry.n == len(calls) + sum(row["llm_calls"] for row in rows)
    assert group.over_context_budget.k == sum(row["over_budget_calls"] for row in rows)
    assert group.over_context_budget.n == sum(row["budgeted_calls"] for row in rows)
    quantiles_agree(group.latency_seconds, [row["duration_ns"] - row["waiting_ns"] for row in rows], 1e-9)
    quantiles_agree(group.waiting_seconds, [row["waiting_ns"] for row in rows if row["waiting_ns"]], 1e-9)
    tokens = sum(row["input_tokens"] + row["output_tokens"] for row in rows)
    assert group.tokens_per_success.n == outcomes["success"]
    if outcomes["success"]:
        assert group.tokens_per_success.value == pytest.approx(tokens / outcomes["success"])
    unknown = sum(row["cost_usd"] is None for row in rows)
    assert (group.cost_per_success_usd.unknown.k, group.cost_per_success_usd.unknown.n) == (unknown, n)
    if unknown or not outcomes["success"]:
        assert group.cost_per_success_usd.value is None
    else:
        cost = sum((row["cost_usd"] for row in rows), Decimal(0)) / outcomes["success"]
        assert group.cost_per_success_usd.value is not None
        assert abs(Decimal(group.cost_per_success_usd.value) - cost) <= Decimal("0.000001")
    assert group.pii_findings == sum(sum(row["redactions"].values()) for row in rows)


def all_agree(feature: Feature, rows: list[dict[str, Any]], start: datetime, end: datetime) -> None:
    inside = [row for row in rows if start <= row["started_at"] < end]
    for by in GROUPINGS:
        found = {tuple(group.by[name] for name in by): group for group in metrics(feature, start, end, by)}
        expected = {key for row in inside for key in keys_of(row, by)} or (set() if by else {()})
        assert set(found) == expected
        for key, group in found.items():
            members = [row for row in inside if key in keys_of(row, by)]
            agrees(group, members, key[by.index("tool")] if "tool" in by else None)
    for step in STEPS:
        report = metric_report(feature, start, end, step)
        agrees(report.total, inside)
        assert sum(point.group.requests for point in report.points) == len(inside)
        for point in report.points:
            if point.group.requests:
                agrees(point.group, [row for row in inside if point.start <= row["started_at"] < point.end])
    for variant, group in metric_report(feature, start, end, "day").variants.items():
        agrees(group, [row for row in inside if row["variant"] == variant])


ROWS = st.fixed_dictionaries(
    {
        "minutes": st.integers(0, 200),
        "seconds": st.integers(0, 59),
        "outcome": st.sampled_from(["success", "escalated", "failed", "abandoned", "unknown"]),
        "variant": st.sampled_from(["baseline", "canary"]),
        "models": st.lists(st.sampled_from(["m-1", "m-2"]), max_size=3),
        "feature_version": st.sampled_from([None, "1.0", "2.0"]),
        "segments": st.sampled_from([{}, {"tier": "1"}, {"tier": "2", "land": "x"}]),
        "duration_ns": st.integers(5 * 10**6, 10**12),
        "waiting_ns": st.sampled_from([0, 0, 10**6]),
        "violations": st.integers(0, 2),
        "missing": st.sampled_from([[], ["prompt"]]),
        "retries": st.integers(0, 2),
        "calls": st.lists(
            st.tuples(st.sampled_from(["lookup", "refund"]), st.sampled_from(["ok", "error"])), max_size=3
        ),
        "cost_usd": st.sampled_from([None, Decimal("0.0123"), Decimal(2)]),
        "budgeted_calls": st.just(2),
        "over_budget_calls": st.integers(0, 2),
        "redactions": st.sampled_from([{}, {"email": 2, "card": 1}]),
    }
)
# What happens, in order: a settle writes one of ten traces (a late span moves it), or a worker rolls up.
ACTS = st.lists(st.tuples(st.integers(0, 9), ROWS) | st.sampled_from(["all", "one"]), min_size=1, max_size=25)
WINDOW = st.tuples(st.integers(-5 * 60, 205 * 60), st.integers(1, 210 * 60))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(ACTS, WINDOW)
def test_metrics_equal_those_of_the_rows_after_any_order_of_settles_and_rollups(
    acts: list[Any], window: tuple[int, int]
) -> None:
    feature = create_feature(slug=unique("rolled"), task="Resolve tier-1 billing tickets.")
    keys = [trace_id() for _ in range(10)]
    rows: dict[bytes, dict[str, Any]] = {}
    start = BASE + timedelta(seconds=window[0])
    end = start + timedelta(seconds=window[1])
    for act in acts:
        if isinstance(act, str):
            roll_up(1 if act == "one" else 1000, at_once=True)
            continue
        index, given_row = act
        minutes, seconds = given_row["minutes"], given_row["seconds"]
        row = {name: value for name, value in given_row.items() if name not in {"minutes", "seconds"}}
        row["started_at"] = BASE + timedelta(minutes=minutes, seconds=seconds)
        put(feature, {"trace_id": keys[index], **row})
        rows[keys[index]] = complete(row)
    all_agree(feature, list(rows.values()), start, end)
    settle_rollups([feature])
    all_agree(feature, list(rows.values()), start, end)
    all_agree(feature, list(rows.values()), BASE - timedelta(days=2), BASE + timedelta(days=3))


def test_a_late_span_that_moves_a_trace_changes_both_its_minutes(feature: Feature) -> None:
    (key,) = put(feature, {"started_at": BASE})
    settle_rollups([feature])
    put(feature, {"trace_id": key, "started_at": BASE - timedelta(minutes=3)})
    hour = BASE + timedelta(minutes=5)
    assert [
        p.group.requests for p in metric_report(feature, BASE - timedelta(minutes=4), hour, "minute").points
    ] == [
        *(0, 1, 0, 0, 0),
        *(0, 0, 0, 0),
    ]
    settle_rollups([feature])
    report = metric_report(feature, BASE - timedelta(minutes=4), hour, "minute")
    assert [point.group.requests for point in report.points] == [0, 1, 0, 0, 0, 0, 0, 0, 0]


def test_settles_and_rollups_at_once_leave_no_gap_and_count_nothing_twice(feature: Feature) -> None:
    """Four writers add traces to the same few minutes, two workers roll them up, and every look sees a number of
    traces that was true: never fewer than were committed before it, never more than were written by then.
    """
    begun, committed = [0], [0]
    lock, failures, over = threading.Lock(), [], threading.Event()

    def write(worker: int) -> None:
        try:
            for turn in range(25):
                with lock:
                    begun[0] += 3
                put(
                    feature,
                    *({"started_at": BASE + timedelta(minutes=(turn + i + worker) % 5)} for i in range(3)),
                )
                with lock:
                    committed[0] += 3
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    def compute() -> None:
        try:
            while not over.is_set():
                roll_up(3, at_once=True)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    workers = [threading.Thread(target=compute) for _ in range(2)]
    for thread in (*writers, *workers):
        thread.start()
    try:
        while any(thread.is_alive() for thread in writers):
            with lock:
                least = committed[0]
            (group,) = metrics(feature, BASE - timedelta(hours=30), BASE + timedelta(hours=30))
            with lock:
                most = begun[0]
            assert least <= group.requests <= most
    finally:
        over.set()
        for thread in (*writers, *workers):
            thread.join()
    assert failures == []
    settle_rollups([feature])
    (group,) = metrics(feature, BASE - timedelta(hours=30), BASE + timedelta(hours=30))
    assert group.requests == 300


class _Killed(Exception):
    """The worker ends here."""


def _computed_and_killed() -> None:
    with transaction.atomic():
        assert roll_up(1000, at_once=True) > 0
        raise _Killed


def test_a_rollup_that_is_killed_in_the_middle_leaves_all_as_it_was(feature: Feature) -> None:
    put(feature, *({"started_at": BASE + timedelta(minutes=i)} for i in range(5)))
    with pytest.raises(_Killed):
        _computed_and_killed()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM rollup_minute WHERE feature_id = %s", [feature.pk])
        assert cursor.fetchone()[0] == 0
    assert metrics(feature, BASE, BASE + timedelta(hours=1))[0].requests == 5
    settle_rollups([feature])
    assert metrics(feature, BASE, BASE + timedelta(hours=1))[0].requests == 5


def test_several_features_are_read_at_once_each_with_its_own(feature: Feature) -> None:
    other = create_feature(slug=unique("rolled"), task="Resolve tier-1 billing tickets.")
    put(feature, {"started_at": BASE}, {"started_at": BASE + timedelta(minutes=90)})
    settle_rollups([feature])
    put(other, {"started_at": BASE, "outcome": "failed"})
    found = metrics_of([feature, other], BASE - timedelta(days=1), BASE + timedelta(days=2), "day")
    assert [found[one.pk][0].requests for one in (feature, other)] == [2, 1]
    assert [point.group.requests for point in found[feature.pk][1]] == [0, 1, 1, 0]
    assert found[other.pk][0].task_success.k == 0


def test_marking_everything_again_computes_the_same(feature: Feature) -> None:
    put(feature, *({"started_at": BASE + timedelta(minutes=7 * i)} for i in range(20)))
    settle_rollups([feature])
    before = metrics(feature, BASE, BASE + timedelta(days=1), ("variant",))
    assert mark_all(feature.pk) == 20
    assert metrics(feature, BASE, BASE + timedelta(days=1), ("variant",)) == before
    settle_rollups([feature])
    assert metrics(feature, BASE, BASE + timedelta(days=1), ("variant",)) == before


def test_absurd_claims_and_long_names_stop_no_rollup(feature: Feature) -> None:
    """Sums over what a column holds are cut, names over what a key holds too."""
    absurd = {
        "started_at": BASE,
        "input_tokens": 2**63 - 1,
        "models": ["\U0001f600" * 5000],
        "segments": {"k" * 5000: "v" * 5000},
        "feature_version": "w" * 9000,
        "variant": "x" * 9000,
        "retries": 2**31 - 1,
    }
    put(feature, absurd, absurd)
    settle_rollups([feature])
    (group,) = metrics(feature, BASE, BASE + timedelta(minutes=1))
    assert (group.requests, group.input_tokens) == (2, 2**63 - 1)


@pytest.mark.parametrize("by", [("colour",), ("segment.",), ("model", "tool")])
def test_an_unknown_grouping_says_what_is_known(feature: Feature, by: tuple[str, ...]) -> None:
    with pytest.raises(UnknownGrouping, match="variant"):
        metrics(feature, BASE, BASE + timedelta(days=1), by)
