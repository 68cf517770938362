"""The inbox: what waits for me, over all features or of one, live."""

import asyncio
from collections.abc import Callable, Container
from typing import TypedDict
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_safe
from django_htmx.http import HttpResponseClientRedirect

from approvals.queries import Inbox, count_drafts, inbox, read_cursor
from features.errors import ClearanceError
from features.models import Feature, Person
from features.pages import page, person_of
from features.problems import BadField
from features.queries import feature_for, features_for

CHIPS = ("wrong amount", "not eligible", "ask the customer first", "done already")
WAIT_SECONDS = 25.0
_LOOK_EVERY_SECONDS = 1.0

Look = Callable[[bool], HttpResponse | None]


@page
@require_safe
def approvals(request: HttpRequest, slug: str | None = None) -> HttpResponse:
    """What waits for me, the irreversible first, then the oldest; what others decide; what I just decided."""
    return inbox_page(request, slug)


def inbox_page(
    request: HttpRequest, slug: str | None, error: ClearanceError | None = None, chosen: Container[str] = ()
) -> HttpResponse:
    """The page; with an error about what was chosen it says so, keeps what was typed, and has the error's status."""
    box = _context(request, person_of(request), slug)
    context = {
        **box,
        "drafts": count_drafts(box["features"]),
        "chips": CHIPS,
        "chosen": chosen,
        "error": error,
        "typed_reason": request.POST.get("reason", "") if error else "",
        "typed_chips": request.POST.getlist("chip") if error else (),
    }
    return render(request, "approvals/inbox.html", context, status=error.status if error else 200)


class _Context(TypedDict):
    feature: Feature | None
    features: list[Feature]
    box: Inbox
    after: str


def _context(request: HttpRequest, person: Person, slug: str | None) -> _Context:
    feature = feature_for(person, slug) if slug is not None else None
    features: list[Feature] = [feature] if feature else list(features_for(person))
    after = None
    if given := request.GET.get("after", ""):
        after = read_cursor(given)
        if after is None:
            raise BadField("after", "after must be what the link to the next page says.")
    return {"feature": feature, "features": features, "box": inbox(person, features, after), "after": given}


@never_cache
@require_GET
async def approvals_wait(request: HttpRequest, slug: str | None = None) -> HttpResponseBase:
    """The inbox's lists, answered when they are others than those marked `seen`, or after 25 s. Nothing is held
    between looks: no connection, no thread.
    """
    back = reverse("feature_approvals", args=[slug]) if slug else reverse("approvals")

    def look(late: bool) -> HttpResponse | None:
        person = request.user
        assert isinstance(person, Person)
        context = _context(request, person, slug)
        mark = context["box"].mark
        seen = request.GET.get("seen", "")
        if mark == seen and not late:
            return None
        return render(request, "approvals/inbox.html#lists", {**context, "news": mark != seen})

    return await wait_for(request, back, look)


async def wait_for(request: HttpRequest, back: str, look: Look) -> HttpResponse:
    """Look each second until there is something to say, or it is late; who is not signed in any more is sent to do
    so. Access is asked for anew each time.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + WAIT_SECONDS

    def once(late: bool) -> HttpResponse | None:
        try:
            if not isinstance(request.user, Person):
                return HttpResponseClientRedirect(f"{settings.LOGIN_URL}?next={back}")
            return look(late)
        except ClearanceError as error:
            return HttpResponse(str(error), status=error.status, content_type="text/plain; charset=utf-8")
        finally:
            connection.close()

    while True:
        response = await sync_to_async(once)(loop.time() >= until)
        if response is not None:
            return response
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def read_uuid(text: str, name: str) -> UUID | None:
    """An ID of an address; None for none. Raises BadField for what is none."""
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise BadField(name, f"{name} must be an ID.") from None
