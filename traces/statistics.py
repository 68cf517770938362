"""Intervals for rates: pure functions."""

from math import sqrt

import msgspec

# The 0.975 quantile of the standard normal distribution: two-sided 95 %.
_Z = 1.959963984540054


class Rate(msgspec.Struct, frozen=True):
    """k of n with its 95 % Wilson interval; rate, low and high are None for n = 0: there is nothing
    to say.
    """

    rate: float | None
    k: int
    n: int
    low: float | None
    high: float | None


def rate_of(k: int, n: int) -> Rate:
    """The rate k/n with its Wilson score interval (Wilson 1927, JASA 22:209; as in Agresti and Coull 1998).

    Raises ValueError unless 0 <= k <= n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no rate")
    if n == 0:
        return Rate(None, 0, 0, None, None)
    p = k / n
    scale = 1 / (1 + _Z**2 / n)
    centre = (p + _Z**2 / (2 * n)) * scale
    half = _Z * sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)) * scale
    # At the ends the interval touches the rate exactly; floating point would miss it by a hair.
    low = 0.0 if k == 0 else max(0.0, centre - half)
    high = 1.0 if k == n else min(1.0, centre + half)
    return Rate(p, k, n, low, high)
