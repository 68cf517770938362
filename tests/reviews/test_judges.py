"""Whether a judge may count beside people."""

import pytest

from reviews.statistics.judges import ENOUGH, calibrate

SCALE = (0.0, 1.0)


def test_a_judge_that_agrees_on_enough_requests_may_count() -> None:
    found = calibrate([(0, 0), (1, 1)] * 28 + [(0, 1), (1, 0)], SCALE, "nominal", "s")
    assert found.counts
    assert found.agreement.n == 58
    assert found.confusion == ((28, 1), (1, 28))
    assert found.higher == found.lower == pytest.approx(1 / 58)


def test_too_few_requests_do_not_make_a_judge() -> None:
    found = calibrate([(0, 0), (1, 1)] * 24 + [(1, None), (None, 0), (1, 1)], SCALE, "nominal", "s")
    assert not found.counts
    assert found.why == f"49 of the {ENOUGH} requests that both must have graded."


def test_a_judge_that_passes_everything_does_not_count_however_often_it_is_right() -> None:
    found = calibrate([(1, 1)] * 90 + [(0, 1)] * 10, SCALE, "nominal", "s")
    assert found.agreement.raw == 0.9
    assert found.agreement.alpha is not None
    assert found.agreement.alpha < 0
    assert not found.counts
    assert found.higher == pytest.approx(0.1)
    assert found.lower == 0


def test_a_judge_over_the_bar_by_luck_is_held_back() -> None:
    # One disagreement in a hundred, but only three failures: alpha could be anything.
    found = calibrate([(1, 1)] * 97 + [(0, 0), (0, 0), (0, 1)], SCALE, "nominal", "s")
    assert found.agreement.alpha is not None
    assert found.agreement.alpha > 0.667
    assert not found.counts
    assert "as low as" in found.why


def test_no_variation_is_no_calibration() -> None:
    found = calibrate([(1, 1)] * 80, SCALE, "nominal", "s")
    assert not found.counts
    assert "same value" in found.why


def test_nothing_to_compare_is_said() -> None:
    found = calibrate([], SCALE, "nominal", "s")
    assert (found.counts, found.higher, found.confusion) == (False, None, ((0, 0), (0, 0)))


def test_a_near_miss_counts_less_on_an_ordered_scale() -> None:
    pairs: list[tuple[float | None, float | None]] = [(1, 1), (2, 3), (4, 4), (5, 4), (3, 3), (5, 5)] * 10
    scale = (1.0, 2.0, 3.0, 4.0, 5.0)
    ordinal, nominal = calibrate(pairs, scale, "ordinal", "s"), calibrate(pairs, scale, "nominal", "s")
    assert ordinal.counts
    assert not nominal.counts
    assert ordinal.confusion == nominal.confusion


def test_a_grade_outside_the_scale_is_refused() -> None:
    with pytest.raises(ValueError, match=r"outside the scale: 7\.0"):
        calibrate([(1.0, 7.0)], SCALE, "nominal", "s")
