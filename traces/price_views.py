"""The page of prices: everybody signed in reads it, administrators change it."""

from datetime import UTC, datetime

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from features.errors import ClearanceError
from features.forms import Form
from features.identity.step_up import step_up
from features.pages import page, person_of
from traces.models import Price, PriceChange
from traces.prices import checked, set_price


class PriceForm(Form):
    """One price; the service says what may stand in it."""

    model = forms.CharField(
        label="Model",
        max_length=200,
        help_text="A name, or the start of names with * at its end. The longest wins.",
    )
    valid_from = forms.CharField(
        label="From", max_length=10, help_text="The first day, UTC, such as 2026-01-31."
    )
    input = forms.CharField(label="Input", max_length=20, help_text="US dollars per million tokens.")
    cached_input = forms.CharField(
        label="Cached input", max_length=20, required=False, help_text="Left empty: as input."
    )
    output = forms.CharField(label="Output", max_length=20, help_text="Reasoning included.")
    source = forms.CharField(label="Source", max_length=200, help_text="Where the figure comes from.")


@page
@require_http_methods(["GET", "HEAD", "POST"])
@step_up
def prices(request: HttpRequest) -> HttpResponse:
    """What each model costs, from which day; POST sets a price (administrators)."""
    if request.method != "POST":
        return _page(request, PriceForm(initial={"valid_from": datetime.now(UTC).date().isoformat()}))
    person = person_of(request)
    if not person.is_administrator:
        raise PermissionDenied("Only administrators change prices.")
    form = PriceForm(request.POST)
    if form.is_valid():
        try:
            set_price(checked(**form.cleaned_data), person)
        except ClearanceError as error:
            form.refuse(error)
        else:
            return redirect("prices")
    return _page(request, form, status=400)


def _page(request: HttpRequest, form: PriceForm, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "prices": Price.objects.select_related("changed_by").order_by("model", "-valid_from"),
        "changes": PriceChange.objects.order_by("changed_at"),
        "may_change": person_of(request).is_administrator,
    }
    return render(request, "traces/prices.html", context, status=status)
