"""The way to a feature's first trace. The lists are in list_views, the page of one trace in trace_views."""

import asyncio

import msgspec
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods
from django_htmx.http import HttpResponseClientRedirect

from features.identity.step_up import step_up
from features.models import Feature
from features.pages import page, person_of
from features.queries import feature_for, roles_on
from features.services import create_key
from traces.models import IngestReceipt
from traces.queries import TraceRow, ingest_receipts, latest_trace

_WAIT_SECONDS = 25.0
_LOOK_EVERY_SECONDS = 1.0
_RECEIPTS = 10


# --- the first trace -------------------------------------------------------------------------------------


class Arrival(msgspec.Struct, frozen=True):
    """What has come for a feature so far: its latest trace, once one is settled, and the latest bodies."""

    trace: TraceRow | None
    receipts: list[IngestReceipt]

    @property
    def mark(self) -> str:
        """Changes when something new has come."""
        newest = self.receipts[0].pk if self.receipts else ""
        return f"{self.trace.trace_id if self.trace else ''}.{newest}"

    @property
    def refused(self) -> int:
        """How many of the latest bodies were refused, or in part."""
        return sum(1 for receipt in self.receipts if receipt.reason)


def _arrival(feature: Feature) -> Arrival:
    return Arrival(latest_trace(feature), ingest_receipts(feature, _RECEIPTS))


@page
@require_http_methods(["GET", "HEAD", "POST"])
@step_up
def start(request: HttpRequest, slug: str) -> HttpResponse:
    """How an agent sends traces. POST makes a key (leads), shown in this answer and nowhere else."""
    feature = feature_for(request.user, slug)
    may_make = "lead" in roles_on(request.user, feature)
    clear = ""
    if request.method == "POST":
        if not may_make:
            raise PermissionDenied("Only the feature's lead makes keys.")
        _, clear = create_key(
            feature=feature, scopes=["ingest", "read"], label="made on the start page", by=person_of(request)
        )
    context = {
        "feature": feature,
        "clear_key": clear,
        "may_make": may_make,
        "endpoint": settings.CLEARANCE_URL,
        "arrival": _arrival(feature),
    }
    return render(request, "traces/start.html", context)


@never_cache
@require_GET
async def start_wait(request: HttpRequest, slug: str) -> HttpResponse:
    """The start page's waiting part, answered when something new has come or after 25 s.

    `seen` is the mark of what the page shows. Nothing is held between looks: no connection, no thread.
    """

    loop = asyncio.get_running_loop()
    until = loop.time() + _WAIT_SECONDS
    while True:
        response = await sync_to_async(_look)(request, slug, loop.time() >= until)
        if response is not None:
            return response
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def _look(request: HttpRequest, slug: str, late: bool) -> HttpResponse | None:
    """The waiting part if it has news or is late, else None; access is asked for anew each time."""
    try:
        if not request.user.is_authenticated:
            back = reverse("start", args=[slug])
            return HttpResponseClientRedirect(f"{settings.LOGIN_URL}?next={back}")
        feature = feature_for(request.user, slug)
        arrival = _arrival(feature)
        seen = request.GET.get("seen", "")
        news = arrival.mark != seen
        if not (news or late):
            return None
        # The mark begins with the latest trace, so it began empty when none had come.
        first = seen.startswith(".")
        context = {"feature": feature, "arrival": arrival, "news": news, "first": first}
        return render(request, "traces/start.html#wait", context)
    finally:
        connection.close()
