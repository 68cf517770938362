"""Mergeable histograms whose quantiles are off by at most 1 %: DDSketch's logarithmic mapping (Masson, Rim and
Lee 2019, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 12:12).

Values are whole and not negative (nanoseconds, tokens). Bucket i holds the values in (gamma^(i-1), gamma^i]; a
bucket of its own holds 0. Nothing is collapsed, so merging is adding up, in any order. The database has the same
mapping as `sketch_bucket` (migrations/0007); a value within rounding of a border may fall to either side there,
which moves no estimate by more than rounding.
"""

from collections.abc import Iterable, Sequence
from math import ceil, log

__all__ = ["ACCURACY", "LOG_GAMMA", "ZERO", "Histogram", "bucket_of", "middle_of"]

ACCURACY = 0.01
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
LOG_GAMMA = log(_GAMMA)
# The least value that is not 0 is 1, in bucket 0.
ZERO = -1


def bucket_of(value: int) -> int:
    """The bucket of a value; what is below 0 counts as 0."""
    return ceil(log(value) / LOG_GAMMA) if value > 0 else ZERO


def middle_of(bucket: int) -> float:
    """The value that no member of a bucket is further from than 1 % of its own."""
    return 0.0 if bucket == ZERO else float(2 * _GAMMA**bucket / (_GAMMA + 1))


class Histogram:
    """How many values fell into each bucket."""

    def __init__(self, values: Iterable[int] = ()) -> None:
        self._counts: dict[int, int] = {}
        self.n = 0
        for value in values:
            self.add([bucket_of(value)], [1])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self._counts == other._counts

    __hash__ = None  # type: ignore[assignment]  # it grows

    def add(self, buckets: Sequence[int], counts: Sequence[int]) -> None:
        """Add up what another histogram counted, as its pair of arrays."""
        own = self._counts
        for bucket, count in zip(buckets, counts, strict=True):
            own[bucket] = own.get(bucket, 0) + count
        self.n += sum(counts)

    def merge(self, other: "Histogram") -> None:
        """Add up another histogram."""
        self.add(*other.arrays())

    def arrays(self) -> tuple[list[int], list[int]]:
        """Bucket indexes, ascending, and their counts."""
        buckets = sorted(self._counts)
        return buckets, [self._counts[bucket] for bucket in buckets]

    def quantile(self, share: float) -> float | None:
        """Within 1 % of the smallest value that at least `share` (0..1) of all do not exceed; None of none."""
        return self.quantiles(share)[0]

    def quantiles(self, *shares: float) -> list[float | None]:
        """As quantile, for several ascending shares in one pass."""
        if not self.n:
            return [None] * len(shares)
        found: list[float | None] = []
        buckets, counts = self.arrays()
        at, reached = 0, counts[0]
        for share in shares:
            rank = max(1, ceil(share * self.n))
            while reached < rank:
                at += 1
                reached += counts[at]
            found.append(middle_of(buckets[at]))
        return found
