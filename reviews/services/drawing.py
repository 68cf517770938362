"""Drawing a sample: once for a week, from a stored seed, explained, and never anew."""

import hashlib
import math
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
from django.db import connection, transaction

from audit.services import append
from features.acting import actor_of
from features.clock import clock
from features.errors import ClearanceError, ConflictError
from features.models import Feature, Person
from features.policy import active_policy
from features.policy.document import PolicyDocument, Reviews
from reviews.models import Sample, SampleItem
from reviews.services.rubrics import ensure_rubric
from reviews.statistics.drawing import Draw, Unit, draw
from reviews.telling import tell_of_sample
from reviews.weeks import before, bounds, week_of
from traces.holds import hold_trace

_GRADED_WITHIN = timedelta(days=7)
# Spans of Sunday night come and settle until then.
MONDAY_FROM = timedelta(hours=2)
_ROOM = "reviews"
_UNITS = """
SELECT encode(t.trace_id, 'hex'), t.outcome, t.variant, t.segments::text, t.violations > 0,
       EXISTS (SELECT FROM fact f WHERE f.trace_id = t.trace_id AND f.feature_id = t.feature_id
               AND f.kind = 'decision' AND f.value ->> 'answer' = 'deny')
FROM trace t WHERE t.feature_id = %s AND t.started_at >= %s AND t.started_at < %s
"""


class Drawing(msgspec.Struct, frozen=True):
    """A sample, and whether this call drew it."""

    sample: Sample
    new: bool


def draw_due(now: datetime | None = None) -> int:
    """Draw last week's sample of every feature whose Monday has come, once; returns how many were drawn. One that
    fails does not stop the others.
    """
    now = now or clock()
    drawn = 0
    for feature in Feature.objects.all():
        zone = _zone(active_policy(feature.pk))
        week = before(week_of(now, zone))
        _, end = bounds(week, zone)
        if now < end + MONDAY_FROM or Sample.objects.filter(feature=feature, week=week).exists():
            continue
        try:
            drawn += draw_week(feature, week).new
        except NoRequests:
            continue  # a week without traffic has no sample
    return drawn


class NoRequests(ClearanceError):
    """There is nothing to draw from."""

    def __init__(self) -> None:
        super().__init__(
            "no_requests",
            "No request of this time is settled: there is nothing to draw from.",
            "Choose another week, or wait until traces have come.",
            "week",
        )


def draw_week(
    feature: Feature, week: str, *, seed: str | None = None, by: Person | None = None, session: str = ""
) -> Drawing:
    """The week's sample; drawn by this call if it was not before. A week that is not over is drawn of what there is.

    Raises ClearanceError (`week`), NoRequests, and ConflictError (`drawn`) when it was drawn from another seed.
    """
    policy = active_policy(feature.pk)
    try:
        start, end = bounds(week, _zone(policy))
    except ValueError as error:
        raise ClearanceError("week", f"{error}.", field="week") from error
    now = clock()
    if start >= now:
        raise ClearanceError("week", f"{week} has not begun.", "Choose one that has.", "week")
    closes = max(end, now) + _GRADED_WITHIN
    return _drawn(feature, week, (start, end), closes, policy, seed=seed, by=by, session=session)


def draw_window(
    feature: Feature,
    start: datetime,
    end: datetime,
    *,
    size: int | None = None,
    seed: str | None = None,
    by: Person | None = None,
    session: str = "",
) -> Drawing:
    """A sample of [start, end), besides those of the weeks. Raises ClearanceError (`window`), NoRequests."""
    if not start < end:
        raise ClearanceError("window", "The window ends before it begins.", "Change one of the two.", "from")
    closes = clock() + _GRADED_WITHIN
    policy = active_policy(feature.pk)
    return _drawn(feature, None, (start, end), closes, policy, size=size, seed=seed, by=by, session=session)


