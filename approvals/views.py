"""Pages of decisions and requests, and the votes on them. A request of a feature that one may not see is absent."""

from uuid import UUID

import msgspec
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from approvals.models import ApprovalRequest, Decision
from approvals.presenting import body_of
from approvals.proposal import open_proposal
from approvals.services import as_it_stands, kill, restore, vote
from approvals.services.stopping import body_of as killed_body
from approvals.services.voting import ANSWERS, may_vote
from features.errors import ClearanceError, NotFoundError
from features.gate import stops_in_force
from features.identity.sessions import session_mark
from features.identity.step_up import step_up
from features.models import Feature, Person
from features.pages import page, person_of
from features.plain_form import plain_form
from features.problems import BadField
from features.queries import feature_for, features_for, roles_on

# Whoever carries the pager or answers for the feature.
MAY_STOP = frozenset({"lead", "on_call"})


class Forbidden(ClearanceError):
    """Not with this role."""

    status = 403


def request_for(person: Person, request_id: UUID) -> ApprovalRequest:
    """The request, if the person has a role on its feature. Raises Http404."""
    found = (
        ApprovalRequest.objects.filter(pk=request_id, feature__in=features_for(person))
        .select_related("decision", "feature", "decision__policy")
        .first()
    )
    if found is None:
        raise Http404("No such request, or none that you may see.")
    return found


@page
@require_safe
def approval(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """One request: what will run, why it needs a person, and the votes."""
    person = person_of(request)
    asked = request_for(person, request_id)
    why_not = may_vote(asked, person)
    proposal = open_proposal(asked.decision) if not why_not else None
    context = {"asked": asked, "feature": asked.feature, "why_not": why_not, "proposal": proposal}
    return render(request, "approvals/approval.html", context)


@page
@require_safe
def decision(request: HttpRequest, decision_id: UUID) -> HttpResponse:
    """One decision, from proposal to outcome."""
    found = (
        Decision.objects.filter(pk=decision_id, feature__in=features_for(person_of(request)))
        .select_related("feature", "policy", "key")
        .first()
    )
    if found is None:
        raise Http404("No such decision, or none that you may see.")
    body = body_of(as_it_stands(found))[1]
    return render(
        request, "approvals/decision.html", {"decision": found, "feature": found.feature, "body": body}
    )


@page
@require_POST
@plain_form
def cast_vote(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """A vote; 303 to the request. With `Accept: application/json` its record, or the error as JSON."""
    try:
        return _voted(request, request_id)
    except (ClearanceError, Http404) as error:
        if not _wants_json(request):
            raise
        status = error.status if isinstance(error, ClearanceError) else 404
        code = error.code if isinstance(error, ClearanceError) else "not_found"
        return JsonResponse({"status": status, "code": code, "detail": str(error)}, status=status)


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def _voted(request: HttpRequest, request_id: UUID) -> HttpResponse:
    person = person_of(request)
    asked = request_for(person, request_id)
    answer, revision = ANSWERS.get(request.POST.get("vote", "")), request.POST.get("revision", "")
    if answer is None:
        raise BadField("vote", "vote must be approve or reject.")
    if not (revision.isascii() and revision.isdigit() and len(revision) < 9):
        raise BadField("revision", "revision must be the number of what you looked at.")
    done = vote(
        asked.pk,
        answer,
        int(revision),
        person,
        request.POST.get("reason", ""),
        session_mark(request),
    )
    if _wants_json(request):
        return JsonResponse({"state": done.request.state, "record": msgspec.to_builtins(done.record)})
    response = redirect("approval", request_id=asked.pk)
    response.status_code = 303
    return response


def _may_stop(request: HttpRequest, slug: str) -> Feature:
    feature = feature_for(request.user, slug)
    if not roles_on(request.user, feature) & MAY_STOP:
        raise Forbidden("not_allowed", "Only leads and on-call switch tools off and on.")
    return feature


@page
@require_POST
@plain_form
def stop_tools(request: HttpRequest, slug: str) -> HttpResponse:
    """The kill switch, one click."""
    feature = _may_stop(request, slug)
    killed = kill(
        feature,
        action=request.POST.get("action", "")[:64],
        reason=request.POST.get("reason", ""),
        by=person_of(request),
        session=session_mark(request),
    )
    if _wants_json(request):
        return JsonResponse(killed_body(killed))
    return redirect("feature", slug=slug)


@page
@require_POST
@plain_form
@step_up
def restore_tools(request: HttpRequest, slug: str) -> HttpResponse:
    """Tools on again, by a person who says why."""
    feature = _may_stop(request, slug)
    stop = stops_in_force().filter(feature=feature, action=request.POST.get("action", "")).first()
    if stop is None:
        raise NotFoundError("not_stopped", "Nothing of this is switched off.")
    restore(stop, request.POST.get("reason", ""), person_of(request), session_mark(request))
    return redirect("feature", slug=slug)
