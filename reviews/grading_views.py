"""One request to grade: its conversation beside the rubric, and the forms by which it is graded, skipped, flagged and
taken back. What was typed comes back with every refusal.
"""

import uuid
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from features.clock import clock
from features.errors import ClearanceError, ConflictError
from features.identity.sessions import session_mark
from features.models import Person
from features.pages import page, person_of
from features.plain_form import plain_form
from features.queries import roles_on
from reviews.desk import (
    LOOKED_AT,
    answers_of,
    asked_of,
    kept_draft,
    latest_of,
    own_review,
    progress_in,
    read_draft,
    revealed,
    words_of,
)
from reviews.models import FLAGS, Review
from reviews.present import Talk, talk
from reviews.queries import MAY_GRADE, rubric_of
from reviews.queue_views import see, to_next
from reviews.services import flag, save_draft, skip, submit, take_back
from reviews.services.calibrating import BAR
from reviews.services.claiming import MayNotGrade, has_place
from reviews.services.flagging import trace_of
from reviews.services.grading import Draft, DraftChanged
from traces.queries import find_trace, session_before
from traces.trace_views import varied, wants

_EARLIER = 3  # requests of the session, where the request does not carry its history itself
FLAG_WORDS = {
    "violation": "it breaks a rule",
    "pii": "personal data stands in it",
    "case": "make it an eval case",
    "incident": "open an incident",
}
assert tuple(FLAG_WORDS) == FLAGS
SKIP_REASONS = (
    "in a language that I do not read",
    "I know the person",
    "I cannot judge this subject",
    "content is missing",
)


