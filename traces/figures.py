"""The dashboard's figures in words: each with its n, its interval, the week before and the requests behind it."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from features import numbers
from features.models import Feature
from traces.filters import traces_url
from traces.metrics import MetricGroup, Quantiles
from traces.present.text import line
from traces.statistics import Rate

__all__ = ["RATES", "Figure", "RateMeasure", "Side", "dollars", "further", "headline", "visible"]

LACKING: Final = "not enough data"


class Figure(msgspec.Struct, frozen=True):
    """One number of the dashboard. `lacking`: there is no number, `value` says so."""

    key: str
    label: str
    value: str
    detail: str
    url: str
    before: str
    lacking: bool = False
    of: str = ""  # the variant, where variants stand side by side


class RateMeasure(msgspec.Struct, frozen=True):
    """A rate: how it is called, of what it is, how to read it from a group, which requests it counts."""

    key: str
    label: str
    of: str
    pick: Callable[[MetricGroup], Rate]
    filters: Mapping[str, str]
    lacking: str = LACKING


RATES: Final = {
    measure.key: measure
    for measure in (
        RateMeasure(
            "task_success",
            "Task success",
            "requests with a known outcome",
            lambda group: group.task_success,
            {"outcome": "success"},
        ),
        RateMeasure(
            "policy_violation",
            "Policy violations",
            "requests",
            lambda group: group.policy_violation,
            {"violation": "1"},
        ),
        RateMeasure(
            "tool_failure",
            "Tool failures",
            "tool calls",
            lambda group: group.tool_failure,
            {"tool_error": "1"},
        ),
        RateMeasure(
            "unknown_outcome",
            "Outcome unknown",
            "requests",
            lambda group: group.unknown_outcome,
            {"outcome": "unknown"},
        ),
        RateMeasure(
            "escalation", "Escalated", "requests", lambda group: group.escalation, {"outcome": "escalated"}
        ),
        RateMeasure(
            "retry", "Retries", "tool and model calls", lambda group: group.retry, {"q": "has:retry"}
        ),
        RateMeasure(
            "model_failure",
            "Model failures",
            "model calls",
            lambda group: group.model_failure,
            {"q": "has:llm_error"},
        ),
        RateMeasure(
            "completeness", "Complete", "requests", lambda group: group.completeness, {"incomplete": "1"}
        ),
        RateMeasure(
            "over_context_budget",
            "Over the context budget",
            "model calls under a budget",
            lambda group: group.over_context_budget,
            {"q": "has:over_budget"},
            "no budget in force",
        ),
    )
}
_HEADLINE: Final = ("task_success", "policy_violation", "tool_failure")
_FURTHER: Final = (
    "unknown_outcome",
    "escalation",
    "retry",
    "model_failure",
    "completeness",
    "over_context_budget",
)


class Side(msgspec.Struct, frozen=True):
    """What figures are made of: a group's metrics, what they are held against and how that is called (`week before`,
    or the name of a variant), and where the group's requests are.
    """

    feature: Feature
    query: Mapping[str, str]
    now: MetricGroup
    before: MetricGroup | None
    since: str

    def url(self, **filters: str) -> str:
        """The group's requests, narrowed."""
        return traces_url(self.feature, self.query, **self.now.by, **filters)


def headline(side: Side) -> list[Figure]:
    """The first row: does it do its job, what does it break, how long does it take, what does it cost."""
    return [
        *(_rate(RATES[key], side) for key in _HEADLINE),
        _quantiles(
            "latency",
            "Latency p50 / p95",
            "worked",
            lambda group: group.latency_seconds,
            numbers.seconds,
            side.url(order="slowest"),
            side,
        ),
        _cost(side),
        _tokens(side),
    ]


def further(side: Side) -> list[Figure]:
    """The rows below: all else that is measured."""
    return [
        _count("requests", "Requests", lambda group: group.requests, "", side.url(), side),
        *(_rate(RATES[key], side) for key in _FURTHER),
        _quantiles(
            "context",
            "Context size p50 / p95",
            "tokens of the largest call",
            lambda group: group.context_tokens,
            numbers.count,
            side.url(),
            side,
        ),
        _cache(side),
        _quantiles(
            "waiting",
            "Waiting for a person p50 / p95",
            "requests that waited",
            lambda group: group.waiting_seconds,
            numbers.seconds,
            side.url(),
            side,
            "nobody waited",
        ),
        _count(
            "pii_findings",
            "Personal data found",
            lambda group: group.pii_findings,
            "times, in what came",
            side.url(q="has:redaction"),
            side,
        ),
    ]


def visible(name: str) -> str:
    """A name of an agent's own making on one line, with what would hide in it named."""
    return "".join(
        f"\u2039{piece.text}\u203a" if piece.kind == "hidden" else piece.text for piece in line(name, 60)
    )


