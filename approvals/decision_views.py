"""Decisions from proposal to outcome: one, and the list of a feature's; and settling what nobody knows the end of."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from approvals.edit_form import edit_fields
from approvals.inbox_views import read_uuid
from approvals.judging import action_of
from approvals.models import REQUEST_STATES, Decision, Execution, Grant
from approvals.present import arguments_view, text_view, title_of
from approvals.presenting import body_of
from approvals.proposal import Proposal, open_proposal, open_text
from approvals.queries import (
    PAGE,
    about_of,
    amount_of,
    beside,
    decision_state,
    decisions_of,
    hint_of,
    may_read,
    proposal_of,
    role_to_decide,
    votes_of,
)
from approvals.services import as_it_stands, settle
from approvals.services.drafting import why_not_propose
from approvals.services.executing import OUTCOMES, Outcome
from approvals.stop_views import Forbidden
from features.clock import clock
from features.context import MAY_STOP
from features.errors import ClearanceError
from features.identity.sessions import session_mark
from features.models import Person
from features.pages import page, person_of
from features.plain_form import plain_form
from features.policy import Action, policy_of
from features.problems import BadField
from features.queries import feature_for, features_for, roles_on

ANSWERS = ("allow", "needs_approval", "deny")
STATES = (*REQUEST_STATES, "running", "succeeded", "failed", "unknown", "draft", "proposed")


def decision_for(person: Person, decision_id: UUID) -> Decision:
    """The decision, if the person has a role on its feature. Raises Http404."""
    found = (
        Decision.objects.filter(pk=decision_id, feature__in=features_for(person))
        .select_related("feature", "policy", "key", "request", "proposed_by")
        .first()
    )
    if found is None:
        raise Http404("No such decision, or none that you may see.")
    return found


@page
@require_safe
def decision(request: HttpRequest, decision_id: UUID) -> HttpResponse:
    """One decision, from proposal to outcome."""
    return decision_page(request, decision_for(person_of(request), decision_id))


def decision_page(request: HttpRequest, found: Decision, error: ClearanceError | None = None) -> HttpResponse:
    """The page; with an error it says so, keeps what was typed, and has the error's status."""
    person, now = person_of(request), clock()
    asked = getattr(found, "request", None)
    policy = policy_of(found.policy_id) if found.policy_id else None
    action = action_of(policy, found.action) if policy else None
    role = role_to_decide(found, asked, policy)
    readable = may_read(found, role, person)
    proposal = open_proposal(found) if readable else None
    executions = list(
        Execution.objects.filter(decision=found).select_related("settled_by").order_by("started_at")
    )
    context = {
        "decision": found,
        "feature": found.feature,
        "asked": asked,
        "body": body_of(as_it_stands(found))[1],
        "state": decision_state(found, now),
        "title": title_of(found.action),
        "amount": amount_of(found, proposal, policy),
        "about": about_of(found, proposal, policy),
        "readable": readable,
        "role": role.replace("_", "-"),
        "proposal": proposal,
        "args": arguments_view(proposal.args) if proposal else None,
        "claim": text_view(proposal.claim) if proposal and proposal.claim else None,
        "edited": [
            {name: text_view(str(one[name])).lead for name in ("path", "from", "to")}
            for one in proposal.edited
        ]
        if proposal
        else [],
        "near": beside(found, proposal, now),
        "votes": votes_of(asked) if asked else [],
        "grants": list(Grant.objects.filter(decision=found).order_by("made_at")),
        "executions": [
            (one, text_view(open_text(bytes(one.result))) if readable and one.result else None)
            for one in executions
        ],
        "may_settle": bool(roles_on(person, found.feature) & MAY_STOP),
        "trace_id": bytes(found.trace_id).hex() if found.trace_id else "",
        "error": error,
        "typed": request.POST if error else {},
        **(_draft(found, proposal, action, person, now, request.POST if error else None)),
    }
    return render(request, "approvals/decision.html", context, status=error.status if error else 200)


