"""The lists of traces and the way to the first one. The page of one trace is in trace_views."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_safe
from django_htmx.http import HttpResponseClientRedirect

from features.identity.step_up import step_up
from features.models import Feature
from features.pages import page, person_of
from features.queries import feature_for, features_for, roles_on
from features.services import create_key
from traces.facets import facets
from traces.filters import FLAGS, ORDERS, OUTCOMES, STATUSES, ListState, parse_list_state
from traces.models import IngestReceipt
from traces.queries import (
    TraceFilter,
    TraceRow,
    ingest_receipts,
    is_settling,
    last_trace_at,
    list_traces,
    locate,
)

_WAIT_SECONDS = 25.0
_LOOK_EVERY_SECONDS = 1.0
_MAX_ID = 300
_RECEIPTS = 10


@page
@require_safe
def all_traces(request: HttpRequest) -> HttpResponse:
    """The traces of all my features; `?q=` opens the one that an ID names."""
    return _list(request, list(features_for(person_of(request))), None)


@page
@require_safe
def feature_traces(request: HttpRequest, slug: str) -> HttpResponse:
    """The traces of one feature; `?q=` opens the one that an ID names, of whichever feature of mine."""
    feature = feature_for(request.user, slug)
    return _list(request, [feature], feature)


def _list(request: HttpRequest, features: Sequence[Feature], feature: Feature | None) -> HttpResponse:
    sought = (request.GET.get("q") or "").replace("\x00", "").strip()
    if sought and (found := _address_of(request, sought)):
        return HttpResponseRedirect(found)
    now = datetime.now(UTC)
    state = parse_list_state(request.GET, now)
    listed = list_traces(features, state.filter, 50, state.cursor)
    context: dict[str, object] = {
        "feature": feature,
        "state": state,
        "window": state.window,
        "listed": listed,
        "sought": sought,
        "retention_days": settings.RETENTION_DAYS,
        "facets": facets(features, state.window.start, state.window.end),
        "outcomes": OUTCOMES,
        "statuses": STATUSES,
        "orders": ORDERS,
        "flags": FLAGS,
        "page_query": request.GET.urlencode(),
    }
    if not listed.results and not state.cursor:
        latest = [at for one in features if (at := last_trace_at(one))]
        context["latest"] = max(latest, default=None)
        context["drops"] = _drops(features, state, now)
    fragment = "#list" if request.htmx else ""  # type: ignore[attr-defined]
    return render(request, f"traces/list.html{fragment}", context, status=404 if sought else 200)


def _address_of(request: HttpRequest, sought: str) -> str | None:
    """The page of the trace that an ID names, settled or still being settled; None: no such ID."""
    if len(sought) > _MAX_ID:
        return None
    mine = list(features_for(person_of(request)))
    if found := locate(mine, sought):
        return reverse("trace", args=[found[0].feature.slug, bytes(found[0].trace_id).hex()])
    # An ID with a slash has no address of its own; it is opened by its trace ID once it is settled.
    settling = next((one for one in mine if is_settling([one], sought)), None) if "/" not in sought else None
    return reverse("trace", args=[settling.slug, sought]) if settling else None


class Drop(msgspec.Struct, frozen=True):
    """A filter that hides everything, the address without it, and how many there would be."""

    words: str
    url: str
    total: int


def _drops(features: Sequence[Feature], state: ListState, now: datetime) -> list[Drop]:
    """What could be dropped when nothing matches, each with what it would show."""
    found = []
    for term in state.terms:
        without = parse_list_state(QueryDict(term.without.removeprefix("?")), now)
        found.append(Drop(term.words, term.without, list_traces(features, without.filter, 1).total))
    if state.window.name != "all":
        everything = msgspec.structs.replace(state.filter, start=None, end=None)
        query = QueryDict(mutable=True)
        query.update({**state.given, "window": "all"})
        total = list_traces(features, everything, 1).total
        found.append(Drop(f"only {state.window.words}", f"?{query.urlencode()}", total))
    return found


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
    latest = list_traces([feature], TraceFilter(), 1).results
    return Arrival(latest[0] if latest else None, ingest_receipts(feature, _RECEIPTS))


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
