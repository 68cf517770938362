"""The page of the audit record; it stands here because it must know who may see what."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from audit.actions import ACTIONS
from audit.queries import Seen, Wanted, latest_checkpoint, newest_number, search
from features.models import ApiKey, Feature, Person
from features.pages import page, person_of
from features.problems import BadField
from features.queries import features_for

_PAGE = 50


class Line(msgspec.Struct, frozen=True):
    """A record as people read it."""

    number: int
    at: datetime
    who: str
    actor: str
    action: str
    feature: Feature | None
    about: str
    subject: str
    details: list[tuple[str, str]]
    hash: str


@page
@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    """The record, newest first, filtered by what stands in the URL. Administrators see all of it, others what
    concerns their features and themselves.
    """
    person = person_of(request)
    mine = list(features_for(person))
    wanted = _wanted(request, mine)
    seen = Seen(person.is_administrator, [str(feature.pk) for feature in mine], str(person.pk))
    found, total = search(seen, wanted, _PAGE + 1)
    context = {
        "lines": _lines(found[:_PAGE], mine),
        "next": found[_PAGE - 1]["number"] if len(found) > _PAGE else None,
        "total": total,
        "actions": list(ACTIONS),
        "features": mine,
        "given": request.GET,
        "filtered": any(request.GET.get(name) for name in ("action", "feature", "actor", "subject")),
        "newest": newest_number(),
        "checkpoint": _checkpoint(),
        "everything": person.is_administrator,
    }
    return render(request, "features/audit.html", context)


def _wanted(request: HttpRequest, mine: list[Feature]) -> Wanted:
    """Raises BadField, naming what cannot be read."""
    action = request.GET.get("action", "")
    if action and action not in ACTIONS:
        raise BadField("action", f"There is no action '{action[:60]}' in the record.")
    slug = request.GET.get("feature", "")
    feature = next((str(one.pk) for one in mine if one.slug == slug), "")
    if slug and not feature:
        raise BadField("feature", f"There is no feature '{slug[:60]}', or none that you may see.")
    before = request.GET.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) < 18):
        raise BadField("before", "before must be a record's number.")
    return Wanted(
        action=action,
        feature=feature,
        actor=request.GET.get("actor", "")[:100].replace("\x00", ""),
        subject=request.GET.get("subject", "")[:100].replace("\x00", ""),
        before=int(before) if before else 2**62,
    )


def _checkpoint() -> dict[str, Any] | None:
    newest = latest_checkpoint()
    return {**newest, "at": datetime.fromisoformat(newest["at"])} if newest else None


def _uuids(values: set[str]) -> list[UUID]:
    found = []
    for value in values:
        try:
            found.append(UUID(value))
        except ValueError:
            continue
    return found


def _lines(records: list[dict[str, Any]], mine: list[Feature]) -> list[Line]:
    """The records with the names that our IDs have today."""
    ids = {one["actor"] for one in records} | {one["subject"] for one in records}
    payloads = [json.loads(one["payload"]) for one in records]
    ids |= {payload["person"] for payload in payloads if "person" in payload}
    names = {str(one.pk): str(one) for one in Person.objects.filter(pk__in=_uuids(ids))}
    names |= {str(one.pk): f"{one.prefix}..." for one in ApiKey.objects.filter(pk__in=_uuids(ids))}
    features = {str(one.pk): one for one in mine}
    lines = []
    for one, payload in zip(records, payloads, strict=True):
        feature = features.get(one["feature"])
        about = names.get(one["subject"]) or (str(feature) if feature else one["subject"])
        actor = names.get(one["actor"]) or one["actor"] or one["actor_kind"]
        lines.append(
            Line(
                number=one["number"],
                at=datetime.fromisoformat(one["at"]).astimezone(UTC),
                who=f"operator, as {actor}" if one["actor_kind"] == "operator" else actor,
                actor=one["actor"],
                action=one["action"],
                feature=feature,
                about=about,
                subject=one["subject"],
                details=[(name, _shown(value, names)) for name, value in payload.items()],
                hash=one["hash"],
            )
        )
    return lines


def _shown(value: Any, names: dict[str, str]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return names.get(str(value), str(value)) if value is not None else "none"
