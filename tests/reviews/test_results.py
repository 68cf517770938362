"""What a sample says: known grades give known figures, whatever was over-sampled, skipped, disputed or taken back."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from features.clock import clock
from features.errors import ClearanceError
from features.models import Person, Score
from reviews.drifts import drifts_of
from reviews.models import Review, Sample, SampleItem
from reviews.results import CriterionResult, recent_agreement, results_of
from reviews.rubric import Criterion, Rubric, Value
from reviews.services import claim, close_sample, publish, skip, take_back
from reviews.services.claiming import LEASE
from reviews.trends import comparisons, trends
from reviews.week_views import samples_of
from reviews.weeks import before
from tests.racing import race
from tests.reviews.support import GOOD, Desk, grade, grade_all

Chosen = Callable[[SampleItem], dict[str, int]]


def fresh(sample: Sample) -> Sample:
    return Sample.objects.select_related("feature", "rubric").get(pk=sample.pk)


def figure(sample: Sample, key: str = "tone") -> CriterionResult:
    return next(one for one in results_of(fresh(sample)).criteria if one.criterion.key == key)


def grade_by(sample: Sample, person: Person, chosen: Chosen) -> None:
    """Grade until nothing is left for the person, each request as `chosen` says."""
    while (review := claim(sample, person)) is not None:
        assert review.item is not None
        grade(review, person, **chosen(review.item))


def place_of(sample: Sample, item: SampleItem, *people: Person) -> list[Review]:
    """Reviews of one item, claimed by these people, as though they had been handed it."""
    until = clock() + LEASE
    return [
        Review.objects.create(sample=sample, item=item, reviewer=person, lease_until=until)
        for person in people
    ]


def test_a_week_graded_whole_is_its_own_figure_without_an_interval() -> None:
    desk = Desk(20)
    sample, one, other = desk.draw(), desk.person(), desk.person()
    bad = {bytes(item.trace_id) for item in sample.items.order_by("place")[:5]}

    def chosen(item: SampleItem) -> dict[str, int]:
        return {"tone": 2 if bytes(item.trace_id) in bad else 5}

    grade_by(sample, one, chosen)
    grade_by(sample, other, chosen)
    found = figure(sample)
    assert found.passing is not None
    assert (found.passing.value, found.passing.low, found.passing.high) == (0.75, 0.75, 0.75)
    assert found.counts == (0, 5, 0, 0, 15)
    assert found.mean is not None
    assert found.mean.value == pytest.approx((5 * 2 + 15 * 5) / 20)
    assert found.unweighted is not None
    assert (found.unweighted.k, found.unweighted.n) == (15, 20)
    assert figure(sample, "policy").weighted.rate == 1.0


def test_an_over_sampled_stratum_does_not_bend_the_rate() -> None:
    desk = Desk(0)
    desk.fill(400, outcome="success")
    violating = desk.fill(12, outcome="success", violations=1)
    sample = desk.draw()
    for person in (desk.person(), desk.person()):
        grade_by(sample, person, lambda item: {"tone": 1 if bytes(item.trace_id) in violating else 5})
    drawn = sample.items.filter(trace_id__in=violating).count()
    found = figure(sample)
    assert found.passing is not None
    assert found.unweighted is not None
    assert drawn >= 3
    assert found.unweighted.rate == pytest.approx(1 - drawn / 40)
    assert found.passing.value == pytest.approx(400 / 412)
    assert found.passing.low is not None
    assert found.passing.low < 400 / 412 < (found.passing.high or 0)
    assert (found.weighted.k, found.weighted.n) == (40 - drawn, 40)


def test_an_adjudicated_request_counts_as_the_third_says() -> None:
    desk = Desk(12)
    sample = desk.draw()
    item = sample.items.filter(wanted=2).first()
    assert item is not None
    one, other, third = desk.person(), desk.person(), desk.person()
    for given, person, tone in zip(place_of(sample, item, one, other), (one, other), (5, 1), strict=True):
        grade(given, person, tone=tone)
    assert results_of(fresh(sample)).graded == 0
    review = claim(sample, third)
    assert review is not None
    assert (review.item_id, review.part) == (item.pk, "adjudication")
    grade(review, third, tone=3)
    found = results_of(fresh(sample))
    assert (found.graded, found.adjudicated) == (1, 1)
    assert figure(sample).counts == (0, 0, 1, 0, 0)
    # Agreement is between the two who graded independently; the third was asked because they differed.
    agreed = figure(sample).agreement
    assert (agreed.n, agreed.raw) == (1, 0.0)
    assert figure(sample, "policy").agreement.raw == 1.0


def test_what_is_graded_in_shadow_counts_for_nothing() -> None:
    desk = Desk(12)
    sample, learner = desk.draw(), desk.person()
    items = list(sample.items.order_by("place")[:3])
    for item in items:
        (review,) = place_of(sample, item, learner)
        Review.objects.filter(pk=review.pk).update(shadow=True)
        grade(review, learner, tone=1)
    found = results_of(fresh(sample))
    assert (found.graded, figure(sample).counts, figure(sample).agreement.n) == (0, (0,) * 5, 0)
    assert grade_all(sample, desk.person()) == 12
    assert grade_all(sample, desk.person()) == 3
    assert figure(sample).weighted.rate == 1.0


def test_the_figures_follow_a_submit_that_is_taken_back() -> None:
    desk = Desk(12)
    sample, person = desk.draw(), desk.person()
    item = sample.items.filter(wanted=1).first()
    assert item is not None
    (review,) = place_of(sample, item, person)
    grade(review, person, tone=2)
    assert figure(sample).counts == (0, 1, 0, 0, 0)
    take_back(review.pk, person)
    assert figure(sample).counts == (0,) * 5
    grade(Review.objects.get(pk=review.pk), person, tone=4)
    assert figure(sample).counts == (0, 0, 0, 1, 0)


def test_requests_without_a_grade_stand_beside_the_estimate() -> None:
    desk = Desk(10)
    sample, person = desk.draw(), desk.person()
    review = claim(sample, person)
    assert review is not None
    skip(review.pk, "a language that I do not read", person)
    done = grade_all(sample, person)
    found = results_of(fresh(sample))
    assert found.drawn == 10
    assert found.graded + found.ungraded == 10
    assert found.ungraded > 0
    passing = figure(sample).passing
    assert passing is not None
    assert (passing.n, passing.ungraded) == (found.graded, found.ungraded)
    assert done == 9


def test_values_that_are_kinds_have_counts_and_no_passing_share() -> None:
    desk = Desk(10)
    values = tuple(Value(label=label, anchor=f"About {label}") for label in ("billing", "account", "other"))
    asked = Criterion(
        key="topic", name="Topic", question="About what?", scale="choice", ordered=False, values=values
    )
    publish(desk.feature, Rubric(criteria=(asked,)))
    sample, person, other = desk.draw(), desk.person(), desk.person()
    for each in (person, other):
        while (review := claim(sample, each)) is not None:
            GOOD_TOPIC = {"topic": 1 + review.item.place % 2} if review.item else {}
            grade(review, each, **GOOD_TOPIC)
    found = figure(sample, "topic")
    assert (found.passing, found.mean, found.weighted.rate, found.weighted.n) == (None, None, None, 0)
    assert found.counts == (5, 5, 0)
    close_sample(fresh(sample))
    assert not Score.objects.filter(feature=desk.feature).exists()


def test_closing_writes_each_score_once_and_it_stays() -> None:
    desk = Desk(30)
    sample, one, other = desk.draw(), desk.person(), desk.person()
    grade_all(sample, one, tone=3)
    grade_all(sample, other, tone=3)
    assert not Score.objects.filter(feature=desk.feature).exists()
    assert race(*[lambda: close_sample(fresh(sample)) for _ in range(3)]).count(True) == 1
    scores = {one.criterion: one for one in Score.objects.filter(feature=desk.feature)}
    assert set(scores) == set(GOOD)
    tone = scores["tone"]
    assert (tone.week, tone.value, tone.n, tone.population) == (desk.week, 0.0, 30, 30)
    assert tone.alpha_n == 6
    desk.fill(50, violations=1)
    assert not close_sample(fresh(sample))
    review = Review.objects.filter(sample=sample, state="submitted").first()
    assert review is not None
    with pytest.raises(ClearanceError, match="closed"):
        take_back(review.pk, review.reviewer)
    assert Score.objects.get(pk=tone.pk).computed_at == tone.computed_at


def test_a_window_by_hand_feeds_no_weekly_score() -> None:
    from reviews.services import draw_window
    from reviews.weeks import bounds

    desk = Desk(12)
    sample = draw_window(desk.feature, *bounds(desk.week, "UTC")).sample
    grade_all(sample, desk.person())
    assert close_sample(fresh(sample))
    assert not Score.objects.filter(feature=desk.feature).exists()


def test_a_close_that_races_with_submits_has_the_figures_of_what_was_kept() -> None:
    for _ in range(6):
        desk = Desk(10)
        sample = desk.draw()
        people = [desk.person() for _ in range(4)]
        reviews = [claim(sample, person) for person in people]
        race(
            *[partial(grade, r, p) for r, p in zip(reviews, people, strict=True) if r is not None],
            partial(close_sample, fresh(sample)),
        )
        kept = SampleItem.objects.filter(sample=sample, final__isnull=False).count()
        score = Score.objects.filter(feature=desk.feature, criterion="tone").first()
        assert (score.n if score else 0) == kept
        assert not Review.objects.filter(
            sample=sample, state="submitted", submitted_at__gt=fresh(sample).closed_at
        ).exists()


def test_at_the_close_one_grade_of_two_counts_and_a_dispute_is_settled_by_lot() -> None:
    desk = Desk(20)
    sample = desk.draw()
    alone, disputed = sample.items.filter(wanted=2).order_by("place")[:2]
    one, other = desk.person(), desk.person()
    (review,) = place_of(sample, alone, one)
    grade(review, one, tone=2)
    for person, tone in ((one, 5), (other, 1)):
        (review,) = place_of(sample, disputed, person)
        grade(review, person, tone=tone)
    assert results_of(fresh(sample)).graded == 0
    close_sample(fresh(sample))
    alone.refresh_from_db()
    disputed.refresh_from_db()
    assert (alone.final_is, (alone.final or {})["tone"]) == ("single", 2)
    assert (disputed.final_is, (disputed.final or {})["tone"] in (1, 5)) == ("by_lot", True)
    assert results_of(fresh(sample)).graded == 2


def test_who_grades_lower_than_the_others_is_seen_to_drift() -> None:
    desk = Desk(60)
    strict, other, shadow = desk.person(), desk.person(), desk.person()
    sample = desk.draw()
    for n, item in enumerate(sample.items.filter(wanted=2)):
        for person, tone in ((strict, 3 + n % 2), (other, 4 + n % 2)):
            (review,) = place_of(sample, item, person)
            grade(review, person, tone=tone)
    week = before(desk.week)
    earlier = Desk(60, feature=desk.feature, week=week)
    sample_before = earlier.draw("2")
    for item in sample_before.items.filter(wanted=2):
        for person, tone in ((strict, 3), (other, 4)):
            (review,) = place_of(sample_before, item, person)
            grade(review, person, tone=tone)
        (review,) = place_of(sample_before, item, shadow)
        Review.objects.filter(pk=review.pk).update(shadow=True)
        grade(review, shadow, tone=1)
    found = drifts_of(fresh(sample))
    by_name = {one.person: {c.key: seen for c, seen in one.by_criterion} for one in found.people}
    assert found.samples == 2
    assert set(by_name) == {strict, other}
    mine = by_name[strict]["tone"]
    assert (mine.n, mine.value, mine.drifting) == (16, -1.0, True)
    assert (by_name[other]["tone"].value, by_name[other]["tone"].drifting) == (1.0, True)
    assert not by_name[strict]["policy"].drifting
    assert len(drifts_of(fresh(sample_before)).people) == 3


def test_the_newest_week_is_held_against_the_weeks_before_it() -> None:
    desk = Desk(0)
    weeks = [desk.week]
    for _ in range(4):
        weeks.append(before(weeks[-1]))
    for n, week in enumerate(reversed(weeks)):
        of_week = Desk(40, feature=desk.feature, week=week)
        sample, people = of_week.draw(str(n)), (of_week.person(), of_week.person())
        for person in people:
            grade_by(
                sample,
                person,
                lambda item: {"tone": 4 if item.place % 10 or item.sample.week != desk.week else 2},
            )
        close_sample(fresh(sample))
    samples = list(samples_of(desk.feature))
    found = trends(desk.feature, samples)
    tone = next(one for one in found if one.criterion.key == "tone")
    assert [one.week for one in tone.weeks] == weeks[::-1]
    assert [one.share.rate for one in tone.weeks] == [1.0, 1.0, 1.0, 1.0, pytest.approx(0.9)]
    compared = {one.criterion.key: one for one in comparisons(desk.feature, samples, found)}
    assert compared["tone"].weeks == 4
    assert compared["tone"].then.rate == 1.0
    assert compared["tone"].then.n == 160
    assert compared["tone"].needed == 1  # the week was graded whole: its interval has no width
    assert compared["policy"].needed is None
    # One week has 8 requests with two grades, too few to say anything; a month has 32.
    newest = Sample.objects.get(feature=desk.feature, week=desk.week)
    recent = recent_agreement(newest)["tone"]
    assert (recent.weeks, recent.agreement.n, recent.agreement.raw) == (4, 32, 1.0)
    assert recent.agreement.enough
    assert not figure(newest).agreement.enough


def test_another_scale_is_not_compared_with() -> None:
    desk = Desk(12)
    older = Desk(12, feature=desk.feature, week=before(desk.week))
    sample = older.draw("1")
    grade_all(sample, desk.person())
    close_sample(fresh(sample))
    values = tuple(Value(anchor=f"Step {n}") for n in range(1, 4))
    tone = Criterion(key="tone", name="Tone", question="How does it speak?", scale="choice", values=values)
    publish(desk.feature, Rubric(criteria=(tone,)))
    sample = desk.draw("2")
    for person in (desk.person(), desk.person()):
        grade_all(sample, person, tone=3)
    close_sample(fresh(sample))
    samples = list(samples_of(desk.feature))
    compared = comparisons(desk.feature, samples, trends(desk.feature, samples))
    assert [(one.criterion.key, one.weeks, one.needed) for one in compared] == [("tone", 0, None)]


def test_a_lapsed_lease_is_no_grade() -> None:
    desk = Desk(10)
    sample, person = desk.draw(), desk.person()
    review = claim(sample, person)
    assert review is not None
    Review.objects.filter(pk=review.pk).update(
        draft={"grades": GOOD}, lease_until=clock() - timedelta(minutes=1)
    )
    close_sample(fresh(sample))
    assert results_of(fresh(sample)).graded == 0
