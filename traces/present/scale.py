"""From nanoseconds to percent of the lane's width. Long waits for a person are drawn short, so that the work
is seen.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

Interval = tuple[int, int]  # start and end in nanoseconds, start <= end

# Waits that fill more than this share of the time are drawn together on this share of the width.
_MOST_WAIT: Final = 0.3
_DRAWN_WAIT: Final = 0.2


def merged(intervals: Sequence[Interval]) -> list[Interval]:
    """The same time covered by intervals that neither touch nor overlap, in order."""
    found: list[Interval] = []
    for start, end in sorted(intervals):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif end > start:
            found.append((start, end))
    return found


class Scale:
    """A piecewise linear map of `start`..`end` (nanoseconds) to 0..100; monotonic; `broken` when waits are
    shortened.
    """

    def __init__(self, start: int, end: int, waits: Sequence[Interval] = ()) -> None:
        span = max(end - start, 1)
        inside = [(max(low, start), min(high, end)) for low, high in merged(waits)]
        self.waits = [(low, high) for low, high in inside if high > low]
        waited = sum(high - low for low, high in self.waits)
        worked = span - waited
        self.broken = waited > span * _MOST_WAIT and worked > 0
        per_wait, per_work = 100 / span, 100 / span
        if self.broken:
            per_wait = 100 * _DRAWN_WAIT / waited
            per_work = 100 * (1 - _DRAWN_WAIT) / worked
        # Times at which the slope changes, the position there, and the slope after it.
        self._at, self._position, self._slope = [start], [0.0], [per_work]
        for low, high in self.waits:
            self._turn(low, per_wait)
            self._turn(high, per_work)

    def _turn(self, at: int, slope: float) -> None:
        self._position.append(self._position[-1] + (at - self._at[-1]) * self._slope[-1])
        self._at.append(at)
        self._slope.append(slope)

    def percent(self, at: int) -> float:
        """Where a moment stands, 0..100; moments outside stand at the edges."""
        index = max(bisect_right(self._at, at) - 1, 0)
        position = self._position[index] + (at - self._at[index]) * self._slope[index]
        return min(max(position, 0.0), 100.0)

    def bar(self, start: int, end: int, least: float = 0.6) -> tuple[str, str]:
        """`x` and `width` of a bar as SVG attributes in percent: never thinner than `least`, never outside
        the lane.
        """
        low, high = self.percent(start), self.percent(max(end, start))
        width = max(high - low, least)
        low = min(low, 100 - width)
        return f"{low:.2f}%", f"{width:.2f}%"
