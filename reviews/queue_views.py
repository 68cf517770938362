"""My queue: the open samples of my features, what I submitted, and the next request."""

from uuid import UUID

import msgspec
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from features.errors import ClearanceError
from features.pages import page, person_of
from features.plain_form import plain_form
from features.queries import features_for
from reviews.desk import Progress, latest_of, progress_of, revealed, words_of
from reviews.models import Review, Sample
from reviews.queries import Waiting, features_to_grade, rubric_of, waiting
from reviews.services import claim

_LATEST = 10


class Line(msgspec.Struct, frozen=True):
    """An open sample of the queue."""

    waiting: Waiting
    progress: Progress
    words: str


class Done(msgspec.Struct, frozen=True):
    """A review that is submitted or skipped, with what was answered, and whether it can be taken back."""

    review: Review
    words: str
    answered: str
    open: bool


@page
@require_safe
def reviews(request: HttpRequest) -> HttpResponse:
    """What is left for me to grade, over all my features, and what I did last."""
    person = person_of(request)
    features = list(features_to_grade(person))
    lines = [Line(one, progress_of(one), words_of(one.sample)) for one in waiting(person, features)]
    open_ones = {line.waiting.sample.pk for line in lines}
    done = [
        Done(one, words_of(one.sample), _answered(one), one.sample.pk in open_ones and not revealed(one))
        for one in latest_of(person, _LATEST)
    ]
    context = {
        "lines": lines,
        "done": done,
        "reviews_any": bool(features),
        "undo": next((one for one in done[:1] if one.open), None),
    }
    return render(request, "reviews/queue.html", context)


def _answered(review: Review) -> str:
    """`Task done 3, Tone 4`, in the rubric's order."""
    grades = review.draft.get("grades", {})
    criteria = rubric_of(review.sample.rubric).criteria
    return ", ".join(f"{one.name} {grades[one.key]}" for one in criteria if one.key in grades)


@page
@require_POST
@plain_form
def next_review(request: HttpRequest, sample_id: UUID) -> HttpResponse:
    """Claim the next request of a sample and go there."""
    person = person_of(request)
    sample = (
        Sample.objects.filter(pk=sample_id, feature__in=features_for(person))
        .select_related("feature", "rubric")
        .first()
    )
    if sample is None:
        raise Http404("No such sample, or none that you may see.")
    return to_next(request, sample)


def to_next(request: HttpRequest, sample: Sample) -> HttpResponse:
    """On to the person's next request of a sample; to the queue when none is left, or when it was closed meanwhile.
    Raises MayNotGrade.
    """
    person = person_of(request)
    try:
        review = claim(sample, person)
    except ClearanceError as error:
        if error.code != "closed":
            raise
        messages.warning(request, str(error), extra_tags="warn")
        return see("reviews")
    if review is None:
        messages.success(
            request,
            f"Nothing of {words_of(sample)} of {sample.feature.name} is left for you. When it closes, you see where "
            "your grades and another's differ.",
        )
        return see("reviews")
    return see("review", review.pk, keep=request.POST.get("view", "") == "formatted")


def see(name: str, *args: object, keep: bool = False) -> HttpResponse:
    """303 to a page; `keep`: with text formatted, as it was."""
    response = redirect(reverse(name, args=args) + ("?view=formatted" if keep else ""))
    response.status_code = 303
    return response
