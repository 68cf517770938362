"""Agreement: alpha against worked examples that Krippendorff published, its interval, and drift.

The examples are those of K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (University of Pennsylvania,
2011): A (two observers, binary), B (two observers, nominal), C (four observers, nominal, missing data) and D (the
same data at other levels).
"""

from math import isclose

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reviews.statistics.agreement import Level, _counts, _resampled, agreement, alpha, drift
from reviews.statistics.seeds import generator

_LETTERS = {letter: float(place) for place, letter in enumerate("abcde", 1)}


def _units(*observers: str) -> list[tuple[float | None, ...]]:
    """Rows for the columns of the examples: letters or digits, '.' where a grade is missing."""
    rows = [[_grade(mark) for mark in observer.split()] for observer in observers]
    return list(zip(*rows, strict=True))


def _grade(mark: str) -> float | None:
    return None if mark == "." else _LETTERS.get(mark) or float(mark)


BINARY = _units("0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0")
NOMINAL = _units("a a b b d c c c e d d a", "b a b b b c c c e d d d")
FOUR_OBSERVERS = _units(
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)


@pytest.mark.parametrize(
    ("units", "level", "published"),
    [
        (BINARY, "nominal", 0.095),
        (NOMINAL, "nominal", 0.692),
        (FOUR_OBSERVERS, "nominal", 0.743),
        (FOUR_OBSERVERS, "ordinal", 0.815),
        (FOUR_OBSERVERS, "interval", 0.849),
    ],
)
def test_alpha_is_that_of_the_published_examples(
    units: list[tuple[float | None, ...]], level: Level, published: float
) -> None:
    found = alpha(units, level)
    assert found is not None
    assert round(found, 3) == published
    assert agreement(units, level, "seed").alpha == found


def test_who_gave_a_grade_and_requests_graded_once_do_not_matter() -> None:
    mixed = [tuple(reversed(unit)) for unit in FOUR_OBSERVERS]
    assert alpha([*mixed, (4.0, None), (None,), ()], "ordinal") == alpha(FOUR_OBSERVERS, "ordinal")


def test_the_interval_holds_alpha_and_is_the_same_for_the_same_seed() -> None:
    found = agreement(FOUR_OBSERVERS, "ordinal", "2026-W47")
    assert found.low is not None
    assert found.alpha is not None
    assert found.high is not None
    assert found.low < found.alpha < found.high <= 1
    assert (found.n, found.enough) == (11, True)
    assert found == agreement(FOUR_OBSERVERS, "ordinal", "2026-W47")
    assert found != agreement(FOUR_OBSERVERS, "ordinal", "2026-W48")


grades = st.lists(
    st.lists(st.sampled_from([1.0, 2.0, 3.0, 5.0]), min_size=2, max_size=4).map(tuple),
    min_size=3,
    max_size=12,
)


@settings(deadline=None, max_examples=30)
@given(grades, st.sampled_from(["nominal", "ordinal", "interval"]))
def test_each_resample_has_the_alpha_of_the_library(units: list[tuple[float, ...]], level: Level) -> None:
    values = sorted({grade for unit in units for grade in unit})
    found = _resampled(_counts(units, values), np.array(values), level, generator("s", "agreement"))
    times = generator("s", "agreement").multinomial(len(units), [1 / len(units)] * len(units), size=1000)
    for place in range(0, 1000, 97):
        resample = [unit for unit, n in zip(units, times[place], strict=True) for _ in range(n)]
        expected = alpha(resample, level)
        if expected is None:
            assert np.isnan(found[place])
        else:
            assert isclose(found[place], expected, abs_tol=1e-9)


@settings(deadline=None, max_examples=30)
@given(grades, st.sampled_from(["nominal", "ordinal", "interval"]))
def test_ends_stand_around_alpha_wherever_there_are_any(units: list[tuple[float, ...]], level: Level) -> None:
    found = agreement(units, level, "s")
    assert (found.low is None) == (found.high is None)
    if found.low is not None:
        assert found.alpha is not None
        assert found.high is not None
        assert found.low <= found.alpha <= found.high
    else:
        assert found.reason