def _draft(
    found: Decision,
    proposal: Proposal | None,
    action: Action | None,
    person: Person,
    now: datetime,
    typed: Mapping[str, str] | None,
) -> dict[str, object]:
    """What became of a draft, or the fields by which it is proposed."""
    if not found.is_draft:
        return {}
    proposed = proposal_of(found)
    why_not = why_not_propose(found, person)
    open_to = proposed is None and not why_not and proposal is not None
    return {
        "proposed": proposed,
        "proposed_state": decision_state(proposed, now) if proposed else "",
        "why_not": why_not,
        "fields": edit_fields(proposal.args, action.schema_ if action else None, typed)
        if open_to and proposal
        else None,
    }


@page
@require_safe
def decisions(request: HttpRequest, slug: str) -> HttpResponse:
    """The decisions of a feature, the newest first, by answer, action and state."""
    feature = feature_for(request.user, slug)
    given = {name: request.GET.get(name, "") for name in ("answer", "state", "action")}
    if given["answer"] not in ("", *ANSWERS):
        raise BadField("answer", f"answer must be one of {', '.join(ANSWERS)}.")
    if given["state"] not in ("", *STATES):
        raise BadField("state", f"state must be one of {', '.join(STATES)}.")
    wanted = Q()
    if given["answer"]:
        wanted &= Q(answer=given["answer"])
    if given["action"]:
        wanted &= Q(action=given["action"][:64].replace("\0", ""))
    if given["state"]:
        wanted &= _state(given["state"])
    found = decisions_of([feature], wanted, read_uuid(request.GET.get("before", ""), "before"), PAGE + 1)
    now, person = clock(), person_of(request)
    lines = []
    for one in found[:PAGE]:
        asked = getattr(one, "request", None)
        policy = policy_of(one.policy_id) if one.policy_id else None
        readable = may_read(one, role_to_decide(one, asked, policy), person)
        proposal = open_proposal(one) if readable else None
        lines.append(
            {
                "decision": one,
                "state": decision_state(one, now),
                "amount": amount_of(one, proposal, policy),
                "about": hint_of(one, proposal, policy),
                "why": one.reasons[0]["detail"] if one.reasons else "",
            }
        )
    context = {
        "feature": feature,
        "lines": lines,
        "given": given,
        "filtered": any(given.values()),
        "answers": ANSWERS,
        "states": STATES,
        "next": found[PAGE - 1].pk if len(found) > PAGE else None,
    }
    return render(request, "approvals/decisions.html", context)


def _state(state: str) -> Q:
    if state in ("draft", "proposed"):
        return Q(is_draft=True, proposal__isnull=state == "draft")
    if state in REQUEST_STATES:
        return Q(request__state=state)
    return Q(executions__state="started" if state == "running" else state)


@page
@require_safe
def execution(request: HttpRequest, execution_id: UUID) -> HttpResponse:
    """To its place on its decision's page."""
    found = Execution.objects.filter(pk=execution_id, feature__in=features_for(person_of(request))).first()
    if found is None:
        raise Http404("No such execution, or none that you may see.")
    return redirect(f"{reverse('decision', args=[found.decision_id])}#execution-{found.pk}")


@page
@require_POST
@plain_form
def settle_execution(request: HttpRequest, execution_id: UUID) -> HttpResponse:
    """A person says how an execution ended whose outcome nobody knows."""
    person = person_of(request)
    found = (
        Execution.objects.filter(pk=execution_id, feature__in=features_for(person))
        .select_related("feature")
        .first()
    )
    if found is None:
        raise Http404("No such execution, or none that you may see.")
    if not roles_on(person, found.feature) & MAY_STOP:
        raise Forbidden("not_allowed", "Only leads and on-call settle outcomes.")
    state: Outcome = next((one for one in OUTCOMES if one == request.POST.get("state")), "unknown")
    try:
        settle(found.pk, state, request.POST.get("reason", ""), person, session_mark(request))
    except ClearanceError as error:
        return decision_page(request, decision_for(person, found.decision_id), error)
    response = redirect("decision", decision_id=found.decision_id)
    response.status_code = 303
    return response
