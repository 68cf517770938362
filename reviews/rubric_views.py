"""A feature's rubric: the version in force as reviewers see it, and the draft of the next."""

from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from features.errors import ClearanceError
from features.identity.sessions import session_mark
from features.models import Feature
from features.pages import page, person_of
from features.plain_form import plain_form
from features.problems import BadField
from features.queries import feature_for, roles_on
from features.views import led_by_me
from reviews.models import Reflection, RubricDraft, RubricVersion
from reviews.queries import rubric_in_force, rubric_of
from reviews.rubric import DEFAULT, SCALES, Rubric, RubricFault, UnreadableRubric, read_rubric
from reviews.rubric.form import MOST, changed, document_of, general, rows_of
from reviews.services import discard_draft, publish, save_rubric_draft


@page
@require_safe
def rubric(request: HttpRequest, slug: str) -> HttpResponse:
    """The rubric in force, or the version of `?version=`, and who found which anchor unclear."""
    feature = feature_for(request.user, slug)
    versions = list(
        RubricVersion.objects.filter(feature=feature).select_related("published_by").order_by("-number")
    )
    shown = versions[0] if versions else None
    if asked := request.GET.get("version", ""):
        shown = next((one for one in versions if str(one.number) == asked), None)
        if shown is None:
            raise Http404("There is no such version.")
    unclear = Reflection.objects.filter(review__sample__feature=feature, says="unclear")
    context = {
        "feature": feature,
        "rubric": rubric_of(shown) if shown else DEFAULT,
        "version": shown,
        "versions": versions,
        "draft": RubricDraft.objects.filter(feature=feature).select_related("edited_by").first(),
        "may_edit": "lead" in roles_on(request.user, feature),
        "unclear": {
            row["criterion"]: row["n"] for row in unclear.values("criterion").annotate(n=Count("pk"))
        },
    }
    return render(request, "reviews/rubric.html", context)


@page
@require_http_methods(["GET", "HEAD", "POST"])
@plain_form
def rubric_draft(request: HttpRequest, slug: str) -> HttpResponse:
    """The draft of the next version; POST saves it (leads), adds, moves or removes a criterion, publishes it, or throws
    it away.
    """
    if request.method != "POST":
        feature = led_by_me(request, slug)
        found = RubricDraft.objects.filter(feature=feature).select_related("edited_by").first()
        return _draft_page(request, feature, found.document if found else _starting(feature), found)
    feature = led_by_me(request, slug)
    act, revision = request.POST.get("act", "save"), request.POST.get("revision", "")
    if not (revision.isascii() and revision.isdigit() and len(revision) < 9):
        raise BadField("revision", "The form holds the revision that it was made from.")
    if act == "discard":
        discard_draft(feature)
        messages.success(request, "The draft is gone; the rubric in force is as it was.")
        return redirect("rubric", feature.slug)
    document = changed(document_of(request.POST.dict()), act)
    try:
        saved = save_rubric_draft(feature, document, int(revision), person_of(request))
        if act == "publish":
            version = publish(feature, read_rubric(document), person_of(request), session_mark(request))
            messages.success(
                request, f"Rubric {version.number} is in force. Samples drawn before keep the one they have."
            )
            return redirect("rubric", feature.slug)
    except ClearanceError as error:
        found = RubricDraft.objects.filter(feature=feature).select_related("edited_by").first()
        return _draft_page(request, feature, document, found, error)
    if act == "save":
        messages.success(request, "Saved. It is not in force yet.")
    place = f"#criterion-{len(saved.document['criteria'])}" if act == "add" else ""
    return redirect(f"{request.path}{place}")


@page
@require_POST
def rubric_check(request: HttpRequest, slug: str) -> HttpResponse:
    """The preview of what is typed, and what is wrong with it; nothing is kept."""
    feature = led_by_me(request, slug)
    context = {"feature": feature, **_judged(document_of(request.POST.dict()))}
    return render(request, "reviews/rubric_draft.html#preview", context)


def _judged(document: dict[str, Any]) -> dict[str, Any]:
    rubric: Rubric | None = None
    faults: list[RubricFault] = []
    try:
        rubric = read_rubric(document)
    except UnreadableRubric as error:
        faults = error.faults
    return {
        "rubric": rubric,
        "faults": faults,
        "rows": rows_of(document, faults),
        "general": general(faults),
        "guideline": document.get("guideline", ""),
    }


def _draft_page(
    request: HttpRequest,
    feature: Feature,
    document: dict[str, Any],
    draft: RubricDraft | None,
    error: ClearanceError | None = None,
) -> HttpResponse:
    context = {
        "feature": feature,
        "draft": draft,
        "error": None if isinstance(error, UnreadableRubric) else error,
        # Saved once more it is written over what somebody else saved: the notice has said so.
        "revision": draft.revision if draft else 0,
        "in_force": rubric_in_force(feature),
        "scales": SCALES.items(),
        "may_add": len(document.get("criteria", ())) < MOST,
        **_judged(document),
    }
    status = error.status if error else 200
    return render(request, "reviews/rubric_draft.html", context, status=status)


def _starting(feature: Feature) -> dict[str, Any]:
    version = rubric_in_force(feature)
    kept: dict[str, Any] = version.document if version else DEFAULT.kept()
    return kept
