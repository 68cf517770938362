"""Histograms: quantiles within 1 % of the exact ones, merged in any way, and the same buckets in the database."""

from math import ceil
from typing import Any

from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from traces.histogram import ACCURACY, LOG_GAMMA, Histogram, bucket_of, middle_of

VALUES = st.lists(st.integers(0, 10**18) | st.integers(0, 10**6), min_size=1, max_size=200)
SHARES = (0.0, 0.01, 0.5, 0.95, 0.99, 1.0)
# What rounding may add at a border of two buckets.
ROUNDING = 1e-9


def exact(values: list[int], share: float) -> int:
    return sorted(values)[max(1, ceil(share * len(values))) - 1]


def close(estimate: float | None, value: int) -> bool:
    return estimate is not None and abs(estimate - value) <= value * (ACCURACY + ROUNDING)


@given(VALUES)
def test_every_quantile_is_within_one_percent_of_the_exact_one(values: list[int]) -> None:
    histogram = Histogram(values)
    assert histogram.n == len(values)
    for share, estimate in zip(SHARES, histogram.quantiles(*SHARES), strict=True):
        assert close(estimate, exact(values, share)), share


@given(st.lists(VALUES, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_merging_in_any_order_and_partition_is_counting_once(parts: list[list[int]], chance: Any) -> None:
    whole = Histogram([value for part in parts for value in part])
    histograms = [Histogram(part) for part in parts]
    while len(histograms) > 1:
        chance.shuffle(histograms)
        histograms[0].merge(histograms.pop())
    assert histograms[0] == whole
    assert histograms[0].n == whole.n


@given(VALUES)
def test_arrays_carry_it_whole(values: list[int]) -> None:
    copy = Histogram()
    copy.add(*Histogram(values).arrays())
    assert copy == Histogram(values)


def test_of_nothing_there_is_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None


def test_zero_has_a_bucket_of_its_own() -> None:
    assert Histogram([0, 0, 1]).quantiles(0.5, 1.0) == [0.0, middle_of(bucket_of(1))]
    assert bucket_of(-5) == bucket_of(0)


def in_database(values: list[int]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT array_agg(sketch_bucket(v) ORDER BY i) FROM unnest(%s::bigint[]) WITH ORDINALITY AS u (v, i)",
            [values],
        )
        found: list[int] = cursor.fetchone()[0]
    return found


def test_the_database_has_the_same_buckets_also_on_both_sides_of_every_border() -> None:
    borders = [int(101**i // 99**i) for i in range(2080)]
    values = [value + near for value in borders for near in (-1, 0, 1, 2) if 0 <= value + near <= 2**63 - 1]
    values += [0, -1, -(2**63), 2**63 - 1, *range(1, 5000)]
    assert in_database(values) == [bucket_of(value) for value in values]


@settings(max_examples=50)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=500))
def test_the_database_agrees_on_any_value(values: list[int]) -> None:
    assert in_database(values) == [bucket_of(value) for value in values]


def test_what_lies_at_a_border_is_within_one_percent_in_the_bucket_it_got() -> None:
    for i in range(2072):
        for value in (101**i // 99**i, 101**i // 99**i + 1):
            assert close(middle_of(bucket_of(value)), value), value


def test_the_database_knows_the_base_to_the_last_bit() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT prosrc FROM pg_proc WHERE proname = 'sketch_bucket'")
        assert f"{LOG_GAMMA!r}::double precision" in cursor.fetchone()[0]
