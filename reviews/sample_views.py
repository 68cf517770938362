"""One sample: how it was drawn, how far it is graded, what it says, and each request behind every figure."""

from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from audit.services import append
from features.acting import actor_of
from features.errors import ConflictError
from features.identity.sessions import session_mark
from features.pages import page, person_of
from features.plain_form import plain_form
from features.problems import BadField
from features.queries import feature_for, roles_on
from reviews.blind import is_blind, is_open
from reviews.drifts import drifts_of
from reviews.export import sample_csv, sample_json
from reviews.models import Review, Sample
from reviews.results import recent_agreement, results_of
from reviews.sample_page import (
    FLAG_WORDS,
    HOW,
    criterion_views,
    flags_of,
    item_lines,
    progress_of,
    read_filter,
    skipped_by_all,
)
from reviews.services import close_sample
from reviews.week_views import require_lead

_PAGE = 100


def sample_for(request: HttpRequest, slug: str, sample_id: UUID) -> Sample:
    """A sample of a feature that the person may see; Http404 otherwise."""
    feature = feature_for(request.user, slug)
    return get_object_or_404(
        Sample.objects.select_related("feature", "rubric", "drawn_by"), pk=sample_id, feature=feature
    )


@page
@require_safe
def sample_page(request: HttpRequest, slug: str, sample_id: UUID) -> HttpResponse:
    """A sample with its figures; to whoever still may grade in it, only how far it is."""
    sample = sample_for(request, slug, sample_id)
    person = person_of(request)
    roles = roles_on(person, sample.feature)
    lead, blind = "lead" in roles, is_blind(person, sample)
    drawn = sample.items.count()
    graded = sample.items.filter(settled_at__isnull=False).count()
    context: dict[str, object] = {
        "feature": sample.feature,
        "sample": sample,
        "lead": lead,
        "blind": blind,
        "open": is_open(sample),
        "drawn": drawn,
        "graded": graded,
        "ungraded": drawn - graded,
        "ungraded_share": (drawn - graded) / drawn if drawn else 0.0,
        "by_hand": sample.week is None,
        "progress": progress_of(sample, person, names=lead),
        "mine": Review.objects.filter(sample=sample, reviewer=person, item__isnull=False).exists(),
    }
    if not blind:
        context |= _seen(request, sample, lead=lead)
    return render(request, "reviews/sample.html", context)


def _seen(request: HttpRequest, sample: Sample, *, lead: bool) -> dict[str, object]:
    """What only those see who grade no more."""
    person = person_of(request)
    chosen = read_filter(sample, request.GET)
    lines = item_lines(sample, chosen, person, names=lead)
    shown = Paginator(lines, _PAGE).get_page(request.GET.get("page"))
    results, drifts = results_of(sample), drifts_of(sample)
    flags = flags_of(sample)
    return {
        "results": results,
        "criteria": criterion_views(results),
        "recents": recent_agreement(sample) if sample.closed_at else {},
        "strata": [{**one, "chance": one["drawn"] / one["size"]} for one in sample.strata if one["size"]],
        "chosen": chosen,
        "lines": shown,
        "stands_for": sum(line.item.weight for line in lines),
        "found": len(lines),
        "how": HOW.items(),
        "drifts": drifts,
        "drift_people": [one for one in drifts.people if lead or one.person.pk == person.pk],
        "flags": [(FLAG_WORDS[kind], flags[kind]) for kind in FLAG_WORDS if kind in flags],
        "skipped": skipped_by_all(sample),
    }


@page
@plain_form
@require_POST
def close(request: HttpRequest, slug: str, sample_id: UUID) -> HttpResponse:
    """Close a sample now; the form says how many requests have no grades, and that must still be so."""
    sample = sample_for(request, slug, sample_id)
    person = person_of(request)
    require_lead(person, sample.feature, "closes a sample")
    said = request.POST.get("ungraded", "")
    if not (said.isascii() and said.isdigit() and len(said) < 7):
        raise BadField("ungraded", "Say how many requests have no grades: the page of the sample shows it.")
    ungraded = sample.items.filter(settled_at=None).count()
    if sample.closed_at is None and int(said) != ungraded:
        messages.error(
            request, f"Meanwhile {ungraded} are not graded, and not {said}. Look again, then close it."
        )
    elif close_sample(sample, person, session_mark(request)):
        messages.success(request, "Closed. Its figures stand, and who graded is told.")
    else:
        messages.info(request, "It was closed already.")
    return redirect("sample", slug, sample.pk)


@page
@require_safe
def take_away(request: HttpRequest, slug: str, sample_id: UUID, form: str) -> HttpResponse:
    """A sample as `csv` or `json`, for leads; recorded before it leaves."""
    sample = sample_for(request, slug, sample_id)
    person = person_of(request)
    require_lead(person, sample.feature, "takes a sample away")
    if is_blind(person, sample):
        raise ConflictError(
            "blind",
            "You may still grade requests of this sample, and the file has what others said of them.",
            "It can be taken when nothing is left for you, or when the sample is closed.",
        )
    body: str | bytes = sample_csv(sample) if form == "csv" else sample_json(sample)
    with transaction.atomic():
        append(
            actor_of(person, session_mark(request)),
            "reviews.exported",
            feature=str(sample.feature_id),
            subject=("sample", str(sample.pk)),
            records=sample.items.count(),
        )
    kind = "text/csv; charset=utf-8" if form == "csv" else "application/json"
    answer = HttpResponse(body, content_type=kind)
    name = sample.week or f"{sample.starts_at:%Y%m%d}-{sample.ends_at:%Y%m%d}"
    answer["Content-Disposition"] = f'attachment; filename="{slug}-sample-{name}.{form}"'
    return answer
