"""What was kept as drafts, and how a person makes one their own request."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from approvals.decision_views import decision_for, decision_page
from approvals.edit_form import read_edit
from approvals.inbox_views import read_uuid
from approvals.models import ApprovalRequest, Decision
from approvals.present import title_of
from approvals.proposal import open_proposal
from approvals.queries import (
    PAGE,
    amount_of,
    decision_state,
    drafts_of,
    hint_of,
    may_read,
    proposal_of,
    role_to_decide,
)
from approvals.request_views import again, request_for
from approvals.services import propose_draft, withdraw_own
from approvals.services.drafting import why_not_propose
from features.clock import clock
from features.errors import ClearanceError
from features.identity.sessions import session_mark
from features.models import Feature, Person
from features.pages import page, person_of
from features.plain_form import plain_form
from features.policy import policy_of
from features.problems import BadField
from features.queries import feature_for, features_for

WHICH = {"open": "to be proposed", "proposed": "proposed", "all": "all"}


@page
@require_safe
def drafts(request: HttpRequest, slug: str | None = None) -> HttpResponse:
    """Drafts of all my features or of one, the newest first: those that can be proposed, or what came of others."""
    person = person_of(request)
    feature = feature_for(person, slug) if slug is not None else None
    features: list[Feature] = [feature] if feature else list(features_for(person))
    which = request.GET.get("which", "open")
    if which not in WHICH:
        raise BadField("which", f"which must be one of {', '.join(WHICH)}.")
    found = drafts_of(features, which, read_uuid(request.GET.get("before", ""), "before"), PAGE + 1)
    context = {
        "feature": feature,
        "which": which,
        "choices": WHICH.items(),
        "lines": [_line(one, person) for one in found[:PAGE]],
        "next": found[PAGE - 1].pk if len(found) > PAGE else None,
    }
    return render(request, "approvals/drafts.html", context)


def _line(draft: Decision, person: Person) -> dict[str, object]:
    policy = policy_of(draft.policy_id) if draft.policy_id else None
    readable = may_read(draft, role_to_decide(draft, None, policy), person)
    proposal = open_proposal(draft) if readable else None
    proposed = proposal_of(draft)
    return {
        "draft": draft,
        "title": title_of(draft.action),
        "amount": amount_of(draft, proposal, policy),
        "about": hint_of(draft, proposal, policy),
        "role": role_to_decide(draft, None, policy),
        "proposed": proposed,
        "state": decision_state(proposed, clock()) if proposed else "",
        "erased": draft.sealed is None,
        "why_not": why_not_propose(draft, person),
    }


@page
@require_POST
@plain_form
def propose(request: HttpRequest, decision_id: UUID) -> HttpResponse:
    """A draft becomes my own request, with the arguments of the form."""
    person = person_of(request)
    draft = decision_for(person, decision_id)
    policy = policy_of(draft.policy_id) if draft.policy_id else None
    asked = ApprovalRequest.objects.filter(decision=draft).first()
    readable = may_read(draft, role_to_decide(draft, asked, policy), person)
    proposal = open_proposal(draft) if readable else None
    try:
        args = read_edit(proposal.args, request.POST) if proposal else {}
        made = propose_draft(draft.pk, args, person, session_mark(request))
    except ClearanceError as error:
        return decision_page(request, decision_for(person, decision_id), error)
    messages.success(request, "It is your own request now: somebody else decides.")
    response = redirect("approval", request_id=made.pk)
    response.status_code = 303
    return response


@page
@require_POST
@plain_form
def withdraw(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """My own request back, before somebody has decided."""
    person = person_of(request)
    asked = request_for(person, request_id)
    try:
        withdraw_own(asked.pk, person, session_mark(request))
    except ClearanceError as error:
        return again(request, request_id, error)
    response = redirect("approval", request_id=request_id)
    response.status_code = 303
    return response
