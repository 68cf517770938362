"""Drawing the week's sample: stratified, from a seed, and with a chance and a weight that are known for every request.

A stratified random sample without replacement (Cochran, "Sampling Techniques", 3rd ed. 1977, chapter 5). Every request
of the week is in exactly one stratum and every stratum is drawn from, so that weights of N_h/n_h make estimates
unbiased (Horvitz and Thompson 1952, JASA 47:663) although rare requests are drawn more often than their share.
"""

import heapq
import hmac
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import msgspec

__all__ = ["LARGEST", "RARE", "Draw", "Drawn", "Stratum", "Unit", "draw"]

LARGEST = 500
"""The most requests that one sample may hold."""

RARE = {"violation": "a violation", "denied": "a denied action", "escalated": "an escalation"}
"""Kinds of requests that get a floor, first come first: a request of two kinds is in the first one's stratum."""

_FLOORS = {"violation": "violations", "denied": "denied actions", "escalated": "escalations"}
# A stratum that would get fewer than this is put together with others like it. More strata gain next to nothing
# (Cochran, section 5A.8) and each takes from what is known of the others.
_TINY = 4
_PLAIN = re.compile(r"[\w.:/+-][\w .:/+-]{0,59}(?<! )")
# Stands for all values that were put together. No text that comes from the database holds it.
_OTHERS = "\0"


class Unit(msgspec.Struct, frozen=True):
    """A request that may be drawn: its trace ID in hex, what it is stratified by, and the rare kinds (of `RARE`) that
    it is of.
    """

    id: str
    outcome: str
    segment: str
    variant: str
    rare: tuple[str, ...] = ()


class Stratum(msgspec.Struct, frozen=True):
    """A part of the week that is drawn from by itself: `drawn` (n_h) of its `size` (N_h) requests."""

    key: str
    size: int
    drawn: int
    why: str


class Drawn(msgspec.Struct, frozen=True):
    """A request in the sample: its chance to be drawn, n_h/N_h, the number of requests that it stands for, N_h/n_h,
    and its place in the order in which the sample is handed out, from 0.
    """

    id: str
    stratum: str
    chance: float
    weight: float
    why: str
    order: int


class Draw(msgspec.Struct, frozen=True):
    """A sample: its requests in their order, and the strata of the whole population."""

    items: tuple[Drawn, ...]
    strata: tuple[Stratum, ...]
    population: int
    seed: str


class _Cell(msgspec.Struct, frozen=True, order=True):
    """The finest stratum: a rare kind, or an outcome, segment and variant; `_OTHERS` marks what was put together."""

    rare: str
    outcome: str
    segment: str
    variant: str


class _Kept:
    """How many units a cell has, and those of the lowest ranks: no sample takes more of them."""

    def __init__(self) -> None:
        self.size = 0
        self.lowest: list[tuple[bytes, str]] = []

    def add(self, rank: bytes, id: str, most: int) -> None:
        self.size += 1
        self.lowest.append((rank, id))
        if len(self.lowest) > 4 * most:
            self.lowest = heapq.nsmallest(most, self.lowest)


def draw(units: Iterable[Unit], *, size: int, seed: str, floor: int = 3) -> Draw:
    """Draw `size` requests, or all of them if there are fewer.

    Rare kinds get at least `floor` each, or all there are; all floors together take at most half of the sample. The
    rest is drawn in proportion to the strata's sizes. Small strata are put together with others of their segment, then
    of their outcome, then with all that is left, so that each has a few requests drawn; none is left out.

    The sample follows from the seed and the units alone, whatever their order: within a stratum the requests with the
    lowest HMAC-SHA256(seed, id) are taken, so that whoever knows both can draw it again. Memory grows with the number
    of cells, not with the number of units. IDs are taken to be distinct.

    Raises ValueError for a size outside 1 to `LARGEST`, a negative floor, an unknown rare kind, and an ID that would
    be drawn twice.
    """
    if not 1 <= size <= LARGEST:
        raise ValueError(f"a sample holds 1 to {LARGEST} requests, not {size}")
    if floor < 0:
        raise ValueError(f"a floor is not negative: {floor}")
    cells = _cells(units, size, seed)
    population = sum(kept.size for kept in cells.values())
    size = min(size, population)
    floors = _floors(cells, size, floor)
    named = _strata(cells, size, floors)
    parts = defaultdict[_Cell, list[_Kept]](list)
    for cell, stratum in named.items():
        parts[stratum].append(cells[cell])
    sizes = {stratum: sum(kept.size for kept in parts[stratum]) for stratum in sorted(parts)}
    drawn = _allocate(sizes, size, floors)
    strata: list[Stratum] = []
    chosen: list[Drawn] = []
    for stratum, n in sizes.items():
        taken = drawn[stratum]
        described = Stratum(_key(stratum), n, taken, _why(stratum, n, taken, floors))
        strata.append(described)
        lowest = (unit for kept in parts[stratum] for unit in kept.lowest)
        chosen += [_drawn(id, stratum, described) for _, id in heapq.nsmallest(taken, lowest)]
    if len({item.id for item in chosen}) < len(chosen):
        raise ValueError("a request was given twice")
    chosen.sort(key=lambda item: (_rank(seed, "order", item.id), item.id))
    items = tuple(msgspec.structs.replace(item, order=place) for place, item in enumerate(chosen))
    return Draw(items, tuple(strata), population, seed)


