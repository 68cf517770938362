"""Reviews: how often the 95 % interval of a week's sample holds the truth, by simulation.

Weeks are drawn from populations whose every grade is known, by the product's own `draw`, and estimated by its own
`rate`. Beside it stands what is commonly done: Wilson's interval of the grades as they come, the bootstrap within
strata, and draws from each stratum's own Beta(x + 1/2, n - x + 1/2).
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from reviews.statistics.drawing import Unit, draw
from reviews.statistics.estimates import Cell, rate
from reviews.statistics.seeds import generator
from traces.statistics import rate_of

__all__ = ["POPULATIONS", "Coverage", "Population", "coverage", "report"]

_METHODS = ("ours", "unweighted Wilson", "stratified bootstrap", "each stratum's Beta")
_LEAST, _MOST = 0.93, 0.98
_RESAMPLES = 1000
_PROCESSES = 2
# A truth on the end of an interval is held by it, whatever the last bit says.
_HAIR = 1e-9

Interval = tuple[float, float]


class Part(msgspec.Struct, frozen=True):
    """Requests of one kind: how many there are, and how many of them pass."""

    size: int
    passing: int
    segment: str
    rare: tuple[str, ...] = ()


class Population(msgspec.Struct, frozen=True):
    """A week whose every grade is known, and how many requests are drawn from it."""

    drawn: int
    parts: tuple[Part, ...]


class Coverage(msgspec.Struct, frozen=True):
    """The share of weeks whose interval held the truth, by method in the order of the report, and the mean
    width of ours.
    """

    truth: float
    held: tuple[float, ...]
    width: float

    @property
    def ours(self) -> float:
        return self.held[0]


def _population(
    drawn: int, common: Sequence[tuple[int, float]], rare: Sequence[tuple[str, int, float]] = ()
) -> Population:
    parts = [Part(size, round(size * share), f"s{place}") for place, (size, share) in enumerate(common)]
    parts += [Part(size, round(size * share), "s0", (kind,)) for kind, size, share in rare]
    return Population(drawn, tuple(parts))


POPULATIONS = {
    "97 % pass": _population(
        40, [(900, 0.99), (750, 0.98), (450, 0.97), (360, 0.95), (300, 0.94), (240, 0.93)]
    ),
    "20 drawn": _population(20, [(200, 0.92), (120, 0.85), (80, 0.68)]),
    "unequal strata": _population(40, [(900, 0.95), (375, 0.80), (150, 0.50), (75, 0.30)]),
    "bad requests over-sampled": _population(
        40, [(1252, 0.95), (522, 0.92), (229, 0.85)], [("violation", 20, 0.10), ("escalated", 60, 0.40)]
    ),
    "three rare kinds": _population(
        40,
        [(728, 0.97), (546, 0.95), (364, 0.90), (182, 0.90)],
        [("violation", 40, 0.05), ("denied", 40, 0.30), ("escalated", 100, 0.50)],
    ),
    "twelve small segments": _population(50, [(208, 0.97)] * 12),
    "a third of a small week": _population(50, [(91, 0.95), (61, 0.90)], [("violation", 8, 0.25)]),
}


def coverage(population: Population, weeks: int) -> Coverage:
    """Draw as many weeks from the population, each from a seed of its own, and count whose interval held the truth."""
    units, passing = _units(population)
    truth = len(passing) / len(units)
    held = np.zeros(len(_METHODS))
    width = 0.0
    for week in range(weeks):
        intervals = _intervals(units, passing, population.drawn, f"week {week}")
        held += [low - _HAIR <= truth <= high + _HAIR for low, high in intervals]
        width += intervals[0][1] - intervals[0][0]
    return Coverage(truth, tuple(float(n) / weeks for n in held), width / weeks)


def _units(population: Population) -> tuple[list[Unit], set[str]]:
    units: list[Unit] = []
    passing: set[str] = set()
    for part in population.parts:
        for place in range(part.size):
            id = f"{len(units):032x}"
            units.append(Unit(id, "success", part.segment, "baseline", part.rare))
            if place < part.passing:
                passing.add(id)
    return units, passing


def _intervals(units: Sequence[Unit], passing: set[str], size: int, seed: str) -> list[Interval]:
    drawn = draw(units, size=size, seed=seed)
    grades: dict[str, list[int]] = {stratum.key: [] for stratum in drawn.strata}
    for item in drawn.items:
        grades[item.stratum].append(int(item.id in passing))
    cells = [Cell(stratum.key, stratum.size, tuple(grades[stratum.key])) for stratum in drawn.strata]
    ours = rate(cells, seed=seed, passing=frozenset({1}))
    assert ours.low is not None
    assert ours.high is not None
    return [(ours.low, ours.high), _unweighted(cells), _bootstrap(cells, seed), _betas(cells, seed)]


def _unweighted(cells: Sequence[Cell]) -> Interval:
    found = rate_of(sum(sum(cell.values) for cell in cells), sum(len(cell.values) for cell in cells))
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def _bootstrap(cells: Sequence[Cell], seed: str) -> Interval:
    """Resampling a stratum's grades is drawing as many from a binomial distribution at their rate."""
    passed, n, weights = _counts(cells)
    resampled = generator(seed, "bootstrap").binomial(n, passed / n, size=(_RESAMPLES, len(n))) / n
    return _ends(resampled @ weights)