@page
@require_safe
def review(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """The page on which a request is graded; afterwards, what I gave it."""
    found = own_review(person_of(request), review_id)
    if found.state != "claimed":
        return _graded(request, found)
    if not MAY_GRADE & roles_on(found.reviewer, found.sample.feature):
        raise MayNotGrade("not_allowed", "Only a reviewer or a lead grades.")
    if wants(request, "talk"):
        return varied(render(request, "reviews/grade.html#talk", _talk(request, found)))
    return varied(_page(request, found))


def _talk(request: HttpRequest, found: Review) -> dict[str, object]:
    """What the user said and saw. None: the content is gone, erased at somebody's request."""
    chosen = request.POST.get("view", "") or request.GET.get("view", "")
    markup = chosen == "formatted"
    detail = find_trace([found.sample.feature], trace_of(found).hex())
    shown: Talk | None = None
    if detail is not None and detail.spans:
        shown = talk(detail.spans, session_before(detail.trace, _EARLIER), markup=markup)
    return {"talk": shown, "markup": markup}


def _page(
    request: HttpRequest,
    found: Review,
    error: ClearanceError | None = None,
    typed: Draft | None = None,
) -> HttpResponse:
    """The page; with an error it says so, keeps what was typed, and has the error's status."""
    rubric = rubric_of(found.sample.rubric)
    draft = kept_draft(found) if typed is None else typed
    asked = asked_of(rubric.criteria, draft, error)
    last = next(iter(latest_of(found.reviewer, 1, found.sample)), None)
    context = {
        "review": found,
        "sample": found.sample,
        "feature": found.sample.feature,
        "words": words_of(found.sample),
        "rubric": rubric,
        "asked": asked,
        "draft": draft,
        "progress": progress_in(found.sample, found.reviewer),
        "last": last if last and not revealed(last) else None,
        "flags": {one.kind: one.note for one in found.flags.all()},
        "flag_kinds": FLAG_WORDS,
        "skip_reasons": SKIP_REASONS,
        # What the browser still holds of these has arrived, or was given up.
        "done": [one for one in (last, found if "theirs" in request.GET else None) if one],
        "typed": request.POST,
        "error": error if error and error.code not in _BANNERS else None,
        **_saved(found, error),
        **_talk(request, found),
    }
    return render(request, "reviews/grade.html", context, status=error.status if error else 200)


# Refusals that the line beside the title says itself.
_BANNERS = frozenset({"draft_changed", "lease_lost", "closed"})


def _saved(found: Review, error: ClearanceError | None, posted: str = "") -> dict[str, object]:
    """What the line beside the title says: saved when, or why not; and what the next save has to say."""
    now = clock()
    problem = error.code if error else ""
    if error is None and found.state == "claimed":
        if found.sample.closed_at is not None or found.sample.closes_at <= now:
            problem = "closed"
        elif found.item is not None and not has_place(found, found.item, now):
            problem = "lease_lost"
    behind = isinstance(error, DraftChanged)
    return {
        "problem": problem,
        "problem_words": str(error) if error else "",
        # Over a newer draft of another tab nothing is saved by itself.
        "revision": posted if behind and posted else found.revision,
        "newest": found.revision,
        "tab": uuid.uuid4().hex,
        "saved_at": now,
    }


@never_cache
@require_POST
def review_draft(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Keep what is typed. To htmx: the line that says so, with the revision for the next save; else the page."""
    if not getattr(request, "htmx", False):
        answer = _draft_by_form(request, review_id)
        assert isinstance(answer, HttpResponse)
        return answer
    context: dict[str, object] = {"review_id": review_id, "login": settings.LOGIN_URL}
    if not isinstance(request.user, Person):
        context |= {"problem": "signed_out", "revision": request.POST.get("revision", "")}
        return render(request, "reviews/saved.html", context, status=401)
    error: ClearanceError | None = None
    try:
        found = own_review(request.user, review_id)
        draft, revision = read_draft(request.POST)
        save_draft(review_id, draft, revision, request.user)
    except Http404:
        context |= {"problem": "gone", "revision": request.POST.get("revision", "")}
        return render(request, "reviews/saved.html", context, status=404)
    except ClearanceError as refused:
        error = refused
    found = own_review(request.user, review_id)
    context |= {
        "review": found,
        "sample": found.sample,
        **_saved(found, error, request.POST.get("revision", "")),
    }
    return render(request, "reviews/saved.html", context, status=error.status if error else 200)


@page
@plain_form
def _draft_by_form(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """The button that saves, for browsers without scripts and for the one of two tabs that shall stand."""
    person = person_of(request)
    found = own_review(person, review_id)
    draft, revision = read_draft(request.POST)
    try:
        save_draft(review_id, draft, revision, person)
    except ClearanceError as error:
        return _again(request, found, error, draft)
    return see("review", review_id, keep=_formatted(request))


@page
@require_POST
@plain_form
def review_submit(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Give the grades and go on to the next request; to the agreed ones where a gold item showed one below the bar."""
    person = person_of(request)
    found = own_review(person, review_id)
    draft, revision = read_draft(request.POST)
    try:
        done = submit(review_id, draft, revision, person, session_mark(request))
    except ClearanceError as error:
        if error.code == "submitted":  # pressed twice
            return to_next(request, found.sample)
        return _again(request, found, error, draft)
    if done.gold is not None and revealed(done):
        return see("review", review_id)
    return to_next(request, found.sample)


@page
@require_POST
@plain_form
def review_skip(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Leave it to another reviewer, with what was typed kept, and go on."""
    person = person_of(request)
    found = own_review(person, review_id)
    draft, revision = read_draft(request.POST)
    chips = [one for one in request.POST.getlist("chip") if one in SKIP_REASONS]
    reason = ", ".join(filter(None, [*chips, request.POST.get("reason", "").strip()]))
    try:
        _keep(found, draft, revision)
        skip(review_id, reason, person, session_mark(request))
    except ClearanceError as error:
        if error.code == "submitted":
            return to_next(request, found.sample)
        return _again(request, found, error, draft)
    return to_next(request, found.sample)


def _keep(found: Review, draft: Draft, revision: int) -> None:
    """Save what was typed with an act that needs no place of its own."""
    try:
        save_draft(found.pk, draft, revision, found.reviewer)
    except ConflictError as error:
        if error.code != "lease_lost":
            raise


@page
@require_POST
@plain_form
def review_flag(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Raise something about the request; grading goes on."""
    person = person_of(request)
    found = own_review(person, review_id)
    draft, revision = read_draft(request.POST)
    kind = request.POST.get("kind", "")
    try:
        if found.state == "claimed":
            _keep(found, draft, revision)
        flag(review_id, kind, request.POST.get("flag_note", ""), person, session_mark(request))
    except ClearanceError as error:
        return _again(request, found, error, draft)
    messages.success(
        request, f"Flagged: {FLAG_WORDS[kind]}. Who is concerned was told; go on with the grades."
    )
    return see("review", review_id, keep=_formatted(request))


def _again(request: HttpRequest, found: Review, error: ClearanceError, draft: Draft) -> HttpResponse:
    """The page once more, with what is wrong and with what was typed."""
    if error.status == 403:
        raise error
    found = own_review(found.reviewer, found.pk)  # its draft may have been saved
    if found.state != "claimed":
        return see("review", found.pk)
    return _page(request, found, error, draft)


def _formatted(request: HttpRequest) -> bool:
    return request.POST.get("view", "") == "formatted"


def _graded(request: HttpRequest, found: Review) -> HttpResponse:
    """What I gave, or why I skipped it; beside the agreed grades where it showed me below the bar."""
    standing = revealed(found)
    sample = found.sample
    is_open = sample.closed_at is None and sample.closes_at > clock()
    context = {
        "review": found,
        "sample": sample,
        "feature": sample.feature,
        "words": words_of(sample),
        "rubric": rubric_of(sample.rubric),
        "answers": answers_of(found, with_agreed=standing is not None),
        "draft": kept_draft(found),
        "flags": [FLAG_WORDS[one.kind] for one in found.flags.all()],
        "standing": standing,
        "bar": BAR,
        "looked_at": LOOKED_AT,
        "open": is_open,
        "may_take_back": is_open and standing is None,
        "trace": reverse("trace", args=[sample.feature.slug, trace_of(found).hex()]),
        **_talk(request, found),
    }
    template = "reviews/differs.html" if standing else "reviews/graded.html"
    return render(request, template, context)


@page
@require_POST
@plain_form
def review_take_back(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """My submit or skip back: its grades are a draft again."""
    person = person_of(request)
    found = own_review(person, review_id)
    try:
        if revealed(found):
            raise ConflictError("revealed", "You have seen the agreed grades: what you gave stands.")
        take_back(review_id, person, session_mark(request))
    except ClearanceError as error:
        if error.status == 403:
            raise
        if error.code != "open":
            messages.warning(request, str(error), extra_tags="warn")
    return see("review", review_id, keep=_formatted(request))