def _cells(units: Iterable[Unit], size: int, seed: str) -> dict[_Cell, _Kept]:
    cells: dict[_Cell, _Kept] = {}
    for unit in units:
        cell = _Cell(_rare(unit.rare) if unit.rare else "", unit.outcome, unit.segment, unit.variant)
        kept = cells.get(cell)
        if kept is None:
            kept = cells[cell] = _Kept()
        kept.add(_rank(seed, "drawn", unit.id), unit.id, size)
    return cells


def _rare(kinds: tuple[str, ...]) -> str:
    if unknown := set(kinds) - RARE.keys():
        raise ValueError(f"no rare kind of request: {', '.join(sorted(unknown))}")
    return next(kind for kind in RARE if kind in kinds)


def _rank(seed: str, purpose: str, id: str) -> bytes:
    """A number for the ID that nobody can foresee without the seed. Two purposes know nothing of each other."""
    return hmac.digest(seed.encode(), f"{purpose}:{id}".encode(), "sha256")


def _floors(cells: Mapping[_Cell, _Kept], size: int, floor: int) -> dict[str, int]:
    """The rare kinds that get a stratum, with the fewest requests that each gets. A sample of fewer than six has
    none, and one of fewer than twelve not all: each stratum needs three or so.
    """
    sizes = Counter[str]()
    for cell, kept in cells.items():
        sizes[cell.rare] += kept.size
    common = bool(sizes.pop("", 0))
    kinds = [kind for kind in RARE if sizes[kind]][: max(0, size // 3 - common)]
    most = max(1, size // 2 // max(1, len(kinds)))
    return {kind: min(sizes[kind], max(floor, 2), most) for kind in kinds}


def _strata(cells: Mapping[_Cell, _Kept], size: int, floors: Mapping[str, int]) -> dict[_Cell, _Cell]:
    """The stratum of each cell."""
    named = {cell: _Cell(cell.rare, "", "", "") for cell in cells if cell.rare in floors}
    common = [cell for cell in cells if cell not in named]
    left = size - sum(floors.values())
    population = sum(cells[cell].size for cell in common)
    for merged in (_plain, _any_variant, _any_segment, _rest):
        sizes = Counter[_Cell]()
        for cell in common:
            sizes[merged(cell)] += cells[cell].size
        large = {stratum for stratum, n in sizes.items() if n * left >= _TINY * population}
        last = merged is _rest
        named |= {cell: merged(cell) for cell in common if last or merged(cell) in large}
        common = [cell for cell in common if cell not in named]
    return named


def _plain(cell: _Cell) -> _Cell:
    return _Cell("", cell.outcome, cell.segment, cell.variant)


def _any_variant(cell: _Cell) -> _Cell:
    return _Cell("", cell.outcome, cell.segment, _OTHERS)


def _any_segment(cell: _Cell) -> _Cell:
    return _Cell("", cell.outcome, _OTHERS, _OTHERS)


def _rest(cell: _Cell) -> _Cell:
    return _Cell("", _OTHERS, _OTHERS, _OTHERS)


def _allocate(sizes: Mapping[_Cell, int], size: int, floors: Mapping[str, int]) -> dict[_Cell, int]:
    """How many to draw from each stratum: in proportion to its size by largest remainders, but never fewer than its
    least. Whole numbers throughout, so that no rounding differs between machines.
    """
    common = sum(1 for stratum in sizes if not stratum.rare)
    each = min(2, max(1, (size - sum(floors.values())) // max(1, common)))
    least = {stratum: min(floors.get(stratum.rare, each), n) for stratum, n in sizes.items()}
    drawn: dict[_Cell, int] = {}
    free, left = dict(sizes), size
    while True:
        total = sum(free.values())
        below = [stratum for stratum, n in free.items() if left * n < least[stratum] * total]
        if not below:
            break
        for stratum in below:
            drawn[stratum] = least[stratum]
            left -= least[stratum]
            del free[stratum]
    drawn |= {stratum: left * n // total for stratum, n in free.items()}
    over = left - sum(drawn[stratum] for stratum in free)
    by_remainder = sorted(free, key=lambda stratum: (-(left * free[stratum] % total), stratum))
    for stratum in by_remainder[:over]:
        drawn[stratum] += 1
    return drawn


def _key(stratum: _Cell) -> str:
    if stratum.rare:
        return f"rare:{stratum.rare}"
    if stratum.outcome == _OTHERS:
        return "(others)"
    parts = {"outcome": stratum.outcome, "segment": stratum.segment, "variant": stratum.variant}
    return ", ".join(f"{name}={_shown(value)}" for name, value in parts.items())


def _shown(value: str) -> str:
    """A value in a key: as it is where it is plain, else quoted, so that no two strata read the same."""
    if value == _OTHERS:
        return "(others)"
    if not value:
        return "(none)"
    return value if _PLAIN.fullmatch(value) else json.dumps(value)


def _why(stratum: _Cell, size: int, drawn: int, floors: Mapping[str, int]) -> str:
    if drawn == size:
        return "All there were."
    if stratum.rare and drawn == floors[stratum.rare]:
        return f"A floor of {drawn} for {_FLOORS[stratum.rare]}."
    return "In proportion to its share of the week."


def _drawn(id: str, stratum: _Cell, described: Stratum) -> Drawn:
    if stratum.rare:
        kind = f"requests with {RARE[stratum.rare]}"
    elif stratum.outcome == _OTHERS:
        kind = "requests of the smaller groups"
    else:
        kind = f"requests with {described.key}"
    n, size = described.drawn, described.size
    weight = size / n
    stands = "each stands for itself" if n == size else f"each stands for {weight:.1f} requests"
    return Drawn(id, described.key, n / size, weight, f"Drawn {n} of {size} {kind}; {stands}.", 0)
