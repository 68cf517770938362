"""What I decided, how a feature's requests go, and who stands in for me while I am away."""

import csv
import io
from datetime import UTC, datetime

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals.inbox_views import read_uuid
from approvals.insights import ENOUGH, insights
from approvals.models import Absence, Vote
from approvals.present import title_of
from approvals.queries import PAGE, stage_of
from approvals.services.absence import back_again, go_away
from features.clock import clock
from features.forms import Form
from features.identity.sessions import session_mark
from features.models import Person
from features.pages import page, person_of
from features.queries import feature_for, features_for
from features.window import parse_window

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = "action held approved edited rejected expired ended pending decided median p95".split()


@page
@require_safe
def my_decisions(request: HttpRequest) -> HttpResponse:
    """My votes, the newest first."""
    person, now = person_of(request), clock()
    found = Vote.objects.filter(person=person, request__feature__in=features_for(person))
    if before := read_uuid(request.GET.get("before", ""), "before"):
        found = found.filter(pk__lt=before)
    votes = list(found.select_related("request__decision", "request__feature").order_by("-id")[: PAGE + 1])
    lines = [(one, title_of(one.request.action), stage_of(one.request, now)) for one in votes[:PAGE]]
    context = {"lines": lines, "next": votes[PAGE - 1].pk if len(votes) > PAGE else None}
    return render(request, "approvals/mine.html", context)


@page
@require_safe
def insights_page(request: HttpRequest, slug: str) -> HttpResponse:
    """How a feature's requests went over a window."""
    feature = feature_for(request.user, slug)
    window = parse_window(request.GET, datetime.now(UTC))
    context = {
        "feature": feature,
        "window": window,
        "found": insights(feature, window),
        "enough": ENOUGH,
        "query": request.GET.urlencode(),
    }
    return render(request, "approvals/insights.html", context)


@page
@require_safe
def insights_csv(request: HttpRequest, slug: str) -> HttpResponse:
    """The figures by action as CSV (RFC 4180); a cell that would be a formula gets an apostrophe."""
    feature = feature_for(request.user, slug)
    found = insights(feature, parse_window(request.GET, datetime.now(UTC)))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for row in found.actions:
        cells = ["" if row[name] is None else str(row[name]) for name in _COLUMNS]
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    answer = HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{feature.slug}-approvals.csv"'
    return answer


class AwayForm(Form):
    """Who stands in, and until when."""

    deputy = forms.CharField(
        label="Deputy's login",
        max_length=64,
        help_text="They get my notices too. They decide only what they may decide anyway.",
        widget=forms.TextInput({"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    days = forms.ChoiceField(
        label="For",
        choices=[("1", "a day"), ("3", "3 days"), ("7", "a week"), ("14", "2 weeks"), ("30", "30 days")],
    )

    def clean_deputy(self) -> Person:
        found = Person.objects.filter(name=self.cleaned_data["deputy"], is_active=True).first()
        if found is None:
            raise forms.ValidationError("Nobody with this login has an account here.")
        return found


@page
@require_http_methods(["GET", "HEAD", "POST"])
def away(request: HttpRequest) -> HttpResponse:
    """Being away: my notices go to a deputy as well. A right never moves."""
    person = person_of(request)
    form = AwayForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if form.cleaned_data["deputy"].pk == person.pk:
            form.add_error("deputy", "Choose somebody else.")
        else:
            go_away(
                person, form.cleaned_data["deputy"], int(form.cleaned_data["days"]), session_mark(request)
            )
            messages.success(request, f"{form.cleaned_data['deputy']} gets your notices of approvals too.")
            return redirect("away")
    now = clock()
    context = {
        "form": form,
        "mine": Absence.objects.filter(person=person, until__gt=now).select_related("deputy").first(),
        "for_me": Absence.objects.filter(deputy=person, until__gt=now).select_related("person"),
    }
    return render(request, "approvals/away.html", context, status=400 if form.errors else 200)


@page
@require_POST
def away_end(request: HttpRequest) -> HttpResponse:
    """Back again."""
    back_again(person_of(request), session_mark(request))
    return redirect("away")
