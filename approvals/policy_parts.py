"""What this room adds to the pages of policies: trying an action, and replaying the last 30 days."""

from collections.abc import Mapping

from django.http import HttpRequest

from approvals.trying import judge
from features.models import Feature
from features.policy.drafts import draft_of
from features.policy.examples import register_judge
from features.queries import roles_on
from features.registry import PolicyPart, register_policy_part


def _on_draft(request: HttpRequest, feature: Feature) -> Mapping[str, object]:
    return {"may_replay": draft_of(feature) is not None and "lead" in roles_on(request.user, feature)}


def _on_proposal(request: HttpRequest, feature: Feature) -> Mapping[str, object]:
    return {"may_replay": "lead" in roles_on(request.user, feature)}


def register() -> None:
    """Called once, when the application is ready."""
    register_judge(judge)
    link = "approvals/policy_links.html"
    register_policy_part(PolicyPart("try", 10, link, _on_draft, "head"))
    register_policy_part(PolicyPart("try_draft", 10, link, _on_draft, "draft"))
    register_policy_part(PolicyPart("replay_proposal", 10, link, _on_proposal, "proposal"))
