"""Intervals: Wilson's, checked against an independent root of the equation that defines them."""

from math import isclose, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.statistics import rate_of


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 10_000))
    return draw(st.integers(0, n)), n


@given(counts())
def test_the_interval_holds_the_rate_and_stays_between_0_and_1(given_counts: tuple[int, int]) -> None:
    rate = rate_of(*given_counts)
    assert rate.rate is not None
    assert rate.low is not None
    assert rate.high is not None
    assert 0 <= rate.low <= rate.rate <= rate.high <= 1
    assert rate.low < rate.high


@given(counts())
def test_its_ends_are_where_the_score_test_just_rejects(given_counts: tuple[int, int]) -> None:
    """Wilson's interval is the set of p with |k/n - p| <= z sqrt(p(1-p)/n)."""
    k, n = given_counts
    rate = rate_of(k, n)
    for end in (rate.low, rate.high):
        assert end is not None
        if 0 < end < 1:
            assert isclose(
                abs(k / n - end), 1.959963984540054 * sqrt(end * (1 - end) / n), rel_tol=1e-6, abs_tol=1e-9
            )


@given(st.integers(1, 1000), st.integers(2, 10))
def test_more_of_the_same_makes_it_narrower(n: int, times: int) -> None:
    one, more = rate_of(n // 2, n), rate_of(n // 2 * times, n * times)
    assert one.low is not None
    assert one.high is not None
    assert more.low is not None
    assert more.high is not None
    assert more.high - more.low < one.high - one.low


def test_nothing_of_nothing_has_no_rate() -> None:
    rate = rate_of(0, 0)
    assert (rate.rate, rate.low, rate.high, rate.n) == (None, None, None, 0)


@pytest.mark.parametrize(("k", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="no rate"):
        rate_of(k, n)
