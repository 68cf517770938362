"""What a sample says of its week: weighted, with an interval that holds the truth as often as it says."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.reviews import POPULATIONS, coverage
from reviews.statistics.estimates import Cell, Estimate, mean, pool, rate, weeks_needed

PASS = frozenset({1})


@st.composite
def graded(draw: st.DrawFn, values: int = 2) -> list[Cell]:
    names = draw(
        st.lists(st.sampled_from(["rare:violation", "rare:denied", "a", "b", "c"]), min_size=1, unique=True)
    )
    cells = []
    for name in names:
        grades = draw(st.lists(st.integers(0, values - 1), max_size=12))
        cells.append(Cell(name, len(grades) + draw(st.integers(0, 300)), tuple(grades)))
    return cells


def ends(estimate: Estimate) -> tuple[float, float, float]:
    assert estimate.low is not None
    assert estimate.value is not None
    assert estimate.high is not None
    return estimate.low, estimate.value, estimate.high


def width(estimate: Estimate) -> float:
    low, _, high = ends(estimate)
    return high - low


@settings(deadline=None, max_examples=40)
@given(graded())
def test_a_rate_is_weighted_and_between_its_ends(cells: list[Cell]) -> None:
    found = rate(cells, seed="s", passing=PASS)
    known = [cell for cell in cells if cell.values]
    assert found.n == sum(len(cell.values) for cell in cells)
    assert found.population == sum(cell.size for cell in cells)
    if not known:
        assert (found.value, found.low, found.high) == (None, None, None)
        return
    low, value, high = ends(found)
    assert 0 <= low <= value <= high <= 1
    weights = [(cell.size / len(cell.values), grade) for cell in known for grade in cell.values]
    assert value == pytest.approx(sum(w * grade for w, grade in weights) / sum(w for w, _ in weights))


@settings(deadline=None, max_examples=40)
@given(graded(values=5), st.lists(st.floats(-5, 5), min_size=5, max_size=5).map(sorted))
def test_a_mean_stays_within_the_scale(cells: list[Cell], scores: list[float]) -> None:
    found = mean(cells, seed="s", scores=scores)
    if found.n:
        low, value, high = ends(found)
        assert scores[0] - 1e-9 <= low <= value <= high <= scores[-1] + 1e-9


@settings(deadline=None, max_examples=40)
@given(graded())
def test_a_mean_of_nothing_and_one_is_the_rate(cells: list[Cell]) -> None:
    assert mean(cells, seed="s", scores=[0, 1]) == rate(cells, seed="s", passing=lambda value: value == 1)


def test_an_oversampled_stratum_does_not_bend_the_rate() -> None:
    cells = [Cell("rare:violation", 10, (0, 0, 0, 0, 0)), Cell("a", 990, (1,) * 35)]
    assert rate(cells, seed="s", passing=PASS).value == pytest.approx(0.99)


def test_the_same_week_gives_the_same_interval() -> None:
    cells = [Cell("a", 500, (1, 0, 1, 1)), Cell("b", 300, (1, 1, 1))]
    assert rate(cells, seed="s", passing=PASS) == rate(cells, seed="s", passing=PASS)
    assert rate(cells, seed="s", passing=PASS) != rate(cells, seed="t", passing=PASS)


def test_a_week_graded_wholly_has_no_interval() -> None:
    cells = [Cell("a", 3, (1, 0, 1)), Cell("rare:denied", 1, (0,))]
    found = rate(cells, seed="s", passing=PASS)
    assert ends(found) == (0.5, 0.5, 0.5)
    assert "no interval" in found.method


def test_what_is_graded_wholly_adds_nothing_to_the_interval() -> None:
    part = [Cell("a", 900, (1,) * 25 + (0,) * 5)]
    more = rate([*part, Cell("b", 100, (1,) * 80 + (0,) * 20)], seed="s", passing=PASS)
    # The other part's own interval, times its share of 90 %.
    assert width(more) == pytest.approx(0.9 * width(rate(part, seed="s", passing=PASS)), rel=0.2)


def test_a_good_week_is_not_pulled_down_by_having_many_strata() -> None:
    one = rate([Cell("a", 2000, (1,) * 48)], seed="s", passing=PASS)
    many = rate([Cell(f"s{n}", 2000 // 12, (1,) * 4) for n in range(12)], seed="s", passing=PASS)
    assert ends(one)[2] == ends(many)[2] == 1.0
    assert ends(one)[0] - 0.03 < ends(many)[0] < ends(one)[0] + 0.03


def test_more_grades_make_it_narrower() -> None:
    found = [rate([Cell("a", 10_000, (1, 1, 1, 0) * n)], seed="s", passing=PASS) for n in (3, 10, 30, 100)]
    assert all(width(more) < width(fewer) for fewer, more in pairwise(found))


def test_thirty_five_graded_at_ninety_percent_say_about_three_quarters_to_nearly_all() -> None:
    found = rate([Cell("a", 1000, (1,) * 32 + (0,) * 3)], seed="s", passing=PASS)
    low, _, high = ends(found)
    assert low == pytest.approx(0.77, abs=0.02)
    assert high == pytest.approx(0.97, abs=0.02)


def test_a_stratum_without_grades_is_unknown_and_widens_the_interval() -> None:
    known = Cell("a", 800, (1,) * 30)
    found = rate([known, Cell("b", 200, ())], seed="s", passing=PASS, ungraded=4)
    assert found.value == 1.0
    assert found.unknown == pytest.approx(0.2)
    assert "20% of the requests" in found.method
    # Beta(1/2, 1/2) is below 0.0015 with a chance of 2.5 %: nearly all of the unknown may have failed.
    assert 0.72 < ends(found)[0] < 0.82
    assert found.graded_share == pytest.approx(30 / 34)
    assert found.ungraded == 4


def test_nothing_graded_is_no_figure() -> None:
    for cells in ([], [Cell("a", 10, ())]):
        found = rate(cells, seed="s", passing=PASS, ungraded=3)
        assert (found.value, found.low, found.high, found.n) == (None, None, None, 0)
    assert rate([], seed="s", passing=PASS).graded_share is None


def test_impossible_grades_are_refused() -> None:
    with pytest.raises(ValueError, match="2 grades for 1 requests"):
        rate([Cell("a", 1, (1, 1))], seed="s", passing=PASS)
    with pytest.raises(ValueError, match="outside the scale"):
        mean([Cell("a", 5, (5,))], seed="s", scores=[1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="two values"):
        mean([Cell("a", 5, (0,))], seed="s", scores=[1])


def test_weeks_are_pooled_by_their_sizes() -> None:
    busy, quiet = [Cell("a", 900, (1,) * 20)], [Cell("a", 100, (0,) * 20)]
    found = pool([busy, quiet], seed="s", passing=PASS)
    assert found.value == pytest.approx(0.9)
    assert (found.n, found.population) == (40, 1000)
    assert pool([busy, quiet], seed="s", scores=[0, 1]) == found
    with pytest.raises(ValueError, match="passing values or scores"):
        pool([busy], seed="s")
    with pytest.raises(ValueError, match="passing values or scores"):
        pool([busy], seed="s", passing=PASS, scores=[0, 1])


def test_weeks_pooled_are_narrower_by_the_root_of_their_number() -> None:
    week = [Cell("a", 3000, (1, 1, 1, 0, 1) * 8)]
    one, nine = pool([week], seed="s", passing=PASS), pool([week] * 9, seed="s", passing=PASS)
    assert width(nine) == pytest.approx(width(one) / 3, rel=0.2)


def test_as_many_weeks_as_needed_do_tell_the_figures_apart() -> None:
    week = [Cell("a", 3000, (1, 1, 1, 0, 1) * 8)]
    now = rate(week, seed="s", passing=PASS)
    needed = weeks_needed(now, 0.86)
    assert needed is not None
    assert needed > 1
    pooled = pool([week] * needed, seed="s", passing=PASS)
    assert ends(pooled)[2] < 0.86
    assert not ends(now)[2] < 0.86


def test_weeks_needed_knows_when_one_is_enough_and_when_none_is() -> None:
    now = rate([Cell("a", 3000, (1, 1, 1, 0, 1) * 8)], seed="s", passing=PASS)
    assert weeks_needed(now, 0.3) == 1
    assert weeks_needed(now, 0.8) is None
    assert weeks_needed(rate([], seed="s", passing=PASS), 0.5) is None
    nearer, farther = weeks_needed(now, 0.79), weeks_needed(now, 0.75)
    assert nearer is not None
    assert farther is not None
    assert nearer > farther > 1


@pytest.mark.parametrize("name", ["97 % pass", "a third of a small week"])
def test_the_interval_holds_the_truth_as_often_as_it_says(name: str) -> None:
    found = coverage(POPULATIONS[name], weeks=150)
    # 95 % of 150 have a standard deviation of 1.8 points.
    assert 0.89 <= found.ours < 1.0


def test_the_interval_of_a_mean_holds_the_truth_as_often_as_it_says() -> None:
    dice = random.Random(7)
    strata = {"a": (900, [0, 0.02, 0.08, 0.3, 0.6]), "b": (400, [0.05, 0.1, 0.3, 0.4, 0.15])}
    population = {name: dice.choices(range(5), chances, k=size) for name, (size, chances) in strata.items()}
    truth = sum(sum(grades) for grades in population.values()) / 1300
    held = 0
    for week in range(150):
        cells = [
            Cell(name, len(grades), tuple(dice.sample(grades, 27 if name == "a" else 13)))
            for name, grades in population.items()
        ]
        low, _, high = ends(mean(cells, seed=str(week), scores=[0, 1, 2, 3, 4]))
        held += low <= truth <= high
    assert 0.89 <= held / 150 < 1.0
