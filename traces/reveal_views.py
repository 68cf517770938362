"""Personal data behind tokens: showing it on a trace, erasing a person's."""

from datetime import UTC, datetime, timedelta

import msgspec
from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from features.errors import ClearanceError
from features.forms import Form
from features.identity.sessions import session_mark
from features.identity.step_up import step_up
from features.models import Feature
from features.pages import page, person_of
from features.queries import feature_for, roles_on
from features.views import led_by_me
from traces.present.text import line
from traces.queries import TraceDetail, find_trace
from traces.redact import short
from traces.vault import SHORTEST_REASON, erase, kept_tokens, reveal, tokens_in

# Whoever finds an incident's cause or answers for the feature; the others work with tokens.
MAY_REVEAL = frozenset({"lead", "on_call"})
SHOWN_SECONDS = 60


class RevealForm(Form):
    """What to show, and why."""

    reason = forms.CharField(
        label="Why you need it",
        min_length=SHORTEST_REASON,
        max_length=500,
        help_text="Such as: customer called about ticket 4711. It is kept with your name.",
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    tokens = forms.MultipleChoiceField(label="Show", error_messages={"required": "Choose at least one."})


class EraseForm(Form):
    """Whose data, by its tokens."""

    tokens = forms.CharField(
        label="Tokens",
        max_length=20_000,
        help_text="One a line, in full, such as [email:7f3a1c9e2b4d6f8090ab]: a trace's raw span shows them.",
        widget=forms.Textarea({"rows": 5, "spellcheck": "false"}),
    )
    confirm = forms.CharField(
        label="The feature's slug",
        max_length=63,
        widget=forms.TextInput({"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )


def may_reveal(request: HttpRequest, feature: Feature) -> bool:
    """Whether the person may be shown what tokens stand for."""
    return bool(MAY_REVEAL & roles_on(request.user, feature))


@page
@require_http_methods(["GET", "HEAD", "POST"])
@step_up
def reveal_page(request: HttpRequest, slug: str, id: str) -> HttpResponse:
    """GET: what of this trace can be shown. POST: shows it, once and for a minute, and records who saw it and why."""
    feature = feature_for(request.user, slug)
    if not may_reveal(request, feature):
        raise PermissionDenied("Only the feature's lead and on-call may see personal data.")
    detail = find_trace([feature], id)
    if detail is None:
        raise Http404(f"No trace {id[:200]} of this feature.")
    tokens = kept_tokens(feature, _tokens_of(detail))
    form = RevealForm(request.POST or None)
    form.fields["tokens"].choices = [(token, short(token)) for token in tokens]  # type: ignore[attr-defined]
    context = {"feature": feature, "id": id, "trace": detail.trace, "form": form, "kinds": _kinds(tokens)}
    if request.method == "POST" and form.is_valid():
        try:
            found = reveal(
                feature=feature,
                trace_id=detail.settled.trace_id,
                tokens=form.cleaned_data["tokens"],
                reason=form.cleaned_data["reason"],
                by=person_of(request),
                session=session_mark(request),
            )
        except ClearanceError as error:
            form.refuse(error)
        else:
            until = datetime.now(UTC) + timedelta(seconds=SHOWN_SECONDS)
            context |= {
                "shown": [(token, line(value, 500)) for token, value in found.items()],
                "until": until,
            }
            answer = render(request, "traces/reveal.html", context)
            answer.headers["Refresh"] = f"{SHOWN_SECONDS}; url={reverse('trace', args=[feature.slug, id])}"
            return answer
    return render(request, "traces/reveal.html", context, status=400 if form.errors else 200)


@page
@require_http_methods(["GET", "HEAD", "POST"])
@step_up
def erase_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Erase what a person's tokens stand for (leads), confirmed by the feature's slug."""
    feature = led_by_me(request, slug)
    form = EraseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if form.cleaned_data["confirm"].strip() != feature.slug:
            form.add_error("confirm", f"This is not the feature's slug. Type {feature.slug}")
        else:
            try:
                erased = erase(
                    feature=feature, tokens=form.cleaned_data["tokens"].split("\n"), by=person_of(request)
                )
            except ClearanceError as error:
                form.refuse(error)
            else:
                messages.success(
                    request, f"{erased} erased. What comes under these tokens is not kept any more."
                )
                return redirect("settings", feature.slug)
    context = {"feature": feature, "form": form}
    return render(request, "traces/erase.html", context, status=400 if form.errors else 200)


def _tokens_of(detail: TraceDetail) -> list[str]:
    return tokens_in([msgspec.json.encode(span).decode() for span in detail.spans])


def _kinds(tokens: list[str]) -> str:
    kinds = sorted({token[1:].partition(":")[0] for token in tokens})
    return ", ".join(kinds)
