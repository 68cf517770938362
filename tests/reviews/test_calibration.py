"""Gold items and judges: what grades are held against before they count."""

import secrets

import pytest

from features.errors import ClearanceError, ConflictError
from features.models import ApiKey
from features.problems import FieldError
from features.services import create_key
from reviews.judges import judges_of
from reviews.models import JudgeGrade, Review, SampleItem
from reviews.services import add_gold, claim, import_grades, retire_gold
from reviews.services.calibrating import standing_of
from reviews.services.judging import Judged
from reviews.services.rubrics import ensure_rubric
from tests.reviews.support import GOOD, Desk, grade, grade_all
from tests.support import Browser, Stack

BECAUSE = "The answer gives the wrong date, twice."


@pytest.fixture
def desk() -> Desk:
    """A feature with three gold items outside of the drawn week's requests."""
    desk = Desk(12)
    desk.draw()
    version = ensure_rubric(desk.feature)
    lead = desk.person("lead")
    for trace_id in desk.fill(3):
        add_gold(desk.feature, trace_id, version, {**GOOD, "tone": 2}, BECAUSE, lead)
    return desk


def test_newcomers_get_gold_items_first_and_count_when_they_agree(desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    for _ in range(3):
        review = claim(sample, person)
        assert review is not None
        assert review.part == "gold"
        assert grade(review, person, tone=2).gold_agreement == 1
    assert not standing_of(sample, person).shadow
    assert grade_all(sample, person) == 12
    assert sample.items.filter(wanted=1, settled_at=None).count() == 0


def test_who_disagrees_with_gold_grades_in_shadow_until_back_above_the_bar(desk: Desk) -> None:
    sample, person = desk.draw(), desk.person()
    for _ in range(3):
        review = claim(sample, person)
        assert review is not None
        grade(review, person, tone=5, policy=1, grounded=1)
    standing = standing_of(sample, person)
    assert standing.shadow
    assert standing.agreement == pytest.approx(0.4)
    review = claim(sample, person)
    assert review is not None
    assert (review.part, review.shadow) == ("grade", True)
    grade(review, person)
    assert not SampleItem.objects.filter(sample=sample, settled_at__isnull=False).exists()
    other = desk.person()
    for _ in range(3):
        found = claim(sample, other)
        assert found is not None
        grade(found, other, tone=2)
    graded = grade_all(sample, other)
    assert graded == 12  # the item that was graded in shadow too
    version = ensure_rubric(desk.feature)
    lead = desk.person("lead")
    for trace_id in desk.fill(5):
        add_gold(desk.feature, trace_id, version, GOOD, BECAUSE, lead)
    while (review := claim(sample, person)) is not None:
        grade(review, person)
    assert not standing_of(sample, person).shadow


def test_leads_see_the_answers_and_get_no_gold(desk: Desk) -> None:
    sample, lead = desk.draw(), desk.person("lead")
    review = claim(sample, lead)
    assert review is not None
    assert (review.part, review.shadow) == ("grade", False)


def test_a_gold_item_needs_a_request_all_grades_and_a_reason(desk: Desk) -> None:
    version, lead = ensure_rubric(desk.feature), desk.person("lead")
    trace_id = desk.fill(1)[0]
    for wrong, field in (
        ((secrets.token_bytes(16), GOOD, BECAUSE), "trace"),
        ((trace_id, {"tone": 3}, BECAUSE), "grades"),
        ((trace_id, {**GOOD, "tone": 9}, BECAUSE), "grade.tone"),
        ((trace_id, GOOD, "no"), "because"),
    ):
        trace, grades, because = wrong
        with pytest.raises(ClearanceError) as refused:
            add_gold(desk.feature, trace, version, grades, because, lead)
        assert refused.value.field == field
    gold = add_gold(desk.feature, trace_id, version, GOOD, BECAUSE, lead)
    with pytest.raises(ConflictError):
        add_gold(desk.feature, trace_id, version, GOOD, BECAUSE, lead)
    retire_gold(gold, lead)
    add_gold(desk.feature, trace_id, version, GOOD, BECAUSE, lead)


def test_gold_items_are_for_leads_alone(stack: Stack, desk: Desk) -> None:
    page = f"/features/{desk.feature.slug}/reviews/gold/"
    shown = Browser(stack, desk.person("lead")).get(page)
    assert shown.status_code == 200
    assert shown.text.count(BECAUSE) == 3
    reviewer = Browser(stack, desk.person())
    assert reviewer.get(page).status_code == 403
    lead = Browser(stack, desk.person("lead"))
    refused = lead.post(page, {"trace": "nothing", "because": BECAUSE, "grade.tone": "4"})
    assert refused.status_code == 400
    assert "no settled request" in refused.text
    assert BECAUSE in refused.text
    fields = {f"grade.{key}": str(number) for key, number in GOOD.items()}
    added = lead.post(page, {"trace": desk.fill(1)[0].hex(), "because": BECAUSE, **fields})
    assert added.status_code == 302


def key_of(desk: Desk) -> ApiKey:
    key, _ = create_key(feature=desk.feature, scopes=["evaluate"])
    return key


def test_a_judge_counts_only_where_it_agrees_with_people_often_enough() -> None:
    desk = Desk(70)
    sample = desk.draw()
    lead = desk.person("lead")
    n = 0
    while (review := claim(sample, lead)) is not None:
        grade(review, lead, tone=1 + n % 5)
        n += 1
    items = list(sample.items.filter(final__isnull=False))
    grades = [
        Judged(bytes(item.trace_id).hex(), key, (item.final or {})[key] if key == "tone" else 1)
        for item in items
        for key in ("tone", "policy")
    ]
    key = key_of(desk)
    assert import_grades(key, "judge 1", 1, grades) == 2 * len(items)
    assert import_grades(key, "judge 1", 1, grades) == 2 * len(items)
    assert JudgeGrade.objects.filter(feature=desk.feature).count() == 2 * len(items)
    (judge,) = judges_of(desk.feature)
    found = {one.criterion.key: one.calibration for one in judge.criteria}
    assert found["tone"].agreement.alpha == pytest.approx(1)
    assert found["tone"].counts is (len(items) >= 50)
    assert not found["policy"].counts
    assert found["policy"].agreement.raw == 0


def test_a_judges_bad_grades_are_refused_whole_with_each_place() -> None:
    desk = Desk(5)
    desk.draw()
    key = key_of(desk)
    with pytest.raises(FieldError) as refused:
        import_grades(
            key,
            "judge",
            1,
            [Judged("ab" * 16, "tone", 6), Judged("ab" * 16, "humour", 1), Judged("zz", "tone", 1)],
        )
    assert [error["field"] for error in refused.value.errors] == [
        "grades.0.number",
        "grades.1.criterion",
        "grades.2.trace_id",
    ]
    for judge, number in (("", 1), ("judge", 9)):
        with pytest.raises(ClearanceError):
            import_grades(key, judge, number, [Judged("ab" * 16, "tone", 1)])
    assert not JudgeGrade.objects.filter(feature=desk.feature).exists()
    assert not Review.objects.filter(sample__feature=desk.feature).exists()
