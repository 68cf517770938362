"""The page on which a reviewer goes through their differences, one key each."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from features.pages import page, person_of
from features.plain_form import plain_form
from features.problems import BadField
from features.queries import roles_on
from reviews.differences import anchor_counts, differences_of
from reviews.models import Review, Sample
from reviews.sample_views import sample_for
from reviews.services import reflect


@page
@plain_form
@require_http_methods(["GET", "HEAD", "POST"])
def differences(request: HttpRequest, slug: str, sample_id: UUID) -> HttpResponse:
    """My differences, and for leads how often each anchor was found unclear."""
    sample = sample_for(request, slug, sample_id)
    if request.method == "POST":
        return _said(request, sample)
    person = person_of(request)
    mine = differences_of(sample, person) if sample.closed_at else []
    lead = "lead" in roles_on(person, sample.feature)
    context = {
        "feature": sample.feature,
        "sample": sample,
        "mine": mine,
        "left": sum(not one.says for one in mine),
        "graded": Review.objects.filter(
            sample=sample, reviewer=person, state="submitted", item__isnull=False
        ).count(),
        "lead": lead,
        "anchors": anchor_counts(sample) if lead and sample.closed_at else [],
    }
    return render(request, "reviews/differences.html", context)


def _said(request: HttpRequest, sample: Sample) -> HttpResponse:
    try:
        review = UUID(request.POST.get("review", ""))
    except ValueError:
        raise BadField("review", "Say which of your reviews: the page's buttons do.") from None
    if not Review.objects.filter(pk=review, sample=sample, reviewer=person_of(request)).exists():
        raise Http404("No review of yours in this sample.")
    try:
        reflect(review, request.POST.get("criterion", ""), request.POST.get("says", ""), person_of(request))
    except Review.DoesNotExist:
        raise Http404("No submitted review of yours.") from None
    # Where the next one without an answer stands now: at the top.
    return redirect(f"{reverse('differences', args=[sample.feature.slug, sample.pk])}#mine")
