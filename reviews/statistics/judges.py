"""Whether an LLM judge's grades may count: how well they agree with people's grades of the same requests."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from reviews.statistics.agreement import Agreement, Level, agreement

__all__ = ["BAR", "ENOUGH", "SURELY", "Calibration", "calibrate"]

BAR = 0.667
"""The least alpha: below it Krippendorff draws no conclusions, not even tentative ones ("Content Analysis", 4th ed.
2019, section 12.4)."""

SURELY = 0.5
"""The least low end of alpha's 95 % interval: at least half of the disagreement that chance would give is surely not
there. At 50 requests and an alpha of 0.8 the interval is about 0.58 to 0.96, so a judge that just reached the bar by
luck is held back."""

ENOUGH = 50
"""The fewest requests that both graded."""


class Calibration(msgspec.Struct, frozen=True):
    """How a judge agrees with people: `agreement` (alpha, its interval, raw share, n), and how often each of the
    scale's values met each: `confusion[people's value][judge's value]`, by index from worst to best.

    `higher` and `lower` are the shares of requests that the judge graded better and worse than people did. `counts`
    says whether the judge may count, and `why` why (not).
    """

    agreement: Agreement
    confusion: tuple[tuple[int, ...], ...]
    higher: float | None
    lower: float | None
    counts: bool
    why: str


def calibrate(
    pairs: Sequence[tuple[float | None, float | None]],
    values: Sequence[float],
    level: Level,
    seed: str,
    bar: float = BAR,
) -> Calibration:
    """Compare pairs of people's final grade and the judge's of the same request; pairs that lack one are left out.

    A judge may count when at least `ENOUGH` requests were graded by both, alpha is at least `bar`, and the low end of
    its interval at least `SURELY` (or `bar`, where that is lower).

    Raises ValueError for a grade that is not one of `values` (the scale, from worst to best).
    """
    both = [(people, judge) for people, judge in pairs if people is not None and judge is not None]
    places = {value: place for place, value in enumerate(values)}
    if unknown := {grade for pair in both for grade in pair} - places.keys():
        raise ValueError(f"grades outside the scale: {', '.join(str(grade) for grade in sorted(unknown))}")
    met = Counter((places[people], places[judge]) for people, judge in both)
    found = agreement(both, level, seed)
    counts, why = _verdict(found, bar)
    return Calibration(
        found,
        tuple(tuple(met[row, column] for column in places.values()) for row in places.values()),
        sum(n for (people, judge), n in met.items() if judge > people) / len(both) if both else None,
        sum(n for (people, judge), n in met.items() if judge < people) / len(both) if both else None,
        counts,
        why,
    )


def _verdict(found: Agreement, bar: float) -> tuple[bool, str]:
    if found.n < ENOUGH:
        return False, f"{found.n} of the {ENOUGH} requests that both must have graded."
    if found.alpha is None or found.low is None:
        return False, found.reason
    if found.alpha < bar:
        return False, f"Alpha is {found.alpha:.2f}; it must be at least {bar:.2f}."
    surely = min(SURELY, bar)
    if found.low < surely:
        return False, f"Alpha may be as low as {found.low:.2f}; it must surely be at least {surely:.2f}."
    return True, f"Alpha is {found.alpha:.2f} over {found.n} requests, and surely at least {surely:.2f}."
