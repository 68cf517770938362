"""How well people who graded the same requests agree: Krippendorff's alpha with an interval, raw agreement, and the
drift of one person against the others.

Alpha = 1 - observed / expected disagreement (Krippendorff, "Content Analysis", 4th ed. 2019, chapter 12; "Computing
Krippendorff's Alpha-Reliability", 2011, has the worked examples that the tests compute): 1 is full agreement, 0 what
chance would give. It takes any number of people, missing grades, and counts a near miss less where the level says so.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Literal

import krippendorff
import msgspec
import numpy as np
from numpy.typing import NDArray

from reviews.statistics.seeds import generator

__all__ = ["ENOUGH", "Agreement", "Drift", "Level", "agreement", "alpha", "drift"]

Level = Literal["nominal", "ordinal", "interval"]

ENOUGH = 10
"""The fewest requests graded twice of which agreement says anything."""

_RESAMPLES = 1000
# So many numbers are held in memory at once.
_AT_ONCE = 2_000_000

_Numbers = NDArray[np.float64]


class Agreement(msgspec.Struct, frozen=True):
    """Alpha with its 95 % interval; `raw` is the share of pairs of grades of the same request that are equal.

    `n` counts the requests graded at least twice, and `enough` says whether they are ten. `alpha` is None where it is
    undefined and the ends where they are, and `reason` says why; it also names what else the reader should know.
    `undefined` counts the resamples, of 1,000, in which alpha was not defined and which the interval leaves out.
    """

    alpha: float | None
    low: float | None
    high: float | None
    raw: float | None
    n: int
    enough: bool
    undefined: int
    reason: str


class Drift(msgspec.Struct, frozen=True):
    """By how much one person grades higher (or lower, if negative) than others did the same requests, in the units of
    the grades, with the 95 % interval. `drifting`: there is enough to say, and the interval leaves 0 out.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    enough: bool
    drifting: bool


def alpha(ratings: Sequence[Sequence[float | None]], level: Level) -> float | None:
    """Krippendorff's alpha. A row is a request, with the grades given to it; None is a missing one, and rows may
    differ in length: who gave a grade does not matter to alpha.

    None where it is undefined: no request has two grades, or all those that count are the same value, so that nothing
    shows whether people can tell requests apart.
    """
    units = _graded_twice(ratings)
    values = sorted({grade for unit in units for grade in unit})
    if len(values) < 2:
        return None
    counts = _counts(units, values)
    return float(
        krippendorff.alpha(value_counts=counts, value_domain=np.array(values), level_of_measurement=level)
    )


def agreement(pairs: Sequence[tuple[float | None, ...]], level: Level, seed: str) -> Agreement:
    """Alpha, its interval and raw agreement of requests (rows) with two or more grades; other rows do not count.

    The interval is the percentile bootstrap over requests (Efron and Tibshirani 1993, chapter 13; over units as
    in Gwet, "Handbook of Inter-Rater Reliability", 4th ed. 2014, not over pairs, which depend on each other),
    1,000 resamples from the seed. Resamples of one value only, where alpha is undefined, are left out and counted:
    they are at most (1 - 1/n)^n < 37 %. Where no two grades differ, resampling can find no disagreement either, and
    the low end is alpha at the most disagreement that n requests without one leave possible: 1 - 0.025^(1/n) of the
    pairs (Clopper and Pearson 1934). A single request has no interval.
    """
    units = _graded_twice(pairs)
    n = len(units)
    if not units:
        return Agreement(None, None, None, None, 0, False, 0, "Nothing was graded twice.")
    raw = _equal_pairs(units)
    found = alpha(units, level)
    if found is None:
        reason = "All grades are the same value: nothing shows whether people would tell requests apart."
        return Agreement(None, None, None, raw, n, n >= ENOUGH, 0, reason)
    reason = "" if n >= ENOUGH else f"Not enough double grades: {n} of the {ENOUGH} that are needed."
    if n < 2:
        return Agreement(found, None, None, raw, n, False, 0, reason)
    values = sorted({grade for unit in units for grade in unit})
    counts = _counts(units, values)
    if raw == 1.0:
        low = max(-1.0, 1 - (1 - 0.025 ** (1 / n)) / _differing_by_chance(counts))
        return Agreement(found, low, found, raw, n, n >= ENOUGH, 0, reason)
    alphas = _resampled(counts, np.array(values), level, generator(seed, "agreement"))
    defined = alphas[~np.isnan(alphas)]
    low, high = (float(end) for end in np.quantile(defined, (0.025, 0.975)))
    return Agreement(
        found, min(low, found), max(high, found), raw, n, n >= ENOUGH, len(alphas) - len(defined), reason
    )


