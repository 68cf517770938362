"""Weeks that never were: plans spread over days and hours, performed on a clock that runs through the
past.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator

from demo import billing, policy, sales
from demo.perform import PastClock, perform
from demo.plan import Plan

# How many requests a weekday has; on Saturday and Sunday a quarter of it, and before the last two weeks too: what is
# older is there to be drawn from.
VOLUMES = {billing.SLUG: 90, sales.SLUG: 36, policy.SLUG: 44}
# The weight of each hour of a day, UTC.
_HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 20, 17, 12, 15, 18, 17, 13, 9, 6, 4, 3, 2, 2, 1)
_BODY_SPANS = 300


@dataclass(frozen=True)
class Moment:
    """A plan and when it begins."""

    at: datetime
    plan: Plan


def moments(slug: str, days: int, until: datetime, seed: int = 26) -> list[Moment]:
    """The requests of an agent over the days before `until`, in order; the same for the same seed and
    days.
    """
    chance = random.Random(f"{seed}-{slug}")
    today = until.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    # A working day, so that the bad afternoon shows.
    bad = next(back for back in range(3, 8) if (today - timedelta(days=back)).weekday() < 5)
    found = []
    for back in range(days, -1, -1):
        day = today - timedelta(days=back)
        is_slow = day.weekday() >= 5 or back > 14
        volume = VOLUMES[slug] * (0.25 if is_slow else 1) * chance.uniform(0.85, 1.15)
        for _ in range(round(volume)):
            hour = chance.choices(range(24), _HOURS)[0]
            at = day + timedelta(hours=hour, seconds=chance.random() * 3600)
            plan = _plan(slug, chance, back, hour, bad_day=back == bad)
            if at < until:
                found.append(Moment(at, plan))
    return sorted(found, key=lambda moment: moment.at)


def _plan(slug: str, chance: random.Random, days_ago: int, hour: int, *, bad_day: bool) -> Plan:
    if slug == sales.SLUG:
        return sales.plan(chance)
    if slug == policy.SLUG:
        return policy.plan(chance)
    # The payment gateway had a bad afternoon; since five days a canary has a twentieth of the requests.
    return billing.plan(chance, bad_day=bad_day and 11 <= hour <= 17, canary=0.05 if days_ago <= 5 else 0.0)


class _SeededIds(IdGenerator):
    def __init__(self, seed: str) -> None:
        self._chance = random.Random(seed)

    def generate_span_id(self) -> int:
        return self._chance.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._chance.getrandbits(128) or 1


class _Kept(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


def bodies(slug: str, wanted: Sequence[Moment]) -> Iterator[tuple[bytes, list[tuple[bytes, Plan]]]]:
    """The requests as export bodies, with the trace ID of each plan in it."""
    kept = _Kept()
    provider = TracerProvider(
        resource=Resource({"service.name": slug}),
        id_generator=_SeededIds(f"{slug}-{len(wanted)}"),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("demo")
    inside: list[tuple[bytes, Plan]] = []
    for moment in wanted:
        perform(moment.plan, tracer, PastClock(int(moment.at.timestamp() * 10**9)))
        context = kept.spans[-1].get_span_context()
        assert context is not None
        inside.append((context.trace_id.to_bytes(16, "big"), moment.plan))
        if len(kept.spans) >= _BODY_SPANS:
            yield encode_spans(kept.spans).SerializeToString(), inside
            kept.spans, inside = [], []
    if kept.spans:
        yield encode_spans(kept.spans).SerializeToString(), inside
