"""One request: what will run, why it needs a person, what it touches, and the forms by which it is decided."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from uuid import UUID

import msgspec
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from approvals.edit_form import EditField, edit_fields, read_edit
from approvals.inbox_views import CHIPS, wait_for
from approvals.judging import action_of
from approvals.models import ApprovalRequest, Execution
from approvals.origin import origin_of
from approvals.present import arguments_view, duration_words, left_words, text_view, title_of
from approvals.proposal import Proposal, open_proposal
from approvals.queries import (
    about_of,
    amount_of,
    beside,
    count_questions,
    may_read,
    neighbours,
    questions_of,
    stage_of,
    undo_until,
    votes_of,
)
from approvals.services import edit, take_back, vote
from approvals.services.asking import LONGEST, may_know
from approvals.services.voting import ANSWERS, may_vote, said_of
from approvals.telling import hand_over, voters_of
from features.clock import clock
from features.errors import ClearanceError, ConflictError
from features.identity.sessions import session_mark
from features.models import Person
from features.pages import page, person_of
from features.plain_form import plain_form
from features.policy import PolicyDocument, policy_of
from features.policy.words import words_of
from features.problems import BadField
from features.queries import features_for


def request_for(person: Person, request_id: UUID) -> ApprovalRequest:
    """The request, if the person has a role on its feature. Raises Http404."""
    found = (
        ApprovalRequest.objects.filter(pk=request_id, feature__in=features_for(person))
        .select_related(
            "decision__policy", "decision__feature", "decision__key", "decision__proposed_by", "feature"
        )
        .first()
    )
    if found is None:
        raise Http404("No such request, or none that you may see.")
    return found


@page
@require_safe
def approval(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """The page of one request."""
    return _page(request, request_for(person_of(request), request_id))


def _page(
    request: HttpRequest,
    asked: ApprovalRequest,
    error: ClearanceError | None = None,
    typed: Mapping[str, str] | None = None,
) -> HttpResponse:
    """The page; with an error it says so, keeps what was typed, and has the error's status."""
    person, now = person_of(request), clock()
    decision, feature = asked.decision, asked.feature
    readable = may_read(decision, asked.role, person)
    proposal = open_proposal(decision) if readable else None
    policy = policy_of(decision.policy_id) if decision.policy_id else None
    origin = origin_of(decision, proposal) if readable else None
    view = arguments_view(proposal.args, origin.marks if origin else None) if proposal else None
    near = beside(decision, proposal, now)
    place, count, before, after = neighbours(person, asked)
    context = {
        "asked": asked,
        "decision": decision,
        "feature": feature,
        "readable": readable,
        "proposal": proposal,
        "digest": bytes(decision.digest).hex(),
        "title": title_of(asked.action),
        "amount": amount_of(decision, proposal, policy),
        "about": about_of(decision, proposal, policy),
        "args": view,
        "claim": text_view(proposal.claim) if proposal and proposal.claim else None,
        "said_context": arguments_view(proposal.context) if proposal and proposal.context else None,
        "edited": _edited(proposal),
        "near": near,
        "rule_words": words_of(near.action.under) if near.action and near.action.under else None,
        "origin": origin,
        "place": place,
        "count": count,
        "before": before,
        "after": after,
        "chips": CHIPS,
        "fields": _fields(proposal, policy, asked, typed) if proposal and policy else [],
        "others": [one for one in voters_of(asked) if one.pk != person.pk],
        "error": error,
        "typed": typed or {},
        "longest": LONGEST,
        "grant_words": duration_words(near.action.grant_ttl) if near.action else "",
        **_now(asked, person, now),
    }
    return render(request, "approvals/approval.html", context, status=error.status if error else 200)


def _edited(proposal: Proposal | None) -> list[dict[str, object]]:
    if proposal is None:
        return []
    return [
        {
            "path": text_view(str(one["path"])).lead,
            "from": text_view(str(one["from"])).lead,
            "to": text_view(str(one["to"])).lead,
        }
        for one in proposal.edited
    ]


