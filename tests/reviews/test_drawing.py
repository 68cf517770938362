"""Drawing the sample: whole, bounded, repeatable, unbiased, and telling nothing by its order."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reviews.statistics.drawing import LARGEST, RARE, Draw, Unit, draw

_texts = st.sampled_from(["", "a", "b", "eu, variant=x", "(others)", "ü\n", "long " * 40])


@st.composite
def weeks(draw_from: st.DrawFn, most: int = 150) -> list[Unit]:
    n = draw_from(st.integers(0, most))
    seed = draw_from(st.integers(0, 2**32))
    outcomes, segments, variants = (draw_from(st.lists(_texts, min_size=1, max_size=4)) for _ in range(3))
    share = draw_from(st.sampled_from([0.0, 0.05, 0.5, 1.0]))
    dice = random.Random(seed)
    return [
        Unit(
            f"{place:032x}",
            dice.choice(outcomes),
            dice.choice(segments),
            dice.choice(variants),
            tuple(kind for kind in RARE if dice.random() < share),
        )
        for place in range(n)
    ]


def week(n: int = 2000, seed: int = 1) -> list[Unit]:
    dice = random.Random(seed)
    units = []
    for place in range(n):
        kinds = tuple(
            kind for kind, share in (("violation", 0.01), ("escalated", 0.03)) if dice.random() < share
        )
        outcome = dice.choices(["success", "failed"], [9, 1])[0]
        segment = dice.choices(["eu", "us", "in"], [6, 3, 1])[0]
        units.append(Unit(f"{place:032x}", outcome, segment, "baseline", kinds))
    return units


def ids(drawn: Draw) -> list[str]:
    return [item.id for item in drawn.items]


@given(weeks(), st.integers(1, 60), st.integers(0, 10))
def test_a_sample_is_as_large_as_asked_or_all_there_is(units: list[Unit], size: int, floor: int) -> None:
    drawn = draw(units, size=size, seed="s", floor=floor)
    assert drawn.population == len(units) == sum(stratum.size for stratum in drawn.strata)
    assert len(drawn.items) == min(size, len(units)) == sum(stratum.drawn for stratum in drawn.strata)
    assert len(set(ids(drawn))) == len(drawn.items)
    assert [item.order for item in drawn.items] == list(range(len(drawn.items)))


@given(weeks(), st.integers(1, 60), st.integers(0, 10))
def test_every_stratum_is_drawn_from_and_none_beyond_its_size(
    units: list[Unit], size: int, floor: int
) -> None:
    drawn = draw(units, size=size, seed="s", floor=floor)
    counts = Counter(item.stratum for item in drawn.items)
    assert len({stratum.key for stratum in drawn.strata}) == len(drawn.strata)
    for stratum in drawn.strata:
        assert 1 <= stratum.drawn <= stratum.size
        assert counts[stratum.key] == stratum.drawn
        if size >= 6:
            assert stratum.drawn >= min(2, stratum.size)


@given(weeks(), st.integers(1, 60))
def test_the_weights_of_a_stratum_sum_to_its_size(units: list[Unit], size: int) -> None:
    drawn = draw(units, size=size, seed="s")
    for stratum in drawn.strata:
        items = [item for item in drawn.items if item.stratum == stratum.key]
        assert sum(item.weight for item in items) == pytest.approx(stratum.size)
        for item in items:
            assert item.chance == pytest.approx(1 / item.weight)
            assert f"Drawn {stratum.drawn} of {stratum.size} " in item.why


@given(weeks(), st.integers(1, 60), st.text(max_size=5), st.randoms())
def test_the_same_seed_and_requests_are_the_same_sample_in_any_order(
    units: list[Unit], size: int, seed: str, dice: random.Random
) -> None:
    mixed = list(units)
    dice.shuffle(mixed)
    assert draw(units, size=size, seed=seed) == draw(iter(mixed), size=size, seed=seed)


def test_another_seed_is_another_sample() -> None:
    units = week()
    assert set(ids(draw(units, size=40, seed="a"))) != set(ids(draw(units, size=40, seed="b")))


@given(weeks(400), st.integers(6, 60))
def test_strata_are_few_enough_to_hold_about_three_each(units: list[Unit], size: int) -> None:
    drawn = draw(units, size=size, seed="s")
    assert len(drawn.strata) <= -(-size // 3) + 1


def test_rare_requests_get_their_floor_and_the_rest_its_share() -> None:
    units = week()
    drawn = draw(units, size=40, seed="s", floor=5)
    strata = {stratum.key: stratum for stratum in drawn.strata}
    violations = sum("violation" in unit.rare for unit in units)
    assert strata["rare:violation"].size == violations
    assert strata["rare:violation"].drawn == 5
    assert strata["rare:violation"].why == "A floor of 5 for violations."
    assert strata["rare:escalated"].drawn == 5
    largest = strata["outcome=success, segment=eu, variant=baseline"]
    common = drawn.population - strata["rare:violation"].size - strata["rare:escalated"].size
    assert largest.drawn == pytest.approx(30 * largest.size / common, abs=1)
    assert largest.why == "In proportion to its share of the week."


def test_a_kind_that_is_not_rare_gets_its_share_too() -> None:
    units = [Unit(f"{n:x}", "success", "", "", ("escalated",) if n % 2 else ()) for n in range(1000)]
    assert {stratum.key: stratum.drawn for stratum in draw(units, size=40, seed="s").strata} == {
        "outcome=success, segment=(none), variant=(none)": 20,
        "rare:escalated": 20,
    }


def test_floors_take_at_most_half_of_the_sample() -> None:
    units = week()
    drawn = draw(units, size=20, seed="s", floor=20)
    assert sum(stratum.drawn for stratum in drawn.strata if stratum.key.startswith("rare:")) <= 10


def test_a_request_of_two_kinds_is_in_the_first_kinds_stratum() -> None:
    units = [Unit("a", "success", "", "", ("escalated", "denied", "violation")), *week(100)]
    drawn = draw(units, size=40, seed="s", floor=40)
    assert {item.stratum for item in drawn.items if item.id == "a"} <= {"rare:violation"}
    assert sum(stratum.size for stratum in drawn.strata if stratum.key == "rare:violation") == 1 + sum(
        "violation" in unit.rare for unit in units[1:]
    )


def test_small_groups_are_put_together_and_not_left_out() -> None:
    units = [Unit(f"{n:x}", "success", f"shop-{n % 200}", "baseline") for n in range(1000)]
    units += [Unit(f"failed-{n}", "failed", "x", "baseline") for n in range(10)]
    drawn = draw(units, size=40, seed="s")
    assert {stratum.key: stratum.size for stratum in drawn.strata} == {
        "outcome=success, segment=(others), variant=(others)": 1000,
        "(others)": 10,
    }


def test_two_strata_never_read_the_same() -> None:
    forged = Unit("x", "success", "eu, variant=b", "")
    honest = Unit("y", "success", "eu", "b")
    named = Unit("z", "success", "(none)", "(others)")
    units = [
        Unit(f"{unit.id}{n}", unit.outcome, unit.segment, unit.variant)
        for unit in (forged, honest, named)
        for n in range(50)
    ]
    drawn = draw(units, size=30, seed="s")
    assert len({stratum.key for stratum in drawn.strata}) == len(drawn.strata) == 3


def _chi_square(drawn: Sequence[int], chances: Sequence[float], times: int) -> float:
    return sum(
        (n - times * chance) ** 2 / (times * chance * (1 - chance))
        for n, chance in zip(drawn, chances, strict=True)
    )


def test_each_request_is_drawn_as_often_as_its_chance_says() -> None:
    units = week(150)
    times = 1500
    counts = Counter[str]()
    for seed in range(times):
        counts.update(ids(draw(units, size=30, seed=str(seed))))
    assert set(counts) == {unit.id for unit in units}
    chances: dict[str, float] = {}
    for seed in range(100):
        chances |= {item.id: item.chance for item in draw(units, size=30, seed=str(seed)).items}
    chances = {id: chance for id, chance in chances.items() if chance < 1}
    assert len(chances) > 140
    found = _chi_square([counts[id] for id in chances], list(chances.values()), times)
    # About chi-square with a degree of freedom a request: 145 or so, standard deviation 17.
    assert 60 < found < 240


def test_the_place_in_the_order_says_nothing_of_the_stratum() -> None:
    units = week(400)
    places: dict[str, list[int]] = {}
    for seed in range(400):
        for item in draw(units, size=40, seed=str(seed)).items:
            places.setdefault(item.stratum, []).append(item.order)
    assert len(places) >= 3
    for found in places.values():
        # A uniform place in 0 to 39 has the mean 19.5 and the standard deviation 11.5.
        assert abs(sum(found) / len(found) - 19.5) < 5 * 11.5 / len(found) ** 0.5


@pytest.mark.parametrize("size", [0, -1, LARGEST + 1])
def test_a_size_out_of_bounds_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 500"):
        draw(week(10), size=size, seed="s")


def test_what_would_bend_the_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="no rare kind"):
        draw([Unit("a", "", "", "", ("violations",))], size=5, seed="s")
    with pytest.raises(ValueError, match="given twice"):
        draw([Unit("a", "", "", ""), Unit("a", "", "", "")], size=5, seed="s")
    with pytest.raises(ValueError, match="floor"):
        draw([], size=5, seed="s", floor=-1)


def test_a_week_without_requests_is_an_empty_sample() -> None:
    assert draw([], size=40, seed="s") == Draw((), (), 0, "s")
