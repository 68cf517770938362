"""Numbers of a search line: durations in nanoseconds, counts, dollars. Pure, no Django."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from traces.search.keys import Key

__all__ = ["half_a_digit", "read_number", "with_unit"]

_NUMBER = re.compile(r"(\d{1,15}(?:\.\d{1,12})?|\.\d{1,12})")
_DURATIONS: Final = {
    "ms": Decimal(10**6),
    "s": Decimal(10**9),
    "m": Decimal(60 * 10**9),
    "h": Decimal(3600 * 10**9),
}
_COUNTS: Final = {
    "": Decimal(1),
    "k": Decimal(1000),
    "M": Decimal(10**6),
    "K": Decimal(1000),
    "m": Decimal(10**6),
}
_LARGEST: Final = Decimal(2**63 - 1)


def _split(text: str) -> tuple[Decimal, str]:
    found = _NUMBER.match(text)
    if not found or not text.isascii():
        raise ValueError(f"'{text[:40]}' is no number.")
    return Decimal(found[1]), text[found.end() :]


def _duration(text: str) -> Decimal:
    number, unit = _split(text)
    if unit.lower() not in _DURATIONS:
        raise ValueError(
            f"'{text[:40]}' needs a unit: ms, s, m or h."
            if not unit
            else f"'{unit[:20]}' is no unit of time."
        )
    return min(number * _DURATIONS[unit.lower()], _LARGEST)


def _count(text: str) -> Decimal:
    number, unit = _split(text)
    if unit not in _COUNTS:
        raise ValueError(f"'{unit[:20]}' is neither k nor M.")
    return min(number * _COUNTS[unit], _LARGEST)


def _money(text: str) -> Decimal:
    number, unit = _split(text.removeprefix("$"))
    if unit:
        raise ValueError(f"'{text[:40]}' is no amount of dollars.")
    return min(number, Decimal(10**9))


_READERS: Final[dict[str, Callable[[str], Decimal]]] = {
    "duration": _duration,
    "count": _count,
    "money": _money,
}


def half_a_digit(key: Key, text: str) -> Decimal:
    """Half of the last digit that is written: `5s` is what rounds to 5 s."""
    number, unit = _split(text.removeprefix("$"))
    exponent = number.as_tuple().exponent
    digit = Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0)
    scale = _DURATIONS[unit.lower()] if key.kind == "duration" else _COUNTS.get(unit, Decimal(1))
    return digit * scale / 2


def with_unit(key: Key, said: str) -> str | None:
    """The range with the unit that it lacks, where that is all it lacks."""
    if key.kind == "duration" and re.fullmatch(r"(>=|<=|>|<|=)?[\d.]+", said):
        return f"{said}s"
    return None


def read_number(key: Key, text: str) -> Decimal:
    """The number of a range of this key. Raises ValueError, which says what is wrong with it."""
    return _READERS[key.kind](text)
