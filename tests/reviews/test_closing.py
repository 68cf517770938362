"""What time does by itself: reminders before a sample closes, the close, and what each reviewer says afterwards."""

from datetime import timedelta

import pytest

from features.clock import clock
from features.errors import ClearanceError
from features.models import Notice, Person
from reviews.models import Reflection, Review, Sample
from reviews.services import claim, close_due, close_sample, reflect
from tests.reviews.support import Desk, grade, grade_all


def told(desk: Desk, kind: str, person: Person) -> int:
    return (
        Notice.objects.filter(kind=kind, feature=desk.feature, deliveries__person=person).distinct().count()
    )


def closing_in(sample: Sample, left: timedelta) -> None:
    Sample.objects.filter(pk=sample.pk).update(closes_at=clock() + left)


def test_who_grades_is_reminded_once_two_days_before_the_close() -> None:
    desk = Desk(10)
    reviewer, lead, viewer = desk.person(), desk.person("lead"), desk.person("viewer")
    sample = desk.draw()
    close_due()
    assert told(desk, "sample.open", reviewer) == 0
    closing_in(sample, timedelta(hours=47))
    for _ in range(2):
        close_due()
    assert [told(desk, "sample.open", one) for one in (reviewer, lead, viewer)] == [1, 1, 0]


def test_nobody_is_reminded_of_a_week_that_is_done() -> None:
    desk = Desk(4)
    people = [desk.person(), desk.person()]
    sample = desk.draw()
    for person in people:
        grade_all(sample, person)
    closing_in(sample, timedelta(hours=1))
    close_due()
    assert told(desk, "sample.open", people[0]) == 0


def test_a_sample_closes_by_itself_once_and_tells_who_graded() -> None:
    desk = Desk(10)
    graded, idle = desk.person(), desk.person()
    sample = desk.draw()
    review = claim(sample, graded)
    assert review is not None
    grade(review, graded)
    closing_in(sample, timedelta(seconds=-1))
    close_due()
    closed_at = Sample.objects.get(pk=sample.pk).closed_at
    assert closed_at is not None
    close_due()
    assert Sample.objects.get(pk=sample.pk).closed_at == closed_at
    assert not close_sample(sample)
    assert [told(desk, "sample.closed", one) for one in (graded, idle)] == [1, 0]


def test_a_reviewer_says_of_their_own_closed_grades_who_was_wrong() -> None:
    desk = Desk(10)
    person, other, lead = desk.person(), desk.person(), desk.person("lead")
    sample = desk.draw()
    review = claim(sample, person)
    assert review is not None
    grade(review, person)
    with pytest.raises(ClearanceError, match="open"):
        reflect(review.pk, "tone", "wrong", person)
    close_sample(sample)
    with pytest.raises(ClearanceError, match="Say one of"):
        reflect(review.pk, "tone", "maybe", person)
    with pytest.raises(ClearanceError, match="no such criterion"):
        reflect(review.pk, "humour", "wrong", person)
    with pytest.raises(Review.DoesNotExist):
        reflect(review.pk, "tone", "wrong", other)
    reflect(review.pk, "tone", "wrong", person)
    assert told(desk, "rubric.unclear", lead) == 0
    reflect(review.pk, "tone", "unclear", person)
    assert Reflection.objects.get(review=review).says == "unclear"
    assert told(desk, "rubric.unclear", lead) == 1
