"""Reads that services and pages share."""

from collections.abc import Sequence
from datetime import datetime
from statistics import median
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import Count, Q, QuerySet

from features.clock import clock
from features.models import Feature, FeatureRole, Person
from features.queries import features_for
from reviews.models import Review, RubricVersion, Sample
from reviews.rubric import Rubric, read_rubric

# Whose grades are asked for.
MAY_GRADE = frozenset({"reviewer", "lead"})

_rubrics: dict[UUID, Rubric] = {}


def rubric_of(version: RubricVersion) -> Rubric:
    """The document of a version; it never changes."""
    found = _rubrics.get(version.pk)
    if found is None:
        found = _rubrics[version.pk] = read_rubric(version.document)
    return found


def rubric_in_force(feature: Feature) -> RubricVersion | None:
    """The newest version; None: nobody has published or drawn yet."""
    return RubricVersion.objects.filter(feature=feature).order_by("-number").first()


class Waiting(msgspec.Struct, frozen=True):
    """An open sample, as a reviewer's queue shows it."""

    sample: Sample
    items: int
    settled: int  # items whose grades are final
    mine: int  # that the person has submitted
    left: int  # that the person can still grade, as far as nobody else takes them
    minutes: int | None  # that those take, by the person's own median; None: too few to say


# What the person could still be handed; the claim itself looks again.
_LEFT = """
SELECT i.sample_id, count(*) FROM reviews_sampleitem i JOIN reviews_sample s ON s.id = i.sample_id
WHERE i.sample_id = ANY(%(samples)s) AND i.settled_at IS NULL
  AND NOT EXISTS (SELECT FROM reviews_review r WHERE r.item_id = i.id AND r.reviewer_id = %(person)s
                  AND r.state <> 'claimed')
  AND NOT EXISTS (SELECT FROM participant p WHERE p.trace_id = i.trace_id AND p.feature_id = s.feature_id
                  AND p.person_id = %(person)s)
  AND (SELECT count(*) FROM reviews_review r WHERE r.item_id = i.id AND NOT r.shadow
       AND r.reviewer_id <> %(person)s
       AND (r.state = 'submitted' OR r.state = 'claimed' AND r.lease_until >= %(now)s))
      < CASE WHEN i.adjudicate THEN i.wanted + 1 ELSE i.wanted END
GROUP BY i.sample_id
"""


def features_to_grade(person: Person) -> QuerySet[Feature]:
    """The features that the person reviews."""
    held = FeatureRole.objects.filter(
        user_id=person.pk, permission__codename__in=[f"role_{role}" for role in sorted(MAY_GRADE)]
    )
    return features_for(person).filter(pk__in=held.values("content_object_id"))


def count_left(person: Person) -> int:
    """How many requests of open samples are left for the person. One query, a second one where something is open."""
    now = clock()
    open_ones = Sample.objects.filter(
        feature__in=features_to_grade(person), closed_at=None, closes_at__gt=now
    ).values_list("pk", flat=True)
    samples = list(open_ones)
    return sum(_left(samples, person, now).values()) if samples else 0


def waiting(person: Person, features: Sequence[Feature]) -> list[Waiting]:
    """The open samples of these features, those that close first before the others. Three queries, however many."""
    now = clock()
    samples = list(
        Sample.objects.filter(feature__in=features, closed_at=None, closes_at__gt=now)
        .select_related("feature", "rubric")
        .annotate(
            item_count=Count("items"), settled_count=Count("items", filter=Q(items__settled_at__isnull=False))
        )
        .order_by("closes_at", "pk")
    )
    if not samples:
        return []
    ids = [one.pk for one in samples]
    left = _left(ids, person, now)
    mine: dict[UUID, list[float]] = {}
    done = Review.objects.filter(sample__in=ids, reviewer=person, state="submitted")
    for sample_id, seconds in done.values_list("sample_id", "seconds"):
        mine.setdefault(sample_id, []).append(seconds or 0.0)
    return [_waiting(sample, left.get(sample.pk, 0), mine.get(sample.pk, [])) for sample in samples]


def left_for(person: Person, sample: Sample) -> int:
    """How many requests of an open sample the person can still grade, as far as nobody else takes them."""
    return _left([sample.pk], person, clock()).get(sample.pk, 0)


def _left(samples: Sequence[UUID], person: Person, now: datetime) -> dict[UUID, int]:
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, {"samples": list(samples), "person": person.pk, "now": now})
        return dict(cursor.fetchall())


def _waiting(sample: Any, left: int, seconds: list[float]) -> Waiting:
    took = median(seconds) if len(seconds) >= 3 else None
    minutes = max(1, round(left * took / 60)) if took is not None and left else None
    return Waiting(sample, sample.item_count, sample.settled_count, len(seconds), left, minutes)


class Share(msgspec.Struct, frozen=True):
    """What one person did of a sample."""

    person: Person
    submitted: int
    skipped: int
    shadow: int  # of the submitted ones, those that count for nothing
    under_way: int
    minutes: float | None  # the median of a request


def progress(sample: Sample) -> list[Share]:
    """What each person did, the most first. Gold items are among them, so that nobody can count them out."""
    rows: dict[UUID, list[Review]] = {}
    for review in Review.objects.filter(sample=sample).select_related("reviewer"):
        rows.setdefault(review.reviewer_id, []).append(review)
    found = []
    for reviews in rows.values():
        done = [one for one in reviews if one.state == "submitted"]
        took = [one.seconds for one in done if one.seconds is not None]
        found.append(
            Share(
                person=reviews[0].reviewer,
                submitted=len(done),
                skipped=sum(one.state == "skipped" for one in reviews),
                shadow=sum(one.shadow for one in done),
                under_way=sum(one.state == "claimed" for one in reviews),
                minutes=median(took) / 60 if took else None,
            )
        )
    return sorted(found, key=lambda share: (-share.submitted, share.person.name))