def _fields(
    proposal: Proposal, policy: PolicyDocument, asked: ApprovalRequest, typed: Mapping[str, str] | None
) -> list[EditField]:
    action = action_of(policy, asked.action)
    return edit_fields(proposal.args, action.schema_ if action else None, typed)


def _now(asked: ApprovalRequest, person: Person, now: datetime) -> dict[str, object]:
    """What changes while the page is open."""
    stage = stage_of(asked, now)
    votes = votes_of(asked)
    undo = undo_until(asked, person, now)
    why_not = may_vote(asked, person)
    voted = any(
        one.person_id == person.pk and one.revision == asked.revision and one.taken_back_at is None
        for one in votes
    )
    seconds = (asked.expires_at - now).total_seconds()
    execution = Execution.objects.filter(decision=asked.decision_id).order_by("-started_at").first()
    knows = may_know(asked, person)
    asked_count, answered_count = count_questions(asked)
    undo_seconds = round((undo - now).total_seconds()) if undo else None
    return {
        "stage": stage,
        "open": stage == "pending",
        "votes": votes,
        "approvals": sum(
            one.vote == "approve" and one.revision == asked.revision and one.taken_back_at is None
            for one in votes
        ),
        "voted": voted,
        "own": asked.decision.proposed_by_id == person.pk,
        "why_not": "" if asked.decision.proposed_by_id == person.pk else why_not,
        "may": stage == "pending" and not why_not and not voted,
        "may_know": knows,
        "questions": partial(questions_of, asked) if knows else None,
        "undo": undo is not None,
        "undo_seconds": undo_seconds if asked.state != "pending" else None,
        "left": left_words(seconds),
        "hurry": seconds < 300,
        "said": said_of(asked) if asked.state != "pending" else "",
        "execution": execution,
        "mark": f"{stage}-{asked.revision}-{len(votes)}-{sum(one.taken_back_at is not None for one in votes)}"
        f"-{int(undo is not None)}-{asked_count}-{answered_count}",
    }


@never_cache
@require_GET
async def approval_wait(request: HttpRequest, request_id: UUID) -> HttpResponseBase:
    """The state of one request, answered when it is another than `seen`, or after 25 s."""

    def look(late: bool) -> HttpResponse | None:
        person = request.user
        assert isinstance(person, Person)
        asked = request_for(person, request_id)
        now = _now(asked, person, clock())
        seen = request.GET.get("seen", "")
        if now["mark"] == seen and not late:
            return None
        revision = request.GET.get("revision", "")
        context = {
            "asked": asked,
            "feature": asked.feature,
            "news": now["mark"] != seen,
            "moved": revision not in ("", str(asked.revision)),
            "bar": request.GET.get("bar", ""),
            "polled": True,
            "shown_revision": revision,
            **now,
        }
        return render(request, "approvals/approval.html#now", context)

    return await wait_for(request, reverse("approval", args=[request_id]), look)


def wants_json(request: HttpRequest) -> bool:
    """Whether a program asks: its errors are JSON too."""
    return request.headers.get("Accept", "").startswith("application/json")


def _revision(request: HttpRequest) -> int:
    revision = request.POST.get("revision", "")
    if not (revision.isascii() and revision.isdigit() and len(revision) < 9):
        raise BadField("revision", "revision must be the number of what you looked at.")
    return int(revision)