def test_raw_agreement_is_the_share_of_equal_pairs() -> None:
    assert agreement([(1, 1), (1, 2)], "nominal", "s").raw == 0.5
    # Three grades are three pairs, of which one is equal.
    assert agreement([(1, 1, 2)], "nominal", "s").raw == pytest.approx(1 / 3)


def test_one_value_throughout_is_no_agreement_to_speak_of() -> None:
    found = agreement([(5, 5)] * 20, "ordinal", "s")
    assert (found.alpha, found.low, found.high) == (None, None, None)
    assert (found.raw, found.n, found.enough) == (1.0, 20, True)
    assert "same value" in found.reason


def test_nothing_graded_twice_says_so() -> None:
    found = agreement([(1, None), (None, 2), (3,)], "nominal", "s")
    assert (found.alpha, found.raw, found.n, found.enough) == (None, None, 0, False)
    assert "twice" in found.reason


def test_nine_double_grades_are_not_enough_and_ten_are() -> None:
    nine = agreement([(0, 0), (1, 1), (1, 0)] * 3, "nominal", "s")
    assert not nine.enough
    assert "9 of the 10" in nine.reason
    assert agreement([*[(0, 0), (1, 1), (1, 0)] * 3, (1, 1)], "nominal", "s").enough


def test_perfect_agreement_of_a_few_is_not_taken_for_certain() -> None:
    few, many = (agreement([(0, 0), (1, 1)] * n, "nominal", "s") for n in (5, 50))
    assert few.alpha == many.alpha == few.high == 1.0
    assert few.low is not None
    assert many.low is not None
    # 1 - 0.025^(1/10) of ten pairs may differ, where chance would have 10/19 of them differ.
    assert few.low == pytest.approx(1 - (1 - 0.025 ** (1 / 10)) / (10 / 19))
    assert few.low < 0.5 < many.low < 1


def test_resamples_of_one_value_are_left_out_and_counted() -> None:
    found = agreement([(1, 1)] * 14 + [(0, 1)], "nominal", "s")
    # Some (14/15)^15 = 36 % of resamples miss the only request that differs.
    assert 300 < found.undefined < 410
    assert found.low is not None
    rare = agreement([(1, 1)] * 2 + [(0, 1)], "nominal", "s")
    assert 230 < rare.undefined < 360


def test_a_single_request_has_no_interval() -> None:
    found = agreement([(0, 1)], "nominal", "s")
    assert (found.alpha, found.low, found.high, found.n, found.enough) == (0.0, None, None, 1, False)


def test_drift_is_the_mean_difference_with_students_interval() -> None:
    mine = [4.0, 5, 3, 4, 5, 4, 4, 5, 3, 4, 5, 4]
    others = [3.0, 4, 3, 3, 4, 4, 3, 4, 3, 3, 4, 3]
    found = drift(mine, others)
    assert found.value is not None
    assert found.value == pytest.approx(9 / 12)
    assert found.low is not None
    assert found.high is not None
    # Differences: nine of 1, three of 0; one step more in the variance; t of 11 degrees is 2.201.
    half = 2.201 * ((9 / 16 * 3 + 9 / 16 + 1) / 12 / 12) ** 0.5
    assert found.high - found.value == pytest.approx(half, rel=1e-3)
    assert found.drifting


def test_drift_of_a_few_or_around_nothing_is_not_held_against_anybody() -> None:
    assert not drift([5.0] * 9, [1.0] * 9).drifting
    assert drift([5.0] * 10, [1.0] * 10).drifting
    assert not drift([3.0] * 20, [3.0] * 20).drifting
    none, one = drift([], []), drift([1.0], [2.0])
    assert (none.value, none.low, none.n) == (None, None, 0)
    assert (one.value, one.low, one.n) == (-1.0, None, 1)


def test_drift_needs_both_grades_of_each() -> None:
    with pytest.raises(ValueError, match="argument"):
        drift([1.0, 2.0], [1.0])
