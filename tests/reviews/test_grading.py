"""Claims with leases, drafts, submits, skips, and what the final grades are."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from features.clock import clock
from features.errors import ClearanceError, ConflictError
from features.models import CaseRequest, IncidentRequest, Person
from reviews.models import Grade, Review, Sample, SampleItem
from reviews.services import claim, flag, save_draft, skip, submit, take_back
from reviews.services.claiming import MayNotGrade
from reviews.services.grading import Draft, DraftChanged
from tests.racing import race
from tests.reviews.support import GOOD, Desk, grade, grade_all
from traces.facts import keep_participant
from traces.models import FactRow


@pytest.fixture
def desk() -> Desk:
    return Desk(30)


def lapse(review: Review) -> None:
    Review.objects.filter(pk=review.pk).update(lease_until=clock() - timedelta(seconds=1))


def single(desk: Desk) -> Sample:
    """A sample of which nothing is graded twice."""
    sample = desk.draw()
    assert sample.items.filter(wanted=2).count() == 6
    return sample


def claimed(sample: Sample, person: Person) -> Review:
    found = claim(sample, person)
    assert found is not None
    return found


def test_two_reviewers_never_have_the_same_place(desk: Desk) -> None:
    sample = desk.draw()
    people = [desk.person() for _ in range(6)]
    for _ in range(5):
        reviews = race(*[lambda person=person: claim(sample, person) for person in people])
        by_item: dict[Any, int] = {}
        for review in reviews:
            by_item[review.item_id] = by_item.get(review.item_id, 0) + 1
        wanted = dict(SampleItem.objects.filter(pk__in=by_item).values_list("pk", "wanted"))
        assert all(count <= wanted[item] for item, count in by_item.items())
        for review, person in zip(reviews, people, strict=True):
            grade(review, person)


def test_a_person_in_two_tabs_has_one_claim(desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    reviews = race(*[lambda: claim(sample, person) for _ in range(4)])
    assert len({review.pk for review in reviews}) == 1


def test_everything_is_graded_by_as_many_as_are_wanted(desk: Desk) -> None:
    sample = desk.draw()
    first, second = desk.person(), desk.person()
    assert grade_all(sample, first) == 30
    assert grade_all(sample, second) == 6
    assert grade_all(sample, desk.person()) == 0
    items = list(sample.items.all())
    assert all(item.final == GOOD and item.settled_at for item in items)
    assert {item.final_is for item in items if item.wanted == 2} == {"agreed"}
    assert {item.final_is for item in items if item.wanted == 1} == {"single"}


def test_a_lapsed_claim_comes_back_to_others_and_its_draft_stays(desk: Desk) -> None:
    sample, first, second = desk.draw(), desk.person(), desk.person()
    review = claimed(sample, first)
    save_draft(review.pk, Draft({"tone": 5}, "well put"), 0, first)
    lapse(review)
    others = [claimed(sample, second)]
    if others[0].item_id != review.item_id:  # an item for two: the second place is another's
        raise AssertionError("the first free item is the lapsed one")
    if review.item is not None and review.item.wanted == 2:
        others.append(claimed(sample, desk.person()))
    with pytest.raises(ConflictError, match="somebody else") as refused:
        save_draft(review.pk, Draft({"tone": 5}, "well put, and more"), 1, first)
    assert refused.value.code == "lease_lost"
    kept = Review.objects.get(pk=review.pk)
    assert kept.draft == {"grades": {"tone": 5}, "note": "well put, and more"}
    assert claimed(sample, first).item_id != review.item_id


def test_a_lapsed_claim_that_nobody_took_goes_on(desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    lapse(review)
    assert claimed(sample, person).pk == review.pk
    lapse(review)
    assert grade(review, person).state == "submitted"


def test_two_tabs_never_overwrite_each_other_silently(desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    save_draft(review.pk, Draft({"tone": 5}), 0, person)
    with pytest.raises(DraftChanged) as refused:
        save_draft(review.pk, Draft({"tone": 1}), 0, person)
    assert (refused.value.revision, refused.value.draft) == (1, {"grades": {"tone": 5}})
    with pytest.raises(DraftChanged):
        submit(review.pk, Draft(GOOD), 0, person)
    assert submit(review.pk, Draft(GOOD), 1, person).state == "submitted"


@pytest.mark.parametrize(
    "grades",
    [{"tone": 6}, {"tone": 0}, {"humour": 1}, {"tone": 4}],
    ids=["off the scale", "below the scale", "no criterion", "incomplete"],
)
def test_bad_grades_are_refused_and_the_draft_stays(desk: Desk, grades: dict[str, int]) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    save_draft(review.pk, Draft({"tone": 3}, "note"), 0, person)
    with pytest.raises(ClearanceError) as refused:
        submit(review.pk, Draft(grades), 1, person)
    assert refused.value.field
    kept = Review.objects.get(pk=review.pk)
    assert kept.state == "claimed"
    assert kept.draft["grades"] in ({"tone": 3}, grades)
    assert not Grade.objects.filter(review=review).exists()


def test_nobody_grades_for_somebody_else_or_without_the_role(desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    with pytest.raises(Review.DoesNotExist):
        submit(review.pk, Draft(GOOD), 0, desk.person())
    for role in ("viewer", "approver", "on_call"):
        with pytest.raises(MayNotGrade):
            claim(sample, desk.person(role))


def test_nobody_grades_what_they_approved(desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    mine = [bytes(item.trace_id) for item in sample.items.all()][:29]
    for trace_id in mine:
        keep_participant(desk.feature.pk, trace_id, person.pk, "voted")
    review = claimed(sample, person)
    assert review.item is not None
    assert bytes(review.item.trace_id) not in mine
    keep_participant(desk.feature.pk, bytes(review.item.trace_id), person.pk, "voted")
    with pytest.raises(ClearanceError, match="You decided"):
        grade(review, person)
    with pytest.raises(DatabaseError), transaction.atomic():
        Review.objects.filter(pk=review.pk).update(state="submitted")


def test_a_closed_sample_is_graded_no_more(desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    Sample.objects.filter(pk=sample.pk).update(closes_at=clock())
    with pytest.raises(ClearanceError, match="closed"):
        grade(review, person)
    with pytest.raises(ClearanceError, match="closed"):
        claim(Sample.objects.get(pk=sample.pk), person)


def test_a_skip_goes_to_another_and_can_be_taken_back(desk: Desk) -> None:
    sample, first, second = desk.draw(), desk.person(), desk.person()
    review = claimed(sample, first)
    with pytest.raises(ClearanceError, match="why"):
        skip(review.pk, " ", first)
    skip(review.pk, "in a language that I do not read", first)
    assert claimed(sample, first).pk != review.pk
    assert claimed(sample, second).item_id == review.item_id
    third = desk.person()
    if review.item is not None and review.item.wanted == 2:
        assert claimed(sample, third).item_id == review.item_id
    with pytest.raises(ConflictError, match="Somebody else"):
        take_back(review.pk, first)


def test_a_submit_is_taken_back_with_its_grades(desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = grade(claimed(sample, person), person, tone=2)
    assert review.item is not None
    back = take_back(review.pk, person)
    assert (back.state, back.draft["grades"]["tone"]) == ("claimed", 2)
    item = SampleItem.objects.get(pk=review.item.pk)
    assert (item.final, item.settled_at) == (None, None)
    assert not Grade.objects.filter(review=review).exists()
    assert claimed(sample, person).pk == review.pk
    grade(back, person, tone=5)
    item.refresh_from_db()
    assert item.wanted == 2 or (item.final or {}).get("tone") == 5


def doubled(desk: Desk, first: dict[str, int], second: dict[str, int]) -> tuple[Sample, SampleItem]:
    """An item graded by two."""
    sample = desk.draw()
    for grades in (first, second):
        person = desk.person()
        for item in list(sample.items.filter(wanted=1, settled_at=None)):
            Review.objects.create(
                sample=sample, item=item, reviewer=person, state="skipped", lease_until=clock()
            )
        grade(claimed(sample, person), person, **grades)
    items = [
        item for item in sample.items.filter(wanted=2) if item.reviews.filter(state="submitted").count() == 2
    ]
    assert len(items) == 1
    return sample, items[0]


def test_grades_a_step_apart_are_settled_by_lot(desk: Desk) -> None:
    _, item = doubled(desk, {"tone": 4}, {"tone": 5})
    assert item.final_is == "by_lot"
    assert item.final is not None
    assert item.final["tone"] in (4, 5)


def test_grades_too_far_apart_go_to_a_third(desk: Desk) -> None:
    sample, item = doubled(desk, {"tone": 5}, {"tone": 1})
    assert (item.adjudicate, item.final) == (True, None)
    third = desk.person()
    review = claimed(sample, third)
    assert (review.item_id, review.part) == (item.pk, "adjudication")
    grade(review, third, tone=3)
    item.refresh_from_db()
    assert item.final is not None
    assert (item.final_is, item.final["tone"]) == ("adjudicated", 3)
    graders = Review.objects.filter(item=item, part="grade")
    for one in graders.filter(state="submitted"):
        with pytest.raises(ConflictError, match="third"):
            take_back(one.pk, one.reviewer)


def test_racing_submits_of_two_graders_settle_an_item_once(desk: Desk) -> None:
    for _ in range(4):
        sample = Desk(8).draw()
        wide = Desk(count=0, feature=sample.feature, week=str(sample.week))
        people = [wide.person(), wide.person()]
        while True:
            reviews = [claim(sample, person) for person in people]
            if None in reviews:
                break
            outcome = race(*[lambda r=r, p=p: grade(r, p) for r, p in zip(reviews, people, strict=True)])
            assert all(isinstance(one, Review) for one in outcome)
        twice = sample.items.filter(wanted=2)
        assert {item.final_is for item in twice if item.reviews.filter(state="submitted").count() == 2} <= {
            "agreed"
        }
        assert not sample.items.filter(settled_at=None, wanted=1).exists()


def test_flags_become_violations_cases_and_incidents(desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    review = claimed(sample, person)
    assert review.item is not None
    trace_id = bytes(review.item.trace_id)
    with pytest.raises(ClearanceError, match="Say what"):
        flag(review.pk, "violation", "", person)
    flag(review.pk, "violation", "promises a refund that the policy forbids", person)
    flag(review.pk, "pii", "an address stands in the answer", person)
    flag(review.pk, "case", "", person)
    flag(review.pk, "incident", "it paid twice", person)
    with pytest.raises(ConflictError):
        flag(review.pk, "case", "", person)
    rules = FactRow.objects.filter(feature=desk.feature, trace_id=trace_id, kind="violation")
    assert {row.value["rule"] for row in rules} == {"flagged_in_review", "personal_data_in_review"}
    assert CaseRequest.objects.get(feature=desk.feature).trace_id == trace_id
    assert IncidentRequest.objects.get(feature=desk.feature, kind="review").facts["trace"] == trace_id.hex()
