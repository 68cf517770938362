"""The page of the audit record; it stands here because it must know who may see what."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection, transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from audit.actions import ACTIONS
from audit.models import CheckpointDelivery, Comparison, Verification
from audit.queries import (
    Seen,
    Wanted,
    checkpoint_over,
    hashes_after,
    latest_checkpoint,
    newest,
    newest_number,
    record_seen,
    search,
)
from audit.services import append
from audit.verifier import inclusion_proof
from features.acting import actor_of
from features.errors import ConflictError
from features.identity.sessions import session_mark
from features.models import ApiKey, Feature, Person
from features.pages import page, person_of
from features.problems import BadField
from features.queries import features_for

_PAGE = 50
_BATCH = 1000
_CSV = "number at actor_kind actor session action feature subject_type subject payload hash".split()
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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
    page: str  # of the subject, where it has one
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
    seen = _seen(person, mine)
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
        "verification": Verification.objects.first(),
        "outside": CheckpointDelivery.objects.filter(outside=True, delivered_at__isnull=False)
        .order_by("-size")
        .first(),
        "waiting": CheckpointDelivery.objects.filter(outside=True, delivered_at=None)
        .order_by("size")
        .first(),
        "sinks": settings.AUDIT_SINKS,
        "compared": Comparison.objects.filter(sink__in=[one.name for one in settings.AUDIT_SINKS]),
        "everything": person.is_administrator,
    }
    return render(request, "features/audit.html", context)


def _seen(person: Person, mine: list[Feature]) -> Seen:
    return Seen(person.is_administrator, [str(feature.pk) for feature in mine], str(person.pk))


@page
@require_safe
def proof(request: HttpRequest, number: int) -> HttpResponse:
    """The proof that a record stood in the log when a checkpoint was signed, for audit/verifier.py --proof. 404 for
    what may not be seen, as for what is not there; 409 while no checkpoint covers it.
    """
    person = person_of(request)
    record = record_seen(_seen(person, list(features_for(person))), number)
    if record is None:
        raise Http404(f"There is no record {number}, or none that you may see.")
    checkpoint = checkpoint_over(number)
    if checkpoint is None:
        raise ConflictError(
            "no_checkpoint",
            "No checkpoint covers this record yet.",
            "One is signed each minute: try again then.",
        )
    leaves = list(hashes_after(0, checkpoint["size"]))
    path = [step.hex() for step in inclusion_proof(leaves, number - 1)]
    answer = HttpResponse(
        json.dumps({"record": record, "path": path, "checkpoint": checkpoint}, indent=1),
        content_type="application/json",
    )
    answer["Content-Disposition"] = f'attachment; filename="record-{number}-proof.json"'
    return answer


@page
@require_safe
def export(request: HttpRequest, form: str) -> StreamingHttpResponse:
    """What the page shows with these filters, all of it, the newest first: CSV or JSON lines. Recorded."""
    person = person_of(request)
    mine = list(features_for(person))
    seen, wanted = _seen(person, mine), _wanted(request, mine)
    with transaction.atomic():
        _, total = search(seen, wanted, 1)
        append(actor_of(person, session_mark(request)), "audit.exported", records=total)
    kind = "text/csv; charset=utf-8" if form == "csv" else "application/jsonl"
    answer = StreamingHttpResponse(_lines_of(seen, wanted, form), content_type=kind)
    answer["Content-Disposition"] = f'attachment; filename="audit.{form}"'
    return answer


async def _lines_of(seen: Seen, wanted: Wanted, form: str) -> AsyncIterator[str]:
    """A batch at a time, so that memory does not grow with the record."""
    if form == "csv":
        yield ",".join(_CSV) + "\r\n"
    while True:
        found = await sync_to_async(_batch)(seen, wanted)
        if form == "csv":
            yield "".join(_csv_line(record) for record in found)
        else:
            yield "".join(json.dumps(record) + "\n" for record in found)
        if len(found) < _BATCH:
            return
        wanted = msgspec.structs.replace(wanted, before=found[-1]["number"])


def _batch(seen: Seen, wanted: Wanted) -> list[dict[str, Any]]:
    try:
        return newest(seen, wanted, _BATCH)
    finally:
        connection.close()


def _csv_line(record: dict[str, Any]) -> str:
    """A line of RFC 4180; a cell that a spreadsheet would take for a formula gets an apostrophe before it."""
    cells = [str(record[name]) for name in _CSV]
    out = io.StringIO()
    csv.writer(out).writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    return out.getvalue()


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
                page=_page_of(one["subject_type"], one["subject"]),
                details=[(name, _shown(value, names)) for name, value in payload.items()],
                hash=one["hash"],
            )
        )
    return lines


# Subjects that have a page of their own, which asks for itself who may open it.
_PAGES = {"decision": "decision", "request": "approval", "execution": "execution"}


def _page_of(kind: str, subject: str) -> str:
    name = _PAGES.get(kind)
    return reverse(name, args=[subject]) if name and _uuids({subject}) else ""


def _shown(value: Any, names: dict[str, str]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return names.get(str(value), str(value)) if value is not None else "none"
