"""Export of a list: the page that starts it and shows how far it is, and the file as a stream."""

import logging
import re
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from audit.services import append
from features.acting import actor_of
from features.errors import ClearanceError
from features.identity.sessions import session_mark
from features.models import Feature, Person
from features.pages import page, person_of
from features.problems import BadField
from features.queries import feature_for, features_for
from traces.search import export
from traces.search.export import FORMATS, Format, Progress
from traces.search.searching import Total, prepare, scope_of, total
from traces.search.state import ListState, parse_list_state

log = logging.getLogger("clearance.export")

_ID = re.compile(r"[0-9a-f]{16}")


def _asked(request: HttpRequest, slug: str | None) -> tuple[list[Feature], Feature | None, ListState]:
    feature = feature_for(request.user, slug) if slug else None
    features = [feature] if feature else list(features_for(person_of(request)))
    state = parse_list_state(request.GET, datetime.now(UTC))
    if state.wrong is not None:
        raise state.wrong
    return features, feature, state


@page
@require_safe
def export_page(request: HttpRequest, slug: str | None = None) -> HttpResponse:
    """What would be exported, and how many rows at least."""
    features, feature, state = _asked(request, slug)
    query = prepare(features, state.node)
    rows = Total(0, exact=False) if query.heavy else total(scope_of(features, state.start, state.end), query)
    context = {
        "feature": feature,
        "state": state,
        "total": rows,
        "query": urlencode(state.query),
        "id": secrets.token_hex(8),
    }
    return render(request, "traces/export.html", context)


@page
@require_safe
def export_progress(request: HttpRequest) -> HttpResponse:
    """How far an export is; asks again by itself until it ended."""
    given = request.GET.get("id", "")
    found = export.progress_of(person_of(request).pk, given) if _ID.fullmatch(given) else None
    context = {"id": given if _ID.fullmatch(given) else "", "progress": found}
    return render(request, "traces/export.html#progress", context)


@page
@require_safe
def export_file(request: HttpRequest, slug: str | None = None) -> HttpResponseBase:
    """The rows of a list as a stream; recorded before the first row leaves."""
    features, feature, state = _asked(request, slug)
    form = request.GET.get("format") or "csv"
    if form not in FORMATS:
        raise BadField("format", f"format is csv or json, not '{form[:40]}'.")
    chosen: Format = "json" if form == "json" else "csv"
    person = person_of(request)
    scope, query = scope_of(features, state.start, state.end), prepare(features, state.node)
    counted = Total(0, exact=False) if query.heavy else total(scope, query)
    with transaction.atomic():
        for one in features:
            append(
                actor_of(person, session_mark(request)),
                "traces.exported",
                feature=str(one.pk),
                subject=("feature", str(one.pk)),
                format=chosen,
                at_least=counted.n,
            )
    given = request.GET.get("id", "")
    name = given if _ID.fullmatch(given) else secrets.token_hex(8)
    rows = export.batches(scope, query, state.order, lambda: _still(person))
    response = StreamingHttpResponse(_stream(rows, chosen, person, name), content_type=FORMATS[chosen])
    said = f"{feature.slug if feature else 'traces'}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    response["Content-Disposition"] = f'attachment; filename="{said}.{"csv" if chosen == "csv" else "jsonl"}"'
    response["X-Total"] = f"{'' if counted.exact else '>='}{counted.n}"
    response["X-Accel-Buffering"] = "no"
    return response


def _still(person: Person) -> list[Any]:
    """The features that the person may see now."""
    fresh = Person.objects.filter(pk=person.pk, is_active=True).first()
    return [one.pk for one in features_for(fresh)] if fresh else []


async def _stream(rows: Any, form: Format, person: Person, name: str) -> AsyncIterator[bytes]:
    """Batch by batch; between batches no connection is held. A failure ends the file with the connection, so that a
    cut file is never taken for a whole one.
    """
    sent, first = 0, True
    while True:
        text, n, more, failed = await sync_to_async(_batch)(rows, form, first, sent, person, name)
        if failed:
            raise failed
        sent, first = sent + n, False
        if text:
            yield text.encode("utf-8", "replace")
        if not more:
            return


def _batch(
    rows: Any, form: Format, first: bool, sent: int, person: Person, name: str
) -> tuple[str, int, bool, Exception | None]:
    try:
        traces = next(rows, None)
        if traces is None:
            export.note_progress(person.pk, name, Progress(sent, done=True))
            return "", 0, False, None
        text = export.text_of(traces, form, first=first)
        export.note_progress(person.pk, name, Progress(sent + len(traces)))
        return text, len(traces), True, None
    except ClearanceError as error:
        export.note_progress(person.pk, name, Progress(sent, done=True, failed=str(error)))
        log.warning("an export ended early: %s", error.code)
        return "", 0, False, error
    finally:
        connection.close()
