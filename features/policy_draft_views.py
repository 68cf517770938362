"""Writing a feature's next policy, and answering a proposal of one."""

import difflib
from uuid import UUID

import msgspec
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from features.errors import ClearanceError
from features.identity.step_up import step_up
from features.models import Feature, PolicyDraft, PolicyProposal, PolicyVersion
from features.pages import page, person_of
from features.plain_form import plain_form
from features.policy import PolicyFault, active_version
from features.policy.drafts import (
    DraftMoved,
    Look,
    accept_proposal,
    activate_draft,
    cleaned,
    decline_proposal,
    discard_draft,
    draft_of,
    look_at,
    may_be_alone,
    pending_proposal,
    propose_draft,
    save_draft,
    why_not_accept,
)
from features.policy_page import parts_of, rows_of
from features.problems import BadField
from features.queries import feature_for, holders, roles_on
from features.views import led_by_me

_MOST_LINES = 400

STARTING = """# The job of {name} and what it may do: docs/policy.md says what each line means.
[feature]
slug = "{slug}"
name = "{name}"
task = "{task}"
tier = "execute_with_approval"              # suggest | draft | execute_with_approval | execute_under_threshold
disallowed = []                             # classes and names; they win over everything

[[action]]
name = "look_up"
effect = "read"                             # read | reversible | irreversible
"""


class FaultLine(msgspec.Struct, frozen=True):
    """A fault with the line that it is in."""

    number: int
    line: str
    said: str


def _lines(faults: list[PolicyFault], lines: list[str]) -> list[FaultLine]:
    return [
        FaultLine(one.line, lines[one.line - 1].strip()[:200] if one.line <= len(lines) else "", str(one))
        for one in faults
    ]


def _checked(request: HttpRequest, feature: Feature, look: Look) -> dict[str, object]:
    """What the checks of a text show."""

    leads = holders(feature)["lead"]
    return {
        "feature": feature,
        "look": look,
        "faults": _lines(look.faults, look.lines),
        "warnings": _lines(look.warnings, look.lines),
        "rows": rows_of(look.changes, look.effects),
        "alone": may_be_alone(feature, look),
        "only_lead": len(leads) < 2,
        "may_edit": "lead" in roles_on(request.user, feature),
        "pending": pending_proposal(feature),
    }


@page
@require_http_methods(["GET", "HEAD", "POST"])
@plain_form
def draft(request: HttpRequest, slug: str) -> HttpResponse:
    """The draft of the next policy; POST saves it (leads), and puts it in force or proposes it where asked to."""
    if request.method != "POST":
        feature = feature_for(request.user, slug)
        found = draft_of(feature)
        return _draft_page(request, feature, found.text if found else _starting(feature), found)
    feature = led_by_me(request, slug)
    text, revision = request.POST.get("text"), request.POST.get("revision", "")
    if text is None or not (revision.isascii() and revision.isdigit() and len(revision) < 9):
        raise BadField("text", "The form holds a text and the revision that it was made from.")
    try:
        return _act(request, feature, text, int(revision), request.POST.get("act", "save"))
    except DraftMoved as moved:
        return _draft_page(request, feature, text, moved.draft, moved)
    except ClearanceError as error:
        return _draft_page(request, feature, text, draft_of(feature), error)


def _act(request: HttpRequest, feature: Feature, text: str, revision: int, act: str) -> HttpResponse:
    by = person_of(request)
    if act == "discard":
        discard_draft(feature=feature, revision=revision)
        messages.success(request, "The draft is gone; the policy in force is as it was.")
        return redirect("policy", feature.slug)
    saved = save_draft(feature=feature, text=text, revision=revision, by=by)
    if act == "activate":
        applied = activate_draft(feature=feature, revision=saved.revision, by=by)
        messages.success(request, f"Policy {applied.number} is in force.")
        return redirect("policy", feature.slug)
    if act == "propose":
        proposal = propose_draft(feature=feature, revision=saved.revision, by=by)
        messages.success(request, "Proposed. The other leads were told.")
        return redirect("policy_proposal", feature.slug, proposal.pk)
    messages.success(request, "Saved. Nothing is in force yet.")
    return redirect("policy_draft", feature.slug)


