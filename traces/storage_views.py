"""The pages of storage, and holding a trace beyond its retention by a person's word."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from features.errors import ClearanceError
from features.forms import Form
from features.identity.sessions import session_mark
from features.identity.step_up import step_up
from features.models import Feature
from features.pages import page, person_of
from features.queries import feature_for, features_for, roles_on
from traces.holds import KIND_WORDS, SHORTEST_REASON, hold_trace, holds_on, newest_holds, release_hold
from traces.models import Hold
from traces.present.text import line
from traces.queries import find_trace, ingest_receipts
from traces.storage import feature_days, installation_sizes, kept_of, latest_runs, next_drop

_HOLDS = 100
_RECEIPTS = 10


class HoldForm(Form):
    """Why a trace is held."""

    reason = forms.CharField(
        label="Why it must stay",
        min_length=SHORTEST_REASON,
        max_length=500,
        help_text="Such as: claim of a customer, ticket 4711. It is kept with your name.",
        widget=forms.TextInput({"autocomplete": "off"}),
    )


class ReleaseForm(Form):
    """Why a hold ends, confirmed by the trace."""

    reason = forms.CharField(
        label="Why it may go",
        min_length=SHORTEST_REASON,
        max_length=500,
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    confirm = forms.CharField(
        label="The first eight digits of the trace ID",
        max_length=32,
        widget=forms.TextInput({"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )


@page
@require_safe
def storage(request: HttpRequest) -> HttpResponse:
    """How long my features' requests are kept; for administrators, what the installation takes, by day."""
    person, now = person_of(request), datetime.now(UTC)
    mine = list(features_for(person))
    context: dict[str, object] = {"kept": kept_of(mine, now), "longest": settings.RETENTION_DAYS}
    if person.is_administrator:
        sizes = installation_sizes(now)
        context |= {"sizes": sizes, "next": next_drop(sizes.days), "runs": latest_runs(None)}
    return render(request, "traces/storage.html", context)


@page
@require_safe
def feature_storage(request: HttpRequest, slug: str) -> HttpResponse:
    """What is kept of a feature, how long and by whose word; what is held and why; what went and what came."""
    feature, now = feature_for(request.user, slug), datetime.now(UTC)
    holds, held = newest_holds([feature], _HOLDS)
    context = {
        "feature": feature,
        "kept": kept_of([feature], now)[0],
        "longest": settings.RETENTION_DAYS,
        "days": feature_days(feature, now),
        "holds": [_shown(hold) for hold in holds],
        "held": held,
        "runs": latest_runs(feature),
        "receipts": ingest_receipts(feature, _RECEIPTS),
        "may_hold": may_hold(request, feature),
    }
    return render(request, "traces/storage_feature.html", context)


def may_hold(request: HttpRequest, feature: Feature) -> bool:
    """Whether the person may hold traces by law and release such holds."""
    return "lead" in roles_on(request.user, feature)


def _shown(hold: Hold) -> dict[str, object]:
    return {
        "row": hold,
        "trace_id": bytes(hold.trace_id).hex(),
        "words": KIND_WORDS[Hold.Kind(hold.kind)],
        "reason": line(hold.reason, 500),
        "reference": line(hold.reference, 100),
        "legal": hold.kind == Hold.Kind.LEGAL,
    }


def trace_holds(request: HttpRequest, detail: Any) -> Mapping[str, object] | None:
    """The trace page's part: what holds it, and for leads the way to hold it."""
    holds = holds_on(detail.feature.pk, detail.settled.trace_id)
    may = may_hold(request, detail.feature)
    if not holds and not may:
        return None
    return {
        "feature": detail.feature,
        "trace_id": detail.settled.trace_id.hex(),
        "holds": [_shown(hold) for hold in holds],
        "held_by_law": any(hold.kind == Hold.Kind.LEGAL for hold in holds),
        "may_hold": may,
    }


@page
@require_http_methods(["GET", "HEAD", "POST"])
def hold_page(request: HttpRequest, slug: str, id: str) -> HttpResponse:
    """Hold a trace beyond its retention (leads), with a reason; by its trace ID also before it has arrived."""
    feature = feature_for(request.user, slug)
    if not may_hold(request, feature):
        raise PermissionDenied("Only the feature's lead holds traces.")
    trace_id, settled = _trace_id(feature, id)
    form = HoldForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            hold_trace(
                feature=feature,
                trace_id=trace_id,
                kind=Hold.Kind.LEGAL,
                reason=form.cleaned_data["reason"],
                by=person_of(request),
                session=session_mark(request),
            )
        except ClearanceError as error:
            form.refuse(error)
        else:
            messages.success(request, "This trace is held until the hold is released.")
            return redirect("trace", feature.slug, id) if settled else redirect("feature_storage", slug)
    context = {
        "feature": feature,
        "id": id,
        "asked": line(id, 64),
        "settled": settled,
        "form": form,
        "holds": [_shown(hold) for hold in holds_on(feature.pk, trace_id)],
    }
    return render(request, "traces/hold.html", context, status=400 if form.errors else 200)


def _trace_id(feature: Feature, text: str) -> tuple[bytes, bool]:
    """(the trace's ID, whether it is settled); Http404 for what is neither a trace of the feature nor a trace ID."""
    if (found := find_trace([feature], text)) is not None:
        return found.settled.trace_id, True
    if len(text) == 32 and all(character in "0123456789abcdef" for character in text):
        return bytes.fromhex(text), False
    raise Http404(f"No trace {text[:200]} of this feature.")


@page
@require_http_methods(["GET", "HEAD", "POST"])
@step_up
def release_page(request: HttpRequest, slug: str, hold: UUID) -> HttpResponse:
    """Release a legal hold (leads), with a reason, confirmed by the trace's ID."""
    feature = feature_for(request.user, slug)
    if not may_hold(request, feature):
        raise PermissionDenied("Only the feature's lead releases holds.")
    row = Hold.objects.filter(pk=hold, feature=feature, kind=Hold.Kind.LEGAL).first()
    if row is None:
        raise Http404("This feature has no such hold.")
    form = ReleaseForm(request.POST or None)
    shown = _shown(row)
    start = str(shown["trace_id"])[:8]
    if request.method == "POST" and form.is_valid():
        if not form.cleaned_data["confirm"].strip().lower().startswith(start):
            form.add_error("confirm", f"These are not its first digits. Type {start}")
        else:
            try:
                release_hold(
                    hold=row,
                    reason=form.cleaned_data["reason"],
                    by=person_of(request),
                    session=session_mark(request),
                )
            except ClearanceError as error:
                form.refuse(error)
            else:
                messages.success(request, f"The hold on {start} is released.")
                return redirect("feature_storage", feature.slug)
    context = {"feature": feature, "hold": shown, "start": start, "form": form}
    return render(request, "traces/release.html", context, status=400 if form.errors else 200)
