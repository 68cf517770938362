"""The kill switch for people, and tools on again: of a feature, and of the house."""

from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals.request_views import wants_json
from approvals.services import kill, restore
from approvals.services.stopping import body_of as killed_body
from features.context import MAY_STOP, Frame
from features.errors import ClearanceError, NotFoundError
from features.gate import stops_in_force
from features.identity.sessions import session_mark
from features.identity.step_up import step_up
from features.models import Feature
from features.pages import page, person_of
from features.plain_form import plain_form
from features.queries import feature_for, roles_on


class Forbidden(ClearanceError):
    """Not with this role."""

    status = 403


def _may_stop(request: HttpRequest, slug: str) -> Feature:
    feature = feature_for(request.user, slug)
    if not roles_on(request.user, feature) & MAY_STOP:
        raise Forbidden("not_allowed", "Only leads and on-call switch tools off and on.")
    return feature


def _administrator(request: HttpRequest) -> None:
    if not person_of(request).is_administrator:
        raise Forbidden("not_allowed", "Only administrators switch the tools of every feature off and on.")


def _back(request: HttpRequest, feature: Feature | None) -> HttpResponse:
    """To the page where the button stood."""
    to = request.POST.get("back", "")
    if to.startswith("/") and url_has_allowed_host_and_scheme(to, {request.get_host()}):
        return redirect(to)
    return redirect("feature", slug=feature.slug) if feature else redirect("stop_house")


@never_cache
@require_safe
def stops(request: HttpRequest, slug: str | None = None) -> HttpResponse:
    """The strip of an open page: 204 while it is the one that was `seen`, and for whoever is not signed in any more."""
    if not request.user.is_authenticated:
        return HttpResponse(status=204)
    if slug is not None:
        feature_for(request.user, slug)
    frame = Frame(request)
    if frame.stops_mark == request.GET.get("seen"):
        return HttpResponse(status=204)
    context = {
        "frame": frame,
        "news": True,
        "back": urlsplit(request.headers.get("HX-Current-URL", "/")).path,
    }
    return render(request, "components/stops_now.html", context)


def _stop(request: HttpRequest, feature: Feature | None) -> HttpResponse:
    killed = kill(
        feature,
        action=request.POST.get("action", "")[:64] if feature else "",
        reason=request.POST.get("reason", ""),
        by=person_of(request),
        session=session_mark(request),
    )
    return JsonResponse(killed_body(killed)) if wants_json(request) else _back(request, feature)


def _restore(request: HttpRequest, feature: Feature | None) -> HttpResponse:
    action = request.POST.get("action", "") if feature else ""
    stop = stops_in_force().filter(feature=feature, action=action).first()
    if stop is None:
        raise NotFoundError("not_stopped", "Nothing of this is switched off.")
    restore(stop, request.POST.get("reason", ""), person_of(request), session_mark(request))
    return _back(request, feature)


@page
@require_POST
@plain_form
def stop_tools(request: HttpRequest, slug: str) -> HttpResponse:
    """The kill switch, one click."""
    return _stop(request, _may_stop(request, slug))


@page
@require_POST
@plain_form
@step_up
def restore_tools(request: HttpRequest, slug: str) -> HttpResponse:
    """Tools on again, by a person who says why."""
    return _restore(request, _may_stop(request, slug))


@page
@require_http_methods(["GET", "HEAD", "POST"])
@plain_form
def stop_house(request: HttpRequest) -> HttpResponse:
    """Every tool of every feature: the page with its button, and the switch."""
    _administrator(request)
    if request.method == "POST":
        return _stop(request, None)
    return render(
        request, "approvals/stop_house.html", {"stopped": stops_in_force().filter(feature=None).first()}
    )


@page
@require_POST
@plain_form
@step_up
def restore_house(request: HttpRequest) -> HttpResponse:
    """All tools on again, but for those that are stopped by themselves."""
    _administrator(request)
    return _restore(request, None)
