"""What this room adds to pages of others: the queue with its count in the navigation, a trace's reviews, a feature's
last week in figures.
"""

from collections.abc import Mapping

import msgspec
from django.db.models import Count, Q
from django.http import HttpRequest

from features.models import Feature, Person, Score
from features.pages import person_of
from features.queries import roles_on
from features.registry import (
    NavItem,
    OverviewPanel,
    TracePanel,
    register_nav,
    register_overview_panel,
    register_trace_panel,
)
from features.window import Window
from reviews.blind import is_blind_to, is_open
from reviews.desk import about
from reviews.models import Flag, Review, Sample, SampleItem
from reviews.queries import count_left, rubric_of
from reviews.sample_page import FLAG_WORDS, HOW, FinalGrade, final_grades
from traces.queries import TraceDetail
from traces.statistics import Rate


def register() -> None:
    """Called once, when the application is ready."""
    register_nav(NavItem("house", "My reviews", "reviews", 60, _count))
    register_nav(NavItem("feature", "Reviews", "feature_reviews", 220))
    register_trace_panel(TracePanel("reviews", 60, "reviews/trace_reviews.html", of_trace))
    register_overview_panel(OverviewPanel("reviews", 350, "reviews/overview.html", of_feature))


def _count(person: Person, feature: Feature | None) -> str:
    return about(count_left(person))


class Given(msgspec.Struct, frozen=True):
    """One person's grades of a request, in the order of the rubric; `who` is empty for who may not know it."""

    who: str
    part: str
    shadow: bool
    numbers: list[int | None]


class TraceReviews(msgspec.Struct, frozen=True):
    """A request in a sample, with what was said of it; `hidden`: the viewer may still grade it."""

    sample: Sample
    item: SampleItem
    hidden: bool
    how: str
    final: list[FinalGrade]
    given: list[Given]
    flags: list[tuple[str, Flag]]


def of_trace(request: HttpRequest, detail: TraceDetail) -> Mapping[str, object] | None:
    """The samples that a trace is in. That it is a gold item nobody sees here."""
    items = list(
        SampleItem.objects.filter(trace_id=detail.settled.trace_id, sample__feature=detail.feature.pk)
        .select_related("sample__feature", "sample__rubric")
        .order_by("-sample__drawn_at")[:10]
    )
    if not items:
        return None
    lead = "lead" in roles_on(person_of(request), detail.feature)
    return {"feature": detail.feature, "reviews": [_of_item(request, one, names=lead) for one in items]}


def _of_item(request: HttpRequest, item: SampleItem, *, names: bool) -> TraceReviews:
    person = person_of(request)
    if is_blind_to(person, item):
        return TraceReviews(item.sample, item, True, "", [], [], [])
    rows = list(
        Review.objects.filter(item=item, state="submitted")
        .select_related("reviewer")
        .prefetch_related("grades", "flags")
        .order_by("submitted_at", "pk")
    )
    # Another's grades are shown when they can sway nobody: not before all who were wanted have graded.
    settled = item.settled_at is not None or not is_open(item.sample)
    rubric = rubric_of(item.sample.rubric)
    given = []
    for review in rows:
        if not settled and review.reviewer_id != person.pk:
            continue
        numbers = {one.criterion: one.number for one in review.grades.all()}
        mine = review.reviewer_id == person.pk
        given.append(
            Given(
                who="you" if mine else str(review.reviewer) if names else "",
                part=review.part,
                shadow=review.shadow,
                numbers=[numbers.get(one.key) for one in rubric.criteria],
            )
        )
    return TraceReviews(
        sample=item.sample,
        item=item,
        hidden=False,
        how=HOW.get(item.final_is, "not graded by all yet" if is_open(item.sample) else "not graded"),
        final=final_grades(item, rubric.criteria),
        given=given,
        flags=[(FLAG_WORDS[flag.kind], flag) for review in rows for flag in review.flags.all()],
    )


class ScoreLine(msgspec.Struct, frozen=True):
    """A criterion's figure of the last closed week."""

    name: str
    key: str
    share: Rate
    score: Score


def of_feature(request: HttpRequest, feature: Feature, window: Window) -> Mapping[str, object]:
    """The last closed week's figures, and how far the open samples are."""
    closed = (
        Sample.objects.filter(feature=feature, week__isnull=False, closed_at__isnull=False)
        .select_related("rubric")
        .order_by("-starts_at")
        .first()
    )
    scores = list(Score.objects.filter(feature=feature, week=closed.week)) if closed else []
    by_key = {one.criterion: one for one in scores}
    lines = [
        ScoreLine(one.name, one.key, Rate(score.value, 0, score.n, score.low, score.high), score)
        for one in (rubric_of(closed.rubric).criteria if closed else ())
        if (score := by_key.get(one.key)) is not None
    ]
    running = (
        Sample.objects.filter(feature=feature, closed_at=None)
        .annotate(drawn=Count("items"), graded=Count("items", filter=Q(items__settled_at__isnull=False)))
        .order_by("closes_at")[:3]
    )
    return {"feature": feature, "closed": closed, "lines": lines, "running": list(running)}
