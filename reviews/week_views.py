"""The samples of a feature, week by week, and drawing one by hand."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from features.clock import clock
from features.errors import ClearanceError
from features.forms import Form
from features.identity.sessions import session_mark
from features.models import Feature, Person
from features.pages import page, person_of
from features.plain_form import plain_form
from features.policy import active_policy
from features.queries import feature_for, roles_on
from reviews.blind import is_open
from reviews.models import Sample
from reviews.plots import week_plots
from reviews.results import results_of
from reviews.rubric import Criterion
from reviews.services import draw_week, draw_window
from reviews.services.drawing import MONDAY_FROM
from reviews.statistics.agreement import ENOUGH
from reviews.statistics.drawing import LARGEST
from reviews.trends import Trend, comparisons, trends
from reviews.weeks import before, bounds, week_of
from traces.models import Trace
from traces.statistics import Rate

_PAGE: Final = 26


class NotALead(ClearanceError):
    """Only leads do this."""

    status = 403


def require_lead(person: Person, feature: Feature, what: str) -> None:
    """Raises NotALead."""
    if "lead" not in roles_on(person, feature):
        raise NotALead(
            "not_allowed", f"Only a lead of {feature.name} {what}.", "The page of people says who they are."
        )


class Cell(msgspec.Struct, frozen=True):
    """A sample's figure of a criterion, as the list shows it; None: it has none."""

    criterion: Criterion
    share: Rate | None
    alpha: float | None = None
    double: int = 0


class SampleLine(msgspec.Struct, frozen=True):
    """A sample in the list."""

    sample: Sample
    drawn: int
    graded: int
    double: int  # graded by two
    adjudicated: int
    open: bool
    cells: list[Cell]


@page
@require_safe
def feature_reviews(request: HttpRequest, slug: str) -> HttpResponse:
    """The samples of a feature, the newest first, with their figures by week."""
    return _shown(request, feature_for(request.user, slug))


@page
@plain_form
@require_POST
def draw_sample(request: HttpRequest, slug: str) -> HttpResponse:
    """Draw last week's sample now, or one of a window."""
    feature = feature_for(request.user, slug)
    person = person_of(request)
    require_lead(person, feature, "draws a sample")
    form = WindowForm(request.POST) if request.POST.get("of") != "week" else None
    if form is not None and not form.is_valid():
        return _shown(request, feature, form, status=400)
    try:
        if form is None:
            drawing = draw_week(feature, last_week(feature), by=person, session=session_mark(request))
        else:
            chosen = form.cleaned_data
            drawing = draw_window(
                feature,
                chosen["start"],
                chosen["end"],
                size=chosen["size"],
                by=person,
                session=session_mark(request),
            )
    except ClearanceError as error:
        form = form or WindowForm()
        form.refuse(error)
        return _shown(request, feature, form, status=error.status)
    drawn = drawing.sample.items.count()
    messages.success(
        request,
        f"Drawn: {drawn} of {drawing.sample.population} requests. Who grades them is told."
        if drawing.new
        else "This week was drawn already; here it is.",
    )
    return redirect("sample", feature.slug, drawing.sample.pk)


class WindowForm(Form):
    """A window to draw from, besides the weeks."""

    start = forms.DateTimeField(
        label="From (UTC)", widget=forms.DateTimeInput({"type": "datetime-local", "step": "60"})
    )
    end = forms.DateTimeField(
        label="To (UTC)", widget=forms.DateTimeInput({"type": "datetime-local", "step": "60"})
    )
    size = forms.IntegerField(
        label="How many",
        min_value=1,
        max_value=LARGEST,
        help_text="20 to 50 are usual. Fewer than 20 say little, more than 50 are seldom finished.",
        widget=forms.NumberInput({"min": "1", "max": str(LARGEST)}),
    )

    def clean(self) -> None:
        start, end = self.cleaned_data.get("start"), self.cleaned_data.get("end")
        if start and end and not start < end:
            self.add_error("end", "The window ends before it begins.")


def last_week(feature: Feature) -> str:
    """The last week that is over, where the feature lives."""
    return before(week_of(clock(), zone_of(feature)))