def drift(mine: Sequence[float], others: Sequence[float], *, step: float = 1.0) -> Drift:
    """The mean difference between one person's grades and those of others (their mean, where several) of the same
    requests, in the same order.

    The interval is Student's for paired differences, with a variance as though one pair more had differed by one step
    of the scale: few grades that happen to agree would else show an interval of no width. None under two pairs.

    Raises ValueError if there are not as many of the one as of the other.
    """
    differences = [own - other for own, other in zip(mine, others, strict=True)]
    n = len(differences)
    if not n:
        return Drift(None, None, None, 0, False, False)
    value = sum(differences) / n
    if n < 2:
        return Drift(value, None, None, n, False, False)
    variance = (sum((one - value) ** 2 for one in differences) + step**2) / n
    half = _student(n - 1) * sqrt(variance / n)
    enough = n >= ENOUGH
    return Drift(value, value - half, value + half, n, enough, enough and abs(value) > half)


def _graded_twice(ratings: Sequence[Sequence[float | None]]) -> list[tuple[float, ...]]:
    units = (tuple(float(grade) for grade in row if grade is not None) for row in ratings)
    return [unit for unit in units if len(unit) >= 2]


def _counts(units: Sequence[Sequence[float]], values: Sequence[float]) -> NDArray[np.int64]:
    return np.array([[unit.count(value) for value in values] for unit in units], dtype=np.int64)


def _equal_pairs(units: Sequence[Sequence[float]]) -> float:
    pairs = [(one, other) for unit in units for place, one in enumerate(unit) for other in unit[place + 1 :]]
    return sum(one == other for one, other in pairs) / len(pairs)


def _differing_by_chance(counts: NDArray[np.int64]) -> float:
    """The share of pairs of any two grades that differ."""
    totals = counts.sum(axis=0)
    n = int(totals.sum())
    return 1 - float((totals * (totals - 1)).sum()) / (n * (n - 1))


def _resampled(
    counts: NDArray[np.int64], values: _Numbers, level: Level, rng: np.random.Generator
) -> _Numbers:
    """Alpha of each resample, NaN where it is undefined: all at once, from each unit's share of the coincidences."""
    n, width = counts.shape
    diagonal = counts[:, :, None] * np.eye(width)
    coincidences = (counts[:, :, None] * counts[:, None, :] - diagonal) / (counts.sum(axis=1) - 1)[
        :, None, None
    ]
    times = rng.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES).astype(float)
    found = []
    for start in range(0, _RESAMPLES, max(1, _AT_ONCE // width**2)):
        part = times[start : start + max(1, _AT_ONCE // width**2)]
        observed = (part @ coincidences.reshape(n, -1)).reshape(-1, width, width)
        found.append(_alphas(observed, values, level))
    return np.concatenate(found)


def _alphas(observed: _Numbers, values: _Numbers, level: Level) -> _Numbers:
    totals = observed.sum(axis=2)
    expected = totals[:, :, None] * totals[:, None, :] - totals[:, :, None] * np.eye(len(values))
    expected /= (totals.sum(axis=1) - 1)[:, None, None]
    distances = _distances(totals, values, level)
    by_chance = (expected * distances).sum(axis=(1, 2))
    found: _Numbers = np.full(len(observed), np.nan)
    defined = by_chance > 1e-12
    seen = (observed * distances).sum(axis=(1, 2))
    found[defined] = 1 - seen[defined] / by_chance[defined]
    return found


def _distances(totals: _Numbers, values: _Numbers, level: Level) -> _Numbers:
    """The squared distance of each two values; between ordinal ones it is that of their mean ranks."""
    if level == "nominal":
        return (1 - np.eye(len(values)))[None]
    places = totals.cumsum(axis=1) - totals / 2 if level == "ordinal" else values[None]
    squared: _Numbers = (places[:, :, None] - places[:, None, :]) ** 2
    return squared


def _student(degrees: int) -> float:
    """The 0.975 quantile of Student's t: exact for 1 and 2 degrees of freedom, else the expansion 26.7.5 of
    Abramowitz and Stegun (1964), which is off by less than 0.4 % from three on.
    """
    if degrees == 1:
        return 12.706205
    if degrees == 2:
        return 4.302653
    z = 1.959963984540054
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(float(term / degrees**power) for power, term in enumerate(terms, 1))