@page
@require_POST
@plain_form
def cast_vote(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """A vote; 303 to the request. With `Accept: application/json` its record, or the error as JSON."""
    try:
        return _voted(request, request_id)
    except (ClearanceError, Http404) as error:
        if wants_json(request):
            status = error.status if isinstance(error, ClearanceError) else 404
            code = error.code if isinstance(error, ClearanceError) else "not_found"
            return JsonResponse({"status": status, "code": code, "detail": str(error)}, status=status)
        if isinstance(error, Http404):
            raise
        return again(request, request_id, error)


def _voted(request: HttpRequest, request_id: UUID) -> HttpResponse:
    person = person_of(request)
    asked = request_for(person, request_id)
    answer = ANSWERS.get(request.POST.get("vote", ""))
    if answer is None:
        raise BadField("vote", "vote must be approve or reject.")
    revision = _revision(request)
    if answer == "approve" and "by_page" in request.POST:
        _looked(request, asked)
    done = vote(asked.pk, answer, revision, person, reason_of(request), session_mark(request))
    if wants_json(request):
        return JsonResponse({"state": done.request.state, "record": msgspec.to_builtins(done.record)})
    return _seen(request_id)


def reason_of(request: HttpRequest) -> str:
    """Chips and words, as the agent is told."""
    chips = ", ".join(one for one in request.POST.getlist("chip") if one in CHIPS)
    return ": ".join(filter(None, [chips, request.POST.get("reason", "").strip()]))


def _looked(request: HttpRequest, asked: ApprovalRequest) -> None:
    """The page's form says that what was folded was read, and that what cannot be undone is meant. Raises
    ClearanceError.
    """
    if asked.state != "pending":
        return  # the vote says who was first
    proposal = open_proposal(asked.decision)
    if proposal and arguments_view(proposal.args).folds and "read_all" not in request.POST:
        raise ClearanceError(
            "not_read", "Open what is folded first.", "Then say that you have read all of it.", "read_all"
        )
    if asked.irreversible and "confirm" not in request.POST:
        raise ClearanceError(
            "not_confirmed", "It cannot be undone.", "Say that it shall run, then approve.", "confirm"
        )


def again(request: HttpRequest, request_id: UUID, error: ClearanceError) -> HttpResponse:
    """The page once more, with what is wrong and with what was typed."""
    asked = request_for(person_of(request), request_id)
    return _page(request, asked, error, {name: str(value) for name, value in request.POST.items()})


def _seen(request_id: UUID) -> HttpResponse:
    response = redirect("approval", request_id=request_id)
    response.status_code = 303
    return response


@page
@require_POST
@plain_form
def take_vote_back(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """My approval back, while nothing can have run by it."""
    person = person_of(request)
    asked = request_for(person, request_id)
    try:
        take_back(asked.pk, person, session_mark(request))
    except ClearanceError as error:
        return again(request, request_id, error)
    return _seen(request_id)


@page
@require_POST
@plain_form
def edit_request(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Other arguments within the policy: a new revision."""
    person = person_of(request)
    asked = request_for(person, request_id)
    try:
        revision = _revision(request)
        proposal = open_proposal(asked.decision) if may_read(asked.decision, asked.role, person) else None
        if proposal is None:
            raise ClearanceError("unavailable", "What was proposed cannot be read by you, or no more.")
        if revision != asked.revision:
            raise ConflictError("revision", "It was edited meanwhile.", "Look at what is proposed now.")
        args = read_edit(proposal.args, request.POST)
        edit(asked.pk, args, revision, person, session_mark(request))
    except ClearanceError as error:
        return again(request, request_id, error)
    messages.success(request, "Edited: this is a new revision, on which nobody has voted yet.")
    return _seen(request_id)


@page
@require_POST
@plain_form
def hand_request_over(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Tell somebody else who may decide it. It moves a notice, never a right."""
    person = person_of(request)
    asked = request_for(person, request_id)
    to = next((one for one in voters_of(asked) if str(one.pk) == request.POST.get("to", "")), None)
    if to is None or to.pk == person.pk:
        return again(
            request, request_id, ClearanceError("to", "Choose somebody who may decide it.", field="to")
        )
    with transaction.atomic():
        hand_over(asked, to, person)
    messages.success(request, f"{to} was told.")
    return _seen(request_id)
