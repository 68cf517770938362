"""Several requests rejected with one reason, each by a vote of its own. Nothing is approved here: what is to run is
looked at one by one.
"""

from uuid import UUID

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from approvals.inbox_views import inbox_page
from approvals.models import ApprovalRequest
from approvals.present import title_of
from approvals.proposal import open_proposal
from approvals.queries import PAGE, amount_of, hint_of, may_read
from approvals.request_views import reason_of, request_for
from approvals.services import vote
from approvals.services.voting import SHORTEST_REASON
from features.errors import ClearanceError
from features.identity.sessions import session_mark
from features.models import Person
from features.pages import page, person_of
from features.plain_form import plain_form
from features.policy import policy_of
from traces.present.text import Piece


class Result(msgspec.Struct, frozen=True):
    """What came of one; `error`: why it was not rejected by me."""

    request: ApprovalRequest | None
    title: str
    about: list[Piece] = []
    error: str = ""


@page
@require_POST
@plain_form
def reject_several(request: HttpRequest) -> HttpResponse:
    """Reject what was chosen in the inbox; the page says of each what came of it. 409 when not all were rejected."""
    chosen = _chosen(request)
    reason = reason_of(request)
    error = None
    if not chosen:
        error = ClearanceError("choose", "Choose what to reject.", field="choose")
    elif len(reason) < SHORTEST_REASON:
        error = ClearanceError("reason", "Say why: each agent is told.", field="reason")
    if error is not None:
        slug = request.POST.get("feature", "") or None
        return inbox_page(request, slug, error, {str(one) for one, _ in chosen})
    results = [_reject(request, one, revision, reason) for one, revision in chosen]
    failed = sum(bool(one.error) for one in results)
    context = {"results": results, "failed": failed, "done": len(results) - failed}
    return render(request, "approvals/rejected.html", context, status=409 if failed else 200)


def _chosen(request: HttpRequest) -> list[tuple[UUID, int]]:
    """[(request, the revision that was looked at)], each once, a page of them at most; what is none is left out."""
    found: dict[UUID, int] = {}
    for text in request.POST.getlist("choose")[:PAGE]:
        identity, _, revision = text.partition(":")
        try:
            found[UUID(identity)] = int(revision) if revision.isascii() and len(revision) < 9 else 0
        except ValueError:
            continue
    return list(found.items())


def _reject(request: HttpRequest, request_id: UUID, revision: int, reason: str) -> Result:
    person = person_of(request)
    try:
        asked = request_for(person, request_id)
    except Http404 as error:
        return Result(None, "A request", error=str(error))
    title, about = _told(asked, person)
    try:
        vote(asked.pk, "reject", revision, person, reason, session_mark(request))
    except ClearanceError as error:
        return Result(asked, title, about, str(error))
    return Result(asked, title, about)


def _told(asked: ApprovalRequest, person: Person) -> tuple[str, list[Piece]]:
    """What it was, and about what, as far as the person may read it."""
    decision = asked.decision
    proposal = open_proposal(decision) if may_read(decision, asked.role, person) else None
    policy = policy_of(decision.policy_id) if decision.policy_id else None
    title = f"{title_of(asked.action)} {amount_of(decision, proposal, policy)}".strip()
    return title, hint_of(decision, proposal, policy)
