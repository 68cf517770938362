"""What a trace's model calls cost, exactly: tokens times the price that was valid on the day it started."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from traces.summarise.calls import Call

_EPOCH = date(1970, 1, 1)
_DAY_NS = 86_400 * 10**9
_MILLION = Decimal(10**6)
_MOST = Decimal(10**9)  # dollars for one trace: above it the counts are wrong, not the bill


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens, with at most four decimals, so that every cost is exact. `model` is a name, or
    the start of one with `*` behind it, in small letters. `cached_input` None: as input.
    """

    model: str
    valid_from: date
    input: Decimal
    cached_input: Decimal | None
    output: Decimal


class Cost(msgspec.Struct, frozen=True):
    """`usd` None: at least one call's cost is unknown; `unknown`: how many, of the models named."""

    usd: Decimal | None
    unknown: int
    unpriced: list[str]


class PriceList:
    """Prices by model and day; the longest name that matches wins, of it the newest that is valid."""

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        self._by_name: dict[str, list[Price]] = {}
        for price in sorted(prices, key=lambda price: price.valid_from):
            self._by_name.setdefault(price.model, []).append(price)
        self._known: dict[tuple[str, date], Price | None] = {}

    def of(self, model: str, day: date) -> Price | None:
        """The price of a model on a day; None: nobody set one. A name such as `openai/gpt-4o` is looked up whole and
        without what a router put before it.
        """
        key = (model, day)
        if key not in self._known:
            if len(self._known) > 10_000:  # names come from outside
                self._known.clear()
            self._known[key] = self._find(model.lower(), day)
        return self._known[key]

    def _find(self, model: str, day: date) -> Price | None:
        names = {model, model.rpartition("/")[2]}
        fitting = [
            name
            for name in self._by_name
            if any(name == own or (name.endswith("*") and own.startswith(name[:-1])) for own in names)
        ]
        for name in sorted(fitting, key=lambda name: (len(name.rstrip("*")), name[-1:] != "*"), reverse=True):
            valid = [price for price in self._by_name[name] if price.valid_from <= day]
            if valid:
                return valid[-1]
        return None


def cost_of(calls: Sequence[Call], prices: PriceList, started_at: int) -> Cost:
    """The cost of counted calls, embeddings among them. 0 where no model was called; a call that failed before any
    token was counted costs nothing.
    """
    day = _EPOCH + timedelta(days=started_at // _DAY_NS)
    total = Decimal(0)
    unknown = 0
    unpriced: set[str] = set()
    for call in calls:
        one = _cost(call, prices, day)
        if one is None:
            unknown += 1
            unpriced.add(call.model or "")
        else:
            total += one
    if total > _MOST:
        return Cost(None, max(unknown, 1), sorted(unpriced))
    return Cost(None if unknown else total, unknown, sorted(unpriced))


def _cost(call: Call, prices: PriceList, day: date) -> Decimal | None:
    usage = call.usage
    if call.span.status == "error" and usage.input is None and usage.output is None:
        return Decimal(0)
    told = usage.input is not None and (usage.output is not None or call.span.kind == "embedding")
    price = prices.of(call.model, day) if call.model and told else None
    if price is None:
        return None
    tokens = max(0, usage.input or 0)
    cached = min(max(0, usage.cached_input or 0), tokens)
    cached_price = price.input if price.cached_input is None else price.cached_input
    dollars = (
        (tokens - cached) * price.input + cached * cached_price + max(0, usage.output or 0) * price.output
    )
    return dollars / _MILLION