def _starting(feature: Feature) -> str:
    version = active_version(feature.pk)
    if version is not None:
        return version.source
    quoted = {
        "name": feature.name,
        "slug": feature.slug,
        "task": feature.task or "Say the job in one sentence.",
    }
    return STARTING.format(
        **{key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in quoted.items()}
    )


def _draft_page(
    request: HttpRequest,
    feature: Feature,
    text: str,
    found: PolicyDraft | None,
    error: ClearanceError | None = None,
) -> HttpResponse:
    text = text.replace("\r\n", "\n")
    moved = isinstance(error, DraftMoved)
    context = {
        **_checked(request, feature, look_at(feature, text)),
        "text": text,
        "draft": found,
        "revision": found.revision if found else 0,
        "error": error,
        "moved": moved,
        "difference": _difference(found.text if found else "", text) if moved else [],
        "parts": parts_of(request, feature, "draft", draft=found),
    }
    return render(request, "features/policy_draft.html", context, status=error.status if error else 200)


class DiffLine(msgspec.Struct, frozen=True):
    """A line of a difference: " ", "+" or "-" before it, "@" where lines were left out."""

    mark: str
    text: str


def _difference(before: str, after: str) -> list[DiffLine]:
    """What differs between two texts, three lines around each place."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=3, lineterm=""))[2:]
    return [DiffLine(line[:1], line[1:]) for line in lines[:_MOST_LINES]]


@page
@require_POST
def check(request: HttpRequest, slug: str) -> HttpResponse:
    """What a text says while it is typed (leads); nothing is kept."""
    feature = led_by_me(request, slug)
    text = cleaned(request.POST.get("text", ""))
    return render(
        request, "features/policy_draft.html#checks", _checked(request, feature, look_at(feature, text))
    )


@page
@require_http_methods(["GET", "HEAD", "POST"])
@plain_form
@step_up
def proposal(request: HttpRequest, slug: str, proposal: UUID) -> HttpResponse:
    """A proposed policy, as it was proposed; POST accepts or declines it (leads)."""
    if request.method != "POST":
        feature = feature_for(request.user, slug)
        return _proposal_page(request, feature, _proposal(feature, proposal))
    feature = led_by_me(request, slug)
    found, by = _proposal(feature, proposal), person_of(request)
    answer = request.POST.get("answer", "")
    try:
        if answer == "accept":
            number = accept_proposal(feature=feature, proposal=found.pk, by=by).number
            messages.success(request, f"Policy {number} is in force.")
            return redirect("policy", feature.slug)
        if answer == "decline":
            decline_proposal(feature=feature, proposal=found.pk, by=by, reason=request.POST.get("reason", ""))
            messages.success(request, "Declined. The policy in force is as it was.")
            return redirect("policy_proposal", feature.slug, found.pk)
    except ClearanceError as error:
        return _proposal_page(request, feature, _proposal(feature, proposal), error)
    raise BadField("answer", "answer must be accept or decline.")


def _proposal(feature: Feature, pk: UUID) -> PolicyProposal:
    rows = PolicyProposal.objects.filter(feature=feature, pk=pk)
    found = rows.select_related("proposed_by", "edited_by", "decided_by").first()
    if found is None:
        raise Http404("This feature has no such proposal.")
    return found


def _proposal_page(
    request: HttpRequest, feature: Feature, found: PolicyProposal, error: ClearanceError | None = None
) -> HttpResponse:
    person = person_of(request)
    base = PolicyVersion.objects.filter(feature=feature, number=found.base).first()
    look = look_at(feature, found.source) if found.state == "pending" else None
    why_not = why_not_accept(found, person)
    others = [
        one for one in holders(feature)["lead"] if one.pk not in (found.proposed_by_id, found.edited_by_id)
    ]
    context = {
        **(_checked(request, feature, look) if look else {}),
        "feature": feature,
        "proposal": found,
        "look": look,
        "difference": _difference(base.source if base else "", found.source),
        "outdated": look is not None and look.base != found.base,
        "may_answer": "lead" in roles_on(request.user, feature),
        "why_not": why_not,
        "others": others,
        "parts": parts_of(request, feature, "proposal", proposal=found) if look else [],
        "error": error,
        "typed": request.POST.get("reason", ""),
    }
    return render(request, "features/policy_proposal.html", context, status=error.status if error else 200)
