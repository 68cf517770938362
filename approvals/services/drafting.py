"""A person proposes what was kept as a draft, as their own request."""

from typing import Any
from uuid import UUID

from django.db import transaction

from approvals.judging import action_of
from approvals.models import ApprovalRequest, Decision
from approvals.proposal import Proposal, canonical_object, open_proposal
from approvals.services.deciding import Ask, judge, new_decision, write
from approvals.services.reading import facts_of
from features.acting import actor_of
from features.errors import ClearanceError, ConflictError
from features.models import Person
from features.policy import policy_of
from features.queries import roles_on

__all__ = ["MayNotPropose", "propose_draft", "why_not_propose"]


class MayNotPropose(ClearanceError):
    """The person may not propose this draft."""

    status = 403


def why_not_propose(draft: Decision, person: Person) -> str:
    """Why the person may not propose a draft; an empty text: they may. Arguments are shown to who may decide on such
    an action, so they alone can make them their own; who proposes does not vote.
    """
    policy = policy_of(draft.policy_id) if draft.policy_id else None
    action = action_of(policy, draft.action) if policy else None
    role = action.approvers if action else "approver"
    if role in roles_on(person, draft.feature):
        return ""
    return f"Only a person with the role {role.replace('_', '-')} proposes this; somebody else then decides."


@transaction.atomic
def propose_draft(draft_id: UUID, args: dict[str, Any], by: Person, session: str = "") -> ApprovalRequest:
    """Make a request of a draft, with these arguments: judged by the policy in force now, always for somebody else to
    decide. The draft stays denied for its agent, which collects the new decision. Once for each draft.

    Raises MayNotPropose, ConflictError (`no_draft`, `proposed`, `erased`), and ClearanceError with the code of a
    denial; then nothing is kept.
    """
    # Who proposes the same draft beside us waits here; keys of other tables may go on naming it.
    list(Decision.objects.select_for_update(no_key=True).filter(pk=draft_id).values_list("pk"))
    draft = Decision.objects.select_related("feature", "key").get(pk=draft_id)
    before = _to_propose(draft, by)
    after = before.edited_to(canonical_object(args))
    facts = facts_of(draft.feature_id, draft.action)
    policy = policy_of(facts.policy) if facts.policy else None
    # An agent's idempotency key is printable: it never is this one.
    ask = Ask(
        after,
        f"draft\t{draft.pk}",
        after.digest,
        bytes(draft.trace_id) if draft.trace_id else None,
        bytes(draft.span_id) if draft.span_id else None,
    )
    decision = new_decision(draft.key, ask, facts)
    decision.draft, decision.proposed_by = draft, by
    decision.edits = [one["path"] for one in after.edited]
    judged = judge(decision, after, facts, policy)
    if judged.answer == "deny":
        first = judged.reasons[0]
        raise ClearanceError(
            first.code, first.detail, "Nothing was proposed; the draft is as it was.", field="args"
        )
    request, _ = write(decision, after, judged, facts, policy, actor_of(by, session))
    assert request is not None
    return request


def _to_propose(draft: Decision, by: Person) -> Proposal:
    if not draft.is_draft:
        raise ConflictError("no_draft", "This was not kept as a draft.")
    if why_not := why_not_propose(draft, by):
        raise MayNotPropose("not_allowed", why_not)
    known = Decision.objects.filter(draft=draft).select_related("proposed_by").first()
    if known is not None:
        raise ConflictError(
            "proposed",
            f"{known.proposed_by} proposed this draft already.",
            "A draft is proposed once; the agent can make another.",
        )
    proposal = open_proposal(draft)
    if proposal is None:
        raise ConflictError("erased", "The draft was erased after its retention, or no key opens it.")
    return proposal