def zone_of(feature: Feature) -> str:
    """The time zone of a feature's policy."""
    policy = active_policy(feature.pk)
    return policy.feature.timezone if policy else "UTC"


def next_drawing(feature: Feature) -> datetime:
    """When the next week's sample is drawn by itself, in the feature's time zone."""
    zone = zone_of(feature)
    _, end = bounds(week_of(clock(), zone), zone)
    return (end + MONDAY_FROM).astimezone(ZoneInfo(zone))


def samples_of(feature: Feature) -> QuerySet[Sample]:
    """The feature's samples with how far each is graded, the newest first."""
    return (
        Sample.objects.filter(feature=feature)
        .select_related("feature", "rubric")
        .annotate(
            drawn=Count("items"),
            graded=Count("items", filter=Q(items__settled_at__isnull=False)),
            double=Count("items", filter=Q(items__wanted__gte=2, items__settled_at__isnull=False)),
            adjudicated=Count("items", filter=Q(items__final_is="adjudicated")),
        )
        .order_by("-starts_at", "-drawn_at")
    )


def _shown(
    request: HttpRequest, feature: Feature, form: WindowForm | None = None, status: int = 200
) -> HttpResponse:
    skipped = _number(request.GET.get("skip"))
    rows = list(samples_of(feature)[skipped : skipped + _PAGE + 1])
    samples, more = rows[:_PAGE], len(rows) > _PAGE
    found = trends(feature, samples)
    lead = "lead" in roles_on(request.user, feature)
    week = last_week(feature)
    undrawn = lead and not Sample.objects.filter(feature=feature, week=week).exists()
    context = {
        "feature": feature,
        "lines": [_line(one, found) for one in samples],
        "columns": [one.criterion for one in found],
        "plots": week_plots(feature, found),
        "comparisons": [] if skipped else comparisons(feature, samples, found),
        "older": skipped + _PAGE if more else None,
        "newer": max(0, skipped - _PAGE) if skipped else None,
        "lead": lead,
        "form": form or WindowForm(initial=_usual(feature)),
        "undrawn": week if undrawn else "",
        "policy": active_policy(feature.pk),
        "traffic": bool(samples) or Trace.objects.filter(feature=feature).exists(),
        "next": next_drawing(feature),
        "by_itself": "reviews-weekly" in settings.CELERY_BEAT_SCHEDULE,
    }
    return render(request, "reviews/weeks.html", context, status=status)


def _line(sample: Sample, found: list[Trend]) -> SampleLine:
    counted = vars(sample)  # annotated by samples_of
    return SampleLine(
        sample=sample,
        drawn=counted["drawn"],
        graded=counted["graded"],
        double=counted["double"],
        adjudicated=counted["adjudicated"],
        open=is_open(sample),
        cells=_cells(sample, found),
    )


def _cells(sample: Sample, found: list[Trend]) -> list[Cell]:
    """A closed week's figures are those that were written; a window's are computed. An open sample shows none."""
    if is_open(sample):
        return [Cell(one.criterion, None) for one in found]
    if sample.week is None or sample.closed_at is None:
        results = {one.criterion.key: one for one in results_of(sample).criteria}
        return [
            Cell(one.criterion, there.weighted, *_alpha(there.agreement.alpha, there.agreement.n))
            if (there := results.get(one.criterion.key))
            else Cell(one.criterion, None)
            for one in found
        ]
    by_sample: dict[tuple[str, UUID], Cell] = {
        (one.criterion.key, week.sample): Cell(one.criterion, week.share, *_alpha(week.alpha, week.double))
        for one in found
        for week in one.weeks
    }
    return [by_sample.get((one.criterion.key, sample.pk), Cell(one.criterion, None)) for one in found]


def _alpha(value: float | None, n: int) -> tuple[float | None, int]:
    """Alpha where enough were graded twice."""
    return (value if n >= ENOUGH else None), n


def _usual(feature: Feature) -> dict[str, object]:
    """The last 24 hours, and as many as the policy asks for a week."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    policy = active_policy(feature.pk)
    return {
        "start": f"{end - timedelta(days=1):%Y-%m-%dT%H:%M}",
        "end": f"{end:%Y-%m-%dT%H:%M}",
        "size": policy.reviews.sample if policy else 40,
    }


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else 0
