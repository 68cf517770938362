"""Who grades what next. A claim is a lease: it comes back to the others when nothing is typed for a while."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from features.clock import clock
from features.errors import ClearanceError
from features.models import Person
from features.queries import roles_on
from reviews.models import GoldItem, Review, Sample, SampleItem
from reviews.queries import MAY_GRADE as MAY_GRADE
from reviews.services.calibrating import Standing, gold_due, standing_of

# Without a keystroke for so long an item is free for others.
LEASE = timedelta(minutes=30)


class MayNotGrade(ClearanceError):
    """The person does not review this feature."""

    status = 403


# Items that lack a grade, that the person has nothing to do with, in the order in which they are handed out. What is
# counted is counted again when the row is held.
_FREE = """
SELECT i.id FROM reviews_sampleitem i JOIN reviews_sample s ON s.id = i.sample_id
WHERE i.sample_id = %(sample)s AND i.settled_at IS NULL AND i.adjudicate = %(adjudicate)s
  AND NOT EXISTS (SELECT FROM reviews_review r WHERE r.item_id = i.id AND r.reviewer_id = %(person)s
                  AND (r.state <> 'claimed' OR r.lease_until >= %(now)s))
  AND NOT EXISTS (SELECT FROM participant p WHERE p.trace_id = i.trace_id AND p.feature_id = s.feature_id
                  AND p.person_id = %(person)s)
  AND (SELECT count(*) FROM reviews_review r WHERE r.item_id = i.id AND NOT r.shadow
       AND (r.state = 'submitted' OR r.state = 'claimed' AND r.lease_until >= %(now)s))
      < CASE WHEN i.adjudicate THEN i.wanted + 1 ELSE i.wanted END
ORDER BY i.place LIMIT 1 FOR UPDATE OF i SKIP LOCKED
"""


def claim(sample: Sample, person: Person) -> Review | None:
    """The person's review to go on with: the one they have under way, else the next. None: nothing is left for them.

    Raises MayNotGrade, and ClearanceError (`closed`) when the sample is closed.
    """
    may_grade(sample, person)
    with transaction.atomic():
        # One claim of a person at a time, in however many tabs.
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"claim {sample.pk} {person.pk}"]
            )
        now = clock()
        if found := _under_way(sample, person, now):
            return found
        standing = standing_of(sample, person)
        if (gold := gold_due(sample, person, standing)) is not None:
            return _of_gold(sample, gold, person, now)
        for adjudicate in (True, False):
            if standing.shadow and adjudicate:
                continue  # who is not set well enough decides between nobody
            while (item := _free(sample, person, now, adjudicate=adjudicate)) is not None:
                if len(counted(item, now)) < places(item):
                    return _of_item(sample, item, person, now, standing)
        # Nothing else is left: the way back above the bar stays open.
        if standing.shadow and (gold := gold_due(sample, person, standing, now_or_later=True)) is not None:
            return _of_gold(sample, gold, person, now)
    return None


def may_grade(sample: Sample, person: Person) -> None:
    """Raises MayNotGrade, and ClearanceError (`closed`)."""
    if not MAY_GRADE & roles_on(person, sample.feature):
        raise MayNotGrade(
            "not_allowed", "Only a reviewer or a lead grades.", "A lead gives the role on the page of people."
        )
    if sample.closed_at is not None or sample.closes_at <= clock():
        raise ClearanceError("closed", "This sample is closed: its figures stand.", "Grade the next week's.")


def places(item: SampleItem) -> int:
    """How many people grade it: those wanted, and a third where two are too far apart."""
    return item.wanted + 1 if item.adjudicate else item.wanted


def counted(item: SampleItem, now: datetime) -> Sequence[Review]:
    """The reviews that take a place: submitted, or under way within their lease; shadows take none."""
    rows = Review.objects.filter(item=item, shadow=False).exclude(state="skipped")
    return [one for one in rows if one.state == "submitted" or one.lease_until >= now]


def _under_way(sample: Sample, person: Person, now: datetime) -> Review | None:
    """What the person has in hand; a lapsed one too, as long as nobody else took its place."""
    mine = Review.objects.filter(sample=sample, reviewer=person, state="claimed").order_by("-claimed_at")
    for review in mine.select_related("item"):
        if review.item is None:
            return extend(review, now)
        item = SampleItem.objects.select_for_update().get(pk=review.item.pk)
        if has_place(review, item, now):
            return extend(review, now)
    return None


def has_place(review: Review, item: SampleItem, now: datetime) -> bool:
    """Whether the review still has its place, or can have it again; the item's row is held."""
    if review.shadow:
        return True
    if review.lease_until >= now:
        return True
    others = [one for one in counted(item, now) if one.pk != review.pk]
    return item.settled_at is None and len(others) < places(item)


def extend(review: Review, now: datetime) -> Review:
    """From now the lease runs anew."""
    review.lease_until = now + LEASE
    Review.objects.filter(pk=review.pk).update(lease_until=review.lease_until)
    return review


def _free(sample: Sample, person: Person, now: datetime, *, adjudicate: bool) -> SampleItem | None:
    values: dict[str, Any] = {"sample": sample.pk, "person": person.pk, "now": now, "adjudicate": adjudicate}
    with connection.cursor() as cursor:
        cursor.execute(_FREE, values)
        row = cursor.fetchone()
    return SampleItem.objects.get(pk=row[0]) if row else None


def _of_item(sample: Sample, item: SampleItem, person: Person, now: datetime, standing: Standing) -> Review:
    part = "adjudication" if item.adjudicate else "grade"
    # What they typed before their lease lapsed is theirs still.
    review, _ = Review.objects.update_or_create(
        item=item,
        reviewer=person,
        defaults={
            "sample": sample,
            "part": part,
            "state": "claimed",
            "shadow": standing.shadow,
            "lease_until": now + LEASE,
        },
        create_defaults={
            "sample": sample,
            "part": part,
            "shadow": standing.shadow,
            "claimed_at": now,
            "lease_until": now + LEASE,
        },
    )
    return review


def _of_gold(sample: Sample, gold: GoldItem, person: Person, now: datetime) -> Review:
    return Review.objects.create(
        sample=sample, gold=gold, reviewer=person, part="gold", claimed_at=now, lease_until=now + LEASE
    )