def dollars(text: str | None) -> str:
    """Money as people read it: `$0.012`, `$1.20`, `$4,102.50`."""
    if text is None:
        return ""
    value = float(text)
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.2g}"


def _interval(rate: Rate) -> str:
    low, high = numbers.percent_bare(rate.low), numbers.percent_bare(rate.high)
    return f"{low} to {high}, n {numbers.count(rate.n)}"


def _rate(measure: RateMeasure, side: Side) -> Figure:
    rate = measure.pick(side.now)
    return Figure(
        measure.key,
        measure.label,
        numbers.percent(rate.rate) if rate.n else measure.lacking,
        f"{_interval(rate)} {measure.of}" if rate.n else f"n 0 {measure.of}",
        side.url(**measure.filters),
        _rate_before(rate, measure.pick(side.before), side.since) if side.before else "",
        lacking=not rate.n,
    )


def _rate_before(now: Rate, before: Rate, since: str) -> str:
    """What it is held against, and whether the change is more than chance: the two intervals do not meet."""
    if before.rate is None or before.low is None or before.high is None:
        return ""
    was = f"{since} {numbers.percent(before.rate)}, n {numbers.count(before.n)}"
    if now.low is None or now.high is None or now.rate is None:
        return was
    if now.low <= before.high and before.low <= now.high:
        return f"{was}: no clear change"
    return f"{was}: {'higher' if now.rate > before.rate else 'lower'} now"


def _change(side: Side, now: float | None, before: float | None, was: str) -> str:
    """What it is held against, and how much more or less it is now."""
    if before is None:
        return ""
    was = f"{side.since} {was}"
    if now is None or before == 0:
        return was
    times = now / before
    if abs(times - 1) < 0.01:
        return f"{was}: the same"
    if times >= 2:
        return f"{was}: {times:,.0f} times as much" if times >= 10 else f"{was}: {times:.1f} times as much"
    return f"{was}: {abs(times - 1) * 100:.0f}\u202f% {'more' if times > 1 else 'less'}"


def _count(
    key: str, label: str, pick: Callable[[MetricGroup], int], detail: str, url: str, side: Side
) -> Figure:
    # How many of one variant there are says nothing about another.
    same = side.before is not None and side.before.by == side.now.by
    now, before = pick(side.now), pick(side.before) if side.before and same else 0
    was = _change(side, float(now), float(before), numbers.count(before)) if before else ""
    return Figure(key, label, numbers.count(now), detail, url, was)


def _quantiles(
    key: str,
    label: str,
    what: str,
    pick: Callable[[MetricGroup], Quantiles],
    written: Callable[[float | None], str],
    url: str,
    side: Side,
    lacking: str = LACKING,
) -> Figure:
    one = pick(side.now)
    earlier = pick(side.before) if side.before else None
    return Figure(
        key,
        label,
        f"{written(one.p50)} / {written(one.p95)}" if one.n else lacking,
        f"{what}, n {numbers.count(one.n)}",
        url,
        _change(side, one.p95, earlier.p95, f"p95 {written(earlier.p95)}") if earlier else "",
        lacking=not one.n,
    )


def _cache(side: Side) -> Figure:
    one, earlier = side.now.cache_hit, side.before.cache_hit if side.before else None
    return Figure(
        "cache_hit",
        "Cache hits",
        numbers.percent(one.rate) if one.n else LACKING,
        f"of {numbers.count(one.n)} input tokens",
        side.url(),
        f"{side.since} {numbers.percent(earlier.rate)}" if earlier and earlier.n else "",
        lacking=not one.n,
    )


def _cost(side: Side) -> Figure:
    one = side.now.cost_per_success_usd
    key, label, unknown = "cost", "Cost per success", one.unknown
    if unknown.k:
        detail = f"for {numbers.count(unknown.k)} of {numbers.count(unknown.n)} requests"
        return Figure(key, label, "unknown", detail, side.url(q="has:unknown_cost"), "", lacking=True)
    earlier = side.before.cost_per_success_usd.value if side.before else None
    return Figure(
        key,
        label,
        dollars(one.value) if one.value is not None else LACKING,
        f"{dollars(side.now.cost_usd)} for {_successes(one.n)}",
        side.url(order="dearest"),
        _change(side, _number(one.value), _number(earlier), dollars(earlier)),
        lacking=one.value is None,
    )


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _tokens(side: Side) -> Figure:
    one = side.now.tokens_per_success
    earlier = side.before.tokens_per_success.value if side.before else None
    return Figure(
        "tokens",
        "Tokens per success",
        numbers.count(one.value) if one.value is not None else LACKING,
        f"{numbers.count(side.now.input_tokens + side.now.output_tokens)} for {_successes(one.n)}",
        side.url(),
        _change(side, one.value, earlier, numbers.count(earlier)),
        lacking=one.value is None,
    )


def _successes(n: int) -> str:
    return f"{numbers.count(n)} success{'' if n == 1 else 'es'}"