@transaction.atomic
def _drawn(
    feature: Feature,
    week: str | None,
    window: tuple[datetime, datetime],
    closes: datetime,
    policy: PolicyDocument | None,
    *,
    size: int | None = None,
    seed: str | None = None,
    by: Person | None = None,
    session: str = "",
) -> Drawing:
    # Two who draw at once: the second finds what the first drew.
    Feature.objects.select_for_update(no_key=True).get(pk=feature.pk)
    if week is not None and (known := Sample.objects.filter(feature=feature, week=week).first()):
        if seed is not None and known.seed != seed:
            raise ConflictError(
                "drawn",
                f"{week} was drawn already, from the seed {known.seed}.",
                "A week is drawn once; a window of its own can be drawn beside it.",
            )
        return Drawing(known, new=False)
    asked = policy.reviews if policy else Reviews()
    rubric = ensure_rubric(feature)
    seed = seed if seed is not None else secrets.token_hex(8)
    found = draw(_units(feature, *window), size=size or asked.sample, seed=seed)
    if not found.items:
        raise NoRequests
    sample = Sample.objects.create(
        feature=feature,
        week=week,
        starts_at=window[0],
        ends_at=window[1],
        seed=seed,
        asked=size or asked.sample,
        double_graded=asked.double_graded,
        rubric=rubric,
        population=found.population,
        strata=msgspec.to_builtins(found.strata),
        drawn_by=by,
        closes_at=closes,
    )
    _keep_items(sample, found, asked.double_graded)
    for item in found.items:
        hold_trace(
            feature=feature,
            trace_id=bytes.fromhex(item.id),
            kind="review",
            reference=str(sample.pk),
            reason=f"Drawn for the review of {week or 'a chosen window'}",
            room=_ROOM,
        )
    append(
        actor_of(by, session),
        "sample.drawn",
        feature=str(feature.pk),
        subject=("sample", str(sample.pk)),
        week=week,
        starts=window[0].isoformat(),
        ends=window[1].isoformat(),
        seed=seed,
        rubric=rubric.number,
        population=found.population,
        drawn=len(found.items),
        items=_digest(found),
    )
    tell_of_sample(sample, len(found.items))
    return Drawing(sample, new=True)


def _keep_items(sample: Sample, found: Draw, share: float) -> None:
    # Who is graded twice is drawn too, so that agreement is measured on requests like the others.
    ranked = sorted(
        found.items, key=lambda item: hashlib.sha256(f"{found.seed} twice {item.id}".encode()).digest()
    )
    twice = {item.id for item in ranked[: math.ceil(share * len(ranked))]}
    SampleItem.objects.bulk_create(
        SampleItem(
            sample=sample,
            trace_id=bytes.fromhex(item.id),
            place=item.order,
            stratum=item.stratum,
            chance=item.chance,
            weight=item.weight,
            why=item.why,
            wanted=2 if item.id in twice else 1,
        )
        for item in found.items
    )


def _digest(found: Draw) -> str:
    lines = sorted(f"{item.id} {item.weight!r}" for item in found.items)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _zone(policy: PolicyDocument | None) -> str:
    return policy.feature.timezone if policy else "UTC"


def _units(feature: Feature, start: datetime, end: datetime) -> Iterator[Unit]:
    segments: dict[str, str] = {}
    with connection.chunked_cursor() as cursor:
        cursor.execute(_UNITS, [feature.pk, start, end])
        while rows := cursor.fetchmany(5000):
            for trace_id, outcome, variant, text, violated, denied in rows:
                if text not in segments:
                    named = msgspec.json.decode(text, type=dict[str, str])
                    segments[text] = ", ".join(f"{name}={named[name]}" for name in sorted(named))
                rare = tuple(
                    name
                    for name, holds in (
                        ("violation", violated),
                        ("denied", denied),
                        ("escalated", outcome == "escalated"),
                    )
                    if holds
                )
                yield Unit(trace_id, outcome, segments[text], variant, rare)
