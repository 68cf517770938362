"""Weeks of grades: what each reviewer of the demo would say of each request, through the product's own services."""

import random
from collections.abc import Callable
from datetime import UTC, datetime

from features.models import ApiKey, Feature, Person
from features.policy import active_policy
from reviews.models import Review, Sample, SampleItem
from reviews.services import add_gold, claim, close_sample, draw_week, flag, import_grades, submit
from reviews.services.drawing import NoRequests
from reviews.services.grading import Draft
from reviews.services.judging import Judged
from reviews.services.rubrics import ensure_rubric
from reviews.weeks import before, bounds, week_of
from traces.models import Trace

# Of the feature that has it all, so many weeks are graded and closed; the newest is under way.
WEEKS = 4
_UNDER_WAY = 12
_GOLDS = 4
_JUDGE = "judge-small 2026-09"
_SCALES = {"task_done": 3, "grounded": 3, "tone": 5, "helpfulness": 5, "policy": 2}
# How often a reviewer is a step off, and how often by two: people differ, and one of them is strict about tone.
_OFF, _FAR_OFF, _STRICT = 0.10, 0.02, 0.3
Say = Callable[[str], object]


def grade_weeks(feature: Feature, reviewers: list[Person], lead: Person, say: Say) -> None:
    """Draw, grade and close the weeks before this one, and begin with the newest; again: nothing."""
    if Sample.objects.filter(feature=feature).exists():
        return
    policy = active_policy(feature.pk)
    zone = policy.feature.timezone if policy else "UTC"
    weeks = [before(week_of(datetime.now(UTC), zone))]
    while len(weeks) < WEEKS:
        weeks.insert(0, before(weeks[0]))
    _agree_on_golds(feature, lead, bounds(weeks[0], zone)[0])
    graded = 0
    for week in weeks:
        try:
            sample = draw_week(feature, week, seed=f"demo {week}").sample
        except NoRequests:
            continue
        is_newest = week == weeks[-1]
        graded += _grade(sample, reviewers, _UNDER_WAY if is_newest else None)
        if not is_newest:
            close_sample(sample)
    _judge(feature)
    say(f"{feature.slug}: {graded} grades in {WEEKS} weeks")


def open_week(feature: Feature) -> None:
    """Draw last week's sample and leave it to whoever opens the demo; again: nothing."""
    if Sample.objects.filter(feature=feature).exists():
        return
    try:
        draw_week(feature, before(week_of(datetime.now(UTC), "UTC")), seed="demo")
    except NoRequests:
        return


def _agree_on_golds(feature: Feature, lead: Person, until: datetime) -> None:
    version = ensure_rubric(feature)
    older = Trace.objects.filter(feature=feature, started_at__lt=until).order_by("-started_at")
    for trace in older[:_GOLDS]:
        because = "Three of us read it together: see the anchors of each value."
        add_gold(feature, bytes(trace.trace_id), version, _true(trace), because, lead)


def _grade(sample: Sample, reviewers: list[Person], enough: int | None) -> int:
    """In turns, until nothing is left for anybody or enough items are settled; returns the grades given."""
    given = 0
    waiting = list(reviewers)
    while waiting:
        for person in list(waiting):
            review = claim(sample, person)
            if review is None:
                waiting.remove(person)
                continue
            if enough is not None and sample.items.filter(settled_at__isnull=False).count() >= enough:
                return given
            _submit(review, person)
            given += 1
    return given


def _submit(review: Review, person: Person) -> None:
    about = review.item or review.gold
    assert about is not None
    trace = Trace.objects.get(feature=review.sample.feature_id, trace_id=about.trace_id)
    chance = random.Random(f"{bytes(trace.trace_id).hex()} {person.name}")
    grades = _as_seen(_true(trace), person, chance)
    note = chance.choice(_NOTES) if chance.random() < 0.15 else ""
    submit(review.pk, Draft(grades, note), review.revision, person)
    Review.objects.filter(pk=review.pk).update(seconds=chance.uniform(25, 150))
    if review.item is not None and grades["policy"] == 1 and chance.random() < 0.5:
        flag(review.pk, "case", "", person)


_NOTES = (
    "The customer has to ask twice.",
    "Right, but it does not say when the money comes.",
    "Good use of the order's history.",
    "The second sentence promises more than the policy does.",
)


def _true(trace: Trace) -> dict[str, int]:
    """What a careful reader would say: the outcome and what broke a rule, with some chance for the rest."""
    chance = random.Random(f"{bytes(trace.trace_id).hex()} truth")
    went_well = trace.outcome == "success"
    task = chance.choices((1, 2, 3), (1, 9, 90) if went_well else (50, 40, 10))[0]
    return {
        "task_done": task,
        "grounded": chance.choices((1, 2, 3), (2, 8, 90))[0],
        "tone": chance.choices((2, 3, 4, 5), (4, 20, 60, 16))[0],
        "helpfulness": max(1, min(5, task + chance.choices((0, 1, 2), (20, 60, 20))[0])),
        "policy": 1 if trace.violations or chance.random() < 0.01 else 2,
    }


def _as_seen(true: dict[str, int], person: Person, chance: random.Random) -> dict[str, int]:
    seen = {}
    for key, number in true.items():
        size = _SCALES[key]
        step = 0
        if chance.random() < _FAR_OFF:
            step = chance.choice((-2, 2))
        elif chance.random() < (_OFF if size > 2 else _OFF / 3):
            step = chance.choice((-1, 1))
        if key == "tone" and person.name == "ron" and chance.random() < _STRICT:
            step = -1
        seen[key] = max(1, min(size, number + step))
    return seen


def _judge(feature: Feature) -> None:
    """A judge that agrees on most, and is too kind about tone."""
    key = ApiKey.objects.filter(feature=feature, scopes__contains=["evaluate"]).first()
    if key is None:
        return
    items = SampleItem.objects.filter(sample__feature=feature, final__isnull=False)
    grades = []
    for item in items:
        chance = random.Random(f"{bytes(item.trace_id).hex()} judge")
        for name, number in (item.final or {}).items():
            size = _SCALES[name]
            kind = name == "tone" and chance.random() < 0.6
            step = 1 if kind else chance.choices((0, -1, 1), (90, 5, 5))[0]
            grades.append(Judged(bytes(item.trace_id).hex(), name, max(1, min(size, number + step))))
    if grades:
        import_grades(key, _JUDGE, ensure_rubric(feature).number, grades)
