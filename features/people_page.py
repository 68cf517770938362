"""The people of a feature: who may do what, since when, given by whom."""

import json
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_POST

from audit.queries import Seen, Wanted, search
from features.errors import ClearanceError
from features.forms import ROLE_WORDS, RoleForm
from features.identity.step_up import step_up
from features.models import ROLES, Feature, Person
from features.pages import page, person_of
from features.queries import feature_for, holders, roles_on
from features.services import give_role, take_role
from features.views import led_by_me

_RECORDS = 1000


class Holding(msgspec.Struct, frozen=True):
    """One person's one role, with what the record says of its giving."""

    person: Person
    role: str
    words: str
    since: datetime | None
    by: str


@page
@require_http_methods(["GET", "HEAD", "POST"])
@step_up
def people(request: HttpRequest, slug: str) -> HttpResponse:
    """Who holds which role; POST gives one (leads)."""
    if request.method != "POST":
        return _page(request, feature_for(request.user, slug), RoleForm())
    feature = led_by_me(request, slug)
    form = RoleForm(request.POST)
    if not form.is_valid():
        return _page(request, feature, form, status=400)
    name, role = form.cleaned_data["login"].strip().lower(), form.cleaned_data["role"]
    person = Person.objects.filter(name=name, is_active=True).first() if "\x00" not in name else None
    if person is None:
        form.add_error("login", "Nobody has this login. An operator makes accounts: manage.py person create.")
        return _page(request, feature, form, status=400)
    give_role(feature=feature, person=person, role=role, by=person_of(request))
    return redirect("people", feature.slug)


@page
@require_POST
@step_up
def take(request: HttpRequest, slug: str) -> HttpResponse:
    """Take a role (leads); the page that follows offers to undo it."""
    feature = led_by_me(request, slug)
    role, login = request.POST.get("role", ""), request.POST.get("login", "")
    person = next((one for one in holders(feature).get(role, []) if one.name == login), None)
    if person is not None:
        try:
            take_role(feature=feature, person=person, role=role, by=person_of(request))
        except ClearanceError as error:
            form = RoleForm({"login": login, "role": role})
            form.add_error(None, str(error))
            return _page(request, feature, form, status=error.status)
        if roles_on(person_of(request), feature):
            undo = urlencode({"taken": role, "from": login})
            return redirect(f"{reverse('people', args=[feature.slug])}?{undo}")
        return redirect("features")  # it was one's own last role
    return redirect("people", feature.slug)


def _page(request: HttpRequest, feature: Feature, form: RoleForm, status: int = 200) -> HttpResponse:
    held = holders(feature)
    given = _given(feature)
    holdings = [
        Holding(person, role, ROLE_WORDS[role][0], *given.get((str(person.pk), role), (None, "")))
        for role in ROLES
        for person in held[role]
    ]
    taken, login = request.GET.get("taken", ""), request.GET.get("from", "")
    may_undo = taken in ROLES and all(person.name != login for person in held[taken])
    context = {
        "feature": feature,
        "form": form,
        "holdings": holdings,
        "meanings": [ROLE_WORDS[role] for role in ROLES],
        "may_manage": "lead" in roles_on(request.user, feature),
        "taken": {"role": taken, "words": ROLE_WORDS[taken][0], "login": login} if may_undo else None,
    }
    return render(request, "features/people.html", context, status=status)


def _given(feature: Feature) -> dict[tuple[str, str], tuple[datetime, str]]:
    """When each role was last given and by whom, as the record says, by person's ID and role."""
    wanted = Wanted(action="role.given", feature=str(feature.pk))
    records, _ = search(Seen(everything=True), wanted, _RECORDS)
    actors = {one["actor"] for one in records if one["actor_kind"] == "person"}
    names = {str(one.pk): str(one) for one in Person.objects.filter(pk__in=[UUID(actor) for actor in actors])}
    found: dict[tuple[str, str], tuple[datetime, str]] = {}
    for one in records:  # newest first
        payload = json.loads(one["payload"])
        by_hand = names.get(one["actor"]) or f"operator, as {one['actor']}"
        who = "the provider's groups" if one["actor_kind"] == "system" else by_hand
        at = datetime.fromisoformat(one["at"]).astimezone(UTC)
        found.setdefault((payload["person"], payload["role"]), (at, who))
    return found