def _betas(cells: Sequence[Cell], seed: str) -> Interval:
    passed, n, weights = _counts(cells)
    drawn = generator(seed, "betas").beta(passed + 0.5, n - passed + 0.5, size=(_RESAMPLES, len(n)))
    return _ends(drawn @ weights)


def _counts(
    cells: Sequence[Cell],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    passed = np.array([sum(cell.values) for cell in cells])
    n = np.array([len(cell.values) for cell in cells])
    sizes = np.array([cell.size for cell in cells], dtype=float)
    return passed, n, sizes / sizes.sum()


def _ends(drawn: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def report(say: Callable[[str], object]) -> tuple[str, dict[str, Any]]:
    """The shares as a table in Markdown, and their plot. `RUNS` weeks from each population (default 1,000)."""
    weeks = int(os.environ.get("RUNS", "1000"))
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as processes:
        found = dict(
            zip(POPULATIONS, processes.map(partial(coverage, weeks=weeks), POPULATIONS.values()), strict=True)
        )
    say("simulated weeks")
    return _table(found, weeks), _figure(found)


def _table(found: dict[str, Coverage], weeks: int) -> str:
    lines = [
        "## Reviews",
        "",
        f"{weeks:,} weeks drawn from each population: the share of 95 % intervals that held the true rate of passing. "
        f"It should be {_LEAST:.0%} to {_MOST:.0%}; * is outside.",
        "",
        f"| population | requests | drawn | truth | {' | '.join(_METHODS)} | mean width of ours |",
        f"| --- |{' ---: |' * (len(_METHODS) + 4)}",
    ]
    for name, one in found.items():
        population = POPULATIONS[name]
        size = sum(part.size for part in population.parts)
        shares = " | ".join(f"{share:.1%}{'' if _LEAST <= share <= _MOST else ' *'}" for share in one.held)
        lines.append(
            f"| {name} | {size:,} | {population.drawn} | {one.truth:.1%} | {shares} | {100 * one.width:.0f} points |"
        )
    lines += ["", "Populations in which the share was right:", ""]
    for place, method in enumerate(_METHODS):
        right = sum(_LEAST <= one.held[place] <= _MOST for one in found.values())
        lines.append(f"- {method}: {right} of {len(found)}")
    return "\n".join(lines)


def _figure(found: dict[str, Coverage]) -> dict[str, Any]:
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "name": method,
                "x": [one.held[place] for one in found.values()],
                "y": list(found),
                "marker": {"size": 11},
            }
            for place, method in enumerate(_METHODS)
        ],
        "layout": {
            "title": {"text": "Share of 95 % intervals that hold the truth"},
            "xaxis": {"tickformat": ".0%", "range": [0, 1.02]},
            "margin": {"l": 220},
            "shapes": [
                {
                    "type": "rect",
                    "x0": _LEAST,
                    "x1": _MOST,
                    "y0": 0,
                    "y1": 1,
                    "yref": "paper",
                    "fillcolor": "rgba(80, 160, 80, 0.2)",
                    "line": {"width": 0},
                }
            ],
        },
    }
