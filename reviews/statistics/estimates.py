"""What a graded sample says of its week: a rate or a mean with a 95 % interval, weighted by the strata's sizes.

Samples hold 20 to 50 requests, strata a handful, and most grades are good: the normal interval and the bootstrap are
far too narrow there, and so are draws from each stratum's own Beta(x + 1/2, n - x + 1/2) as soon as strata are many,
because each adds half a failure that nobody saw. So strata learn from each other: decision 045 has the comparison, the
benchmark `reviews` the simulation.

The method. Within a family of strata (all rare strata of one kind; all others) the share p_h of requests that reach a
value comes from Beta(m * M, (1 - m) * M), with the centre m and the strength M unknown: M is 2, 4, ... or 128, each as
likely before, and m has a Beta prior. x_h of n_h graded requests reach it; the posterior of (m, M) is summed on a
grid, p_h given them is Beta(x_h + m * M, n_h - x_h + (1 - m) * M), and of the N_h - n_h requests that nobody graded
Binomial(N_h - n_h, p_h) reach it. So a week graded wholly has an interval of no width (Ericson 1969, JRSS B 31:195, for
finite populations; Gelman et al., "Bayesian Data Analysis", 3rd ed. 2013, section 5.3, for the hierarchy).

A scale of k values is k - 1 such questions, each asked of those who passed the one before (Connor and Mosimann 1969,
JASA 64:194, the generalised Dirichlet distribution), with priors that make one Dirichlet(1/k, ..., 1/k) of them (Perks
1947), which is Jeffreys' prior for k = 2.

The interval reaches from the lowest to the highest of the 2.5 % and 97.5 % points under that prior and under one of
twice its weight, which is the uniform one for k = 2, and holds the weighted rate itself. Each of the two alone falls
short on one side near 0 and 1 (Brown, Cai and DasGupta 2001, Statistical Science 16:101).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby
from math import ceil

import msgspec
import numpy as np
from numpy.typing import NDArray

from reviews.statistics.seeds import generator

__all__ = ["Cell", "Estimate", "mean", "pool", "rate", "weeks_needed"]

_STRENGTHS = np.array([2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0])
# Centres at equal steps of Jeffreys' prior, so that they stand closest where rates are near 0 and 1.
_CENTRES = 160
_MOST_DRAWS, _FEWEST_DRAWS = 4000, 1000
_DRAWN_NUMBERS = 24_000
_QUANTILES = (0.025, 0.975)

_Numbers = NDArray[np.float64]
_Counts = NDArray[np.int64]


class Cell(msgspec.Struct, frozen=True):
    """A stratum of `size` requests and the final grades given in it, as indexes of the scale's values from worst (0)
    to best.
    """

    stratum: str
    size: int
    values: tuple[int, ...]


class Estimate(msgspec.Struct, frozen=True):
    """A rate (0 to 1) or a mean (in units of the scale's scores) of all `population` requests, from the `n` graded.

    `value`, `low` and `high` are None where nothing was graded. `ungraded` were drawn and skipped by all;
    `graded_share` is n of the drawn. `unknown` is the share of the population in strata without a single grade.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    population: int
    ungraded: int
    graded_share: float | None
    unknown: float
    method: str
    seed: str


def rate(
    cells: Sequence[Cell], *, seed: str, passing: Callable[[int], bool] | frozenset[int], ungraded: int = 0
) -> Estimate:
    """The share of the week's requests whose grade is passing: one of the indexes, or one for which the function is
    true.

    Raises ValueError for a stratum with more grades than requests.
    """
    passes = passing if callable(passing) else passing.__contains__
    binary = [
        Cell(cell.stratum, cell.size, tuple(int(passes(value)) for value in cell.values)) for cell in cells
    ]
    return _estimate(binary, np.array([0.0, 1.0]), seed, ungraded)


def mean(cells: Sequence[Cell], *, seed: str, scores: Sequence[float], ungraded: int = 0) -> Estimate:
    """The mean score of the week's requests: `scores` gives the score of each of the scale's values, worst first.

    Raises ValueError for fewer than two scores, for a grade that has none, and for a stratum with more grades than
    requests.
    """
    if len(scores) < 2:
        raise ValueError("a scale has at least two values")
    return _estimate(cells, np.array(scores, dtype=float), seed, ungraded)


def pool(
    weeks: Sequence[Sequence[Cell]],
    *,
    seed: str,
    passing: Callable[[int], bool] | frozenset[int] | None = None,
    scores: Sequence[float] | None = None,
    ungraded: int = 0,
) -> Estimate:
    """The rate (with `passing`) or mean (with `scores`) of the requests of several weeks together: each stratum of
    each week is a stratum of its own, so that a busy week weighs more.

    Raises ValueError unless one of the two is given, and as `rate` and `mean` do.
    """
    cells = [cell for week in weeks for cell in week]
    if passing is not None and scores is None:
        return rate(cells, seed=seed, passing=passing, ungraded=ungraded)
    if scores is not None and passing is None:
        return mean(cells, seed=seed, scores=scores, ungraded=ungraded)
    raise ValueError("give passing values or scores")


def weeks_needed(now: Estimate, before: float) -> int | None:
    """How many weeks like this one, pooled, would tell its figure apart from an earlier one, four times of five.

    An interval over w weeks is narrower by the root of w. It leaves `before` out with a chance of 80 % if its half
    width, here that on the side of `before`, is the difference over 1 + 0.84/1.96 (the quantiles of the normal
    distribution), so w = ((1 + 0.84/1.96) * half / difference)^2, rounded up. 1 where they are apart already; None
    where the figures are the same or nothing was graded: no number of weeks would do.
    """
    if now.value is None or now.low is None or now.high is None or now.value == before:
        return None
    if not now.low <= before <= now.high:
        return 1
    half = now.value - now.low if before < now.value else now.high - now.value
    return max(2, ceil(((1 + 0.8416 / 1.9600) * half / (now.value - before)) ** 2))


def _estimate(cells: Sequence[Cell], scores: _Numbers, seed: str, ungraded: int) -> Estimate:
    _check(cells, len(scores))
    graded = [cell for cell in cells if cell.values]
    n = sum(len(cell.values) for cell in graded)
    population = sum(cell.size for cell in cells)
    known = sum(cell.size for cell in graded)
    share = n / (n + ungraded) if n + ungraded else None
    unknown = 1 - known / population if population else 0.0
    if not graded:
        return Estimate(
            None, None, None, 0, population, ungraded, share, unknown, "Nothing was graded.", seed
        )
    value = sum(cell.size * float(scores[list(cell.values)].mean()) for cell in graded) / known
    means = [_means(cells, scores, weight, seed) for weight in (1.0, 2.0)]
    low = min(float(np.quantile(drawn, _QUANTILES[0], method="lower")) for drawn in means)
    high = max(float(np.quantile(drawn, _QUANTILES[1], method="higher")) for drawn in means)
    if known == n == population:
        low = high = value
    method = _method(n, population, unknown)
    return Estimate(
        value, min(low, value), max(high, value), n, population, ungraded, share, unknown, method, seed
    )


def _check(cells: Sequence[Cell], values: int) -> None:
    for cell in cells:
        if len(cell.values) > cell.size:
            raise ValueError(f"{len(cell.values)} grades for {cell.size} requests in {cell.stratum}")
        if cell.values and not 0 <= min(cell.values) <= max(cell.values) < values:
            raise ValueError(f"a grade outside the scale in {cell.stratum}")


def _method(n: int, population: int, unknown: float) -> str:
    if n == population:
        return "Every request was graded: the figure is the week's own and has no interval."
    said = "Weighted by the strata's sizes; 95 % interval from a hierarchical Beta model of the strata."
    if unknown:
        said += (
            f" {unknown:.0%} of the requests are in strata without a grade, about which nothing is assumed."
        )
    return said


def _means(cells: Sequence[Cell], scores: _Numbers, weight: float, seed: str) -> _Numbers:
    """Draws of the population's mean score from its posterior, under a prior of the given weight."""
    rng = generator(seed, f"estimate {weight}")
    draws = min(_MOST_DRAWS, max(_FEWEST_DRAWS, _DRAWN_NUMBERS // (len(cells) * (len(scores) - 1))))
    total = np.zeros(draws)
    for _, members in groupby(sorted(cells, key=_family), key=_family):
        family = list(members)
        sizes = np.array([cell.size for cell in family])
        total += sizes.sum() * scores[0]
        for above, gained in zip(
            _reached(family, sizes, len(scores), weight, draws, rng), np.diff(scores), strict=True
        ):
            total += gained * above
    return total / sum(cell.size for cell in cells)


def _family(cell: Cell) -> str:
    """Strata that are taken to be alike: those of a rare kind, all others, and each that has no grade alone."""
    if not cell.values:
        return f"unknown:{cell.stratum}"
    return cell.stratum if cell.stratum.startswith("rare:") else ""


def _reached(
    family: Sequence[Cell], sizes: _Counts, values: int, weight: float, draws: int, rng: np.random.Generator
) -> list[_Numbers]:
    """For each value but the worst, draws of how many requests of the family reach it."""
    grades = np.array([np.bincount(cell.values, minlength=values) for cell in family])
    at_least = np.cumsum(grades[:, ::-1], axis=1)[:, ::-1]
    left = np.broadcast_to(sizes - at_least[:, 0], (draws, len(family)))
    reached = []
    for value in range(1, values):
        asked, passed = at_least[:, value - 1], at_least[:, value]
        prior = weight * (values - value) / values, weight / values
        left = rng.binomial(left, _rates(passed, asked, prior, draws, rng))
        reached.append(passed.sum() + left.sum(axis=1, dtype=float))
    return reached


def _rates(
    passed: _Counts, asked: _Counts, prior: tuple[float, float], draws: int, rng: np.random.Generator
) -> _Numbers:
    """Draws of each stratum's rate, given that `passed` of the `asked` did."""
    steps, centres = _centres()
    strengths = _STRENGTHS[:, None]
    # Beta(1/2, 1/2) is even over the steps; the prior's density is relative to it.
    log_weight = (prior[0] - 0.5) * np.log(centres) + (prior[1] - 0.5) * np.log1p(-centres)
    log_weight = (
        log_weight
        + _rising(strengths * centres, passed)
        + _rising(strengths * (1 - centres), asked - passed)
        - _rising(strengths, asked)
    )
    cumulated = np.cumsum(np.exp(log_weight - log_weight.max()))
    chosen = np.searchsorted(cumulated, rng.random(draws) * cumulated[-1], side="right")
    strength = _STRENGTHS[chosen // len(centres)]
    centre = _centre(steps[chosen % len(centres)] + (rng.random(draws) - 0.5) / len(centres))
    a, b = strength * centre, strength * (1 - centre)
    drawn: _Numbers = rng.beta(passed + a[:, None], (asked - passed) + b[:, None])
    return drawn


def _rising(a: _Numbers, counts: _Counts) -> _Numbers:
    """The logarithm of the product of a(a + 1)...(a + c - 1) over the counts c."""
    most = int(counts.max())
    if not most:
        return np.zeros_like(a)
    tails = (counts[:, None] > np.arange(most)).sum(axis=0).astype(float)
    summed: _Numbers = np.tensordot(tails, np.log(a + np.arange(most)[:, None, None]), axes=1)
    return summed


@lru_cache
def _centres() -> tuple[_Numbers, _Numbers]:
    steps = (np.arange(_CENTRES) + 0.5) / _CENTRES
    return steps, _centre(steps)


def _centre(step: _Numbers) -> _Numbers:
    """The quantile function of Beta(1/2, 1/2), kept off 0 and 1."""
    centre: _Numbers = np.clip(np.sin(step * np.pi / 2) ** 2, 1e-9, 1 - 1e-9)
    return centre
