"""The dashboard's numbers as a file."""

from datetime import UTC, datetime

import msgspec
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from features.pages import page
from features.queries import feature_for
from features.window import parse_window
from traces.dashboard import numbers_csv, numbers_json, read_step


@page
@require_safe
def take_away(request: HttpRequest, slug: str, form: str) -> HttpResponse:
    """The numbers of a window and of each of its steps, as `csv` or `json`: those that the page shows for the same
    parameters.
    """
    feature = feature_for(request.user, slug)
    window = parse_window(request.GET, datetime.now(UTC))
    step = read_step(request.GET.get("step") or "", window)
    if form == "csv":
        response = HttpResponse(numbers_csv(feature, window, step), content_type="text/csv; charset=utf-8")
    else:
        body = msgspec.json.encode(numbers_json(feature, window, step))
        response = HttpResponse(body, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{feature.slug}-numbers.{form}"'
    return response
