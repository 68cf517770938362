"""What grades are held against: gold items, and judges against people."""

from django.contrib import messages
from django.db.models import Avg, Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from features.errors import ClearanceError
from features.identity.sessions import session_mark
from features.pages import page, person_of
from features.plain_form import plain_form
from features.queries import feature_for
from features.views import led_by_me
from reviews.judges import judges_of
from reviews.models import GoldItem
from reviews.queries import rubric_in_force, rubric_of
from reviews.services import add_gold, retire_gold
from reviews.services.calibrating import BAR, FIRST, LOOKED_AT
from traces.queries import locate


@page
@require_http_methods(["GET", "HEAD", "POST"])
@plain_form
def gold(request: HttpRequest, slug: str) -> HttpResponse:
    """The gold items of the rubric in force, for leads: whoever sees this page knows the answers. POST adds one."""
    feature = led_by_me(request, slug)
    version = rubric_in_force(feature)
    error: ClearanceError | None = None
    if request.method == "POST":
        try:
            if version is None:
                raise ClearanceError("rubric", "Publish a rubric first: gold items belong to a version.")
            found = locate([feature], request.POST.get("trace", "").strip())
            grades = {
                one.key: int(text)
                for one in rubric_of(version).criteria
                if (text := request.POST.get(f"grade.{one.key}", "")).isascii() and text.isdigit()
            }
            add_gold(
                feature,
                bytes(found[0].trace_id) if found else b"",
                version,
                grades,
                request.POST.get("because", ""),
                person_of(request),
                session_mark(request),
            )
        except ClearanceError as refused:
            error = refused
        else:
            messages.success(request, "Added. It is handed out among the others from now on.")
            return redirect("gold", feature.slug)
    items = (
        GoldItem.objects.filter(feature=feature)
        .select_related("rubric", "added_by")
        .annotate(
            graded=Count("reviews", filter=Q(reviews__state="submitted")),
            agreed=Avg("reviews__gold_agreement", filter=Q(reviews__state="submitted")),
        )
        .order_by("retired_at", "-added_at")
    )
    context = {
        "feature": feature,
        "version": version,
        "rubric": rubric_of(version) if version else None,
        "items": [(item, bytes(item.trace_id).hex(), _words(item)) for item in items],
        "error": error,
        "typed": request.POST,
        "first": FIRST,
        "bar": BAR,
        "looked_at": LOOKED_AT,
        "trace": request.POST.get("trace") or request.GET.get("trace", ""),
    }
    return render(request, "reviews/gold.html", context, status=error.status if error else 200)


def _words(item: GoldItem) -> list[str]:
    """`Tone 4`, with the label of the value where it has one."""
    said = []
    for one in rubric_of(item.rubric).criteria:
        if (number := item.grades.get(one.key)) is not None:
            label = one.values[number - 1].label
            said.append(f"{one.name} {number}{f' ({label})' if label else ''}")
    return said


@page
@require_POST
@plain_form
def gold_retire(request: HttpRequest, slug: str, gold_id: str) -> HttpResponse:
    """Hand a gold item out no more."""
    feature = led_by_me(request, slug)
    item = get_object_or_404(GoldItem.objects.select_related("rubric"), pk=gold_id, feature=feature)
    retire_gold(item, person_of(request), session_mark(request))
    messages.success(request, "Retired. What was graded on it stays.")
    return redirect("gold", feature.slug)


@page
@require_safe
def judges(request: HttpRequest, slug: str) -> HttpResponse:
    """Each LLM judge whose grades were imported, held against people's."""
    feature = feature_for(request.user, slug)
    return render(
        request,
        "reviews/judges.html",
        {"feature": feature, "judges": judges_of(feature), "version": rubric_in_force(feature)},
    )
