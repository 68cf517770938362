"""Pages of features and their settings, sign-in, and the pages that say what went wrong."""

import logging
from datetime import UTC, datetime, timedelta

import msgspec
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.csrf import requires_csrf_token
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from features.errors import ClearanceError
from features.forms import FeatureForm, KeyForm, RevokeForm
from features.identity.step_up import step_up
from features.models import ApiKey, Feature
from features.pages import page, person_of
from features.policy_page import shown
from features.queries import feature_for, features_for, roles_on
from features.registry import board_parts, overview_panels, settings_panels
from features.services import create_feature, create_key, revoke_key, rotate_key
from features.window import parse_window

log = logging.getLogger("clearance.pages")


class BoardCell(msgspec.Struct, frozen=True):
    """A feature's part of a board line: a template of table cells and what it needs."""

    template: str
    row: object


class BoardLine(msgspec.Struct, frozen=True):
    """A feature on the board."""

    feature: Feature
    cells: list[BoardCell]


@page
@require_safe
def board(request: HttpRequest) -> HttpResponse:
    """All my features, a line each; the columns are the rooms'."""
    window = parse_window(request.GET, datetime.now(UTC))
    features = list(features_for(person_of(request)))
    parts = [(part, part.rows(features, window)) for part in board_parts()] if features else []
    lines = [
        BoardLine(feature, [BoardCell(part.template, rows.get(feature.pk)) for part, rows in parts])
        for feature in features
    ]
    columns = [column for part, _ in parts for column in part.columns]
    return render(request, "features/board.html", {"lines": lines, "columns": columns, "window": window})


@page
@require_safe
def overview(request: HttpRequest, slug: str) -> HttpResponse:
    """One feature: the panels of all rooms over a time window."""
    feature = feature_for(request.user, slug)
    window = parse_window(request.GET, datetime.now(UTC))
    shared = {"feature": feature, "window": window}
    panels = [
        render_to_string(panel.template, {**shared, **panel.context(request, feature, window)}, request)
        for panel in overview_panels()
    ]
    return render(request, "features/overview.html", {**shared, "panels": panels, "shown": shown(feature)})


@page
@require_http_methods(["GET", "HEAD", "POST"])
def register_feature(request: HttpRequest) -> HttpResponse:
    """Register a feature (administrators); leads on to its first trace."""
    person = person_of(request)
    if not person.is_administrator:
        raise PermissionDenied("Only administrators register features. Ask one to register yours.")
    form = FeatureForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            feature = create_feature(**form.cleaned_data, by=person)
        except ClearanceError as error:
            form.refuse(error)
        else:
            return redirect("start", feature.slug)
    return render(request, "features/new.html", {"form": form}, status=400 if form.errors else 200)


def _settings_page(
    request: HttpRequest, feature: Feature, form: KeyForm, clear_key: str = "", status: int = 200
) -> HttpResponse:
    keys = feature.keys.select_related("created_by")
    context = {
        "feature": feature,
        "keys": keys,
        "form": form,
        "clear_key": clear_key,
        "may_manage": "lead" in roles_on(request.user, feature),
        "now": datetime.now(UTC),
        "panels": [
            render_to_string(panel.template, {"feature": feature, **panel.context(request, feature)}, request)
            for panel in settings_panels()
        ],
    }
    return render(request, "features/settings.html", context, status=status)


@page
@require_safe
def settings(request: HttpRequest, slug: str) -> HttpResponse:
    """A feature's settings: its keys."""
    return _settings_page(request, feature_for(request.user, slug), KeyForm(initial={"scopes": ["ingest"]}))


@page
@require_http_methods(["GET", "HEAD", "POST"])
@step_up
def make_key(request: HttpRequest, slug: str) -> HttpResponse:
    """Make a key (leads). It is shown in this answer and nowhere else: not in a session, not in a URL.

    Opened without a form, as by an address kept from that answer, it leads to the settings.
    """
    if request.method != "POST":
        return redirect("settings", feature_for(request.user, slug).slug)
    feature = led_by_me(request, slug)
    form = KeyForm(request.POST)
    if not form.is_valid():
        return _settings_page(request, feature, form, status=400)
    try:
        _, clear = create_key(
            feature=feature,
            scopes=form.cleaned_data["scopes"],
            label=form.cleaned_data["label"],
            by=person_of(request),
            expires_at=_in_days(form.cleaned_data["days"]),
        )
    except ClearanceError as error:
        form.refuse(error)
        return _settings_page(request, feature, form, status=error.status)
    return _settings_page(request, feature, KeyForm(initial={"scopes": ["ingest"]}), clear_key=clear)


def _in_days(days: str) -> datetime | None:
    return datetime.now(UTC) + timedelta(days=int(days)) if days else None


@page
@require_POST
@step_up
def rotate(request: HttpRequest, slug: str, prefix: str) -> HttpResponse:
    """Make a key's successor (leads), shown in this answer and nowhere else; the old one opens seven days
    more.
    """
    feature = led_by_me(request, slug)
    key = ApiKey.objects.filter(feature=feature, prefix=prefix).first()
    if key is None:
        raise Http404("This feature has no such key.")
    _, clear = rotate_key(key=key, by=person_of(request))
    return _settings_page(request, feature, KeyForm(initial={"scopes": ["ingest"]}), clear_key=clear)


@page
@require_http_methods(["GET", "HEAD", "POST"])
@step_up
def revoke(request: HttpRequest, slug: str, prefix: str) -> HttpResponse:
    """Revoke a key (leads), confirmed by typing its start."""
    feature = led_by_me(request, slug)
    key = ApiKey.objects.filter(feature=feature, prefix=prefix).select_related("created_by").first()
    if key is None:
        raise Http404("This feature has no such key.")
    form = RevokeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if form.cleaned_data["confirm"].strip() == key.prefix:
            revoke_key(key=key, by=person_of(request))
            messages.success(request, f"The key {key.prefix} opens nothing any more.")
            return redirect("settings", feature.slug)
        form.add_error("confirm", f"This is not the start of the key. Type {key.prefix}")
    context = {"feature": feature, "key": key, "form": form}
    return render(request, "features/revoke.html", context, status=400 if form.errors else 200)


def led_by_me(request: HttpRequest, slug: str) -> Feature:
    """The feature, for its leads; 404 for whoever may not know it, 403 for its other people."""
    feature = feature_for(request.user, slug)
    if "lead" not in roles_on(request.user, feature):
        raise PermissionDenied("Only the feature's lead does this: keys and roles are theirs to give.")
    return feature


# --- pages that say what went wrong ----------------------------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400, for what no page takes."""
    return render(request, "errors/400.html", status=400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: what it is may be known, the role is missing."""
    return render(request, "errors/403.html", {"said": str(exception)}, status=403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404, the same for absent and forbidden; a view may say what it looked for."""
    said = exception.args[0] if exception.args and isinstance(exception.args[0], str) else ""
    return render(request, "errors/404.html", {"said": said}, status=404)


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """500, with the ID of its log line. Touches neither session nor database: they may be what broke."""
    context = {"request_id": getattr(request, "request_id", ""), "address": request.path}
    return HttpResponse(render_to_string("errors/500.html", context), status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form without a valid token; says how to send it again."""
    log.warning("request=%s csrf: %s", getattr(request, "request_id", ""), reason)
    return render(request, "errors/csrf.html", {"address": request.path}, status=403)


def favicon(request: HttpRequest) -> HttpResponse:
    """Browsers ask for it unasked; the drawn one is linked in the page's head."""
    from django.templatetags.static import static

    return HttpResponseRedirect(static("icon.svg"))
