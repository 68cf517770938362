"""What this room adds to pages of others: the inbox with its count, a trace's decisions, an overview's."""

from collections.abc import Mapping

from django.db.models import Count
from django.http import HttpRequest

from approvals.models import ApprovalRequest, Decision
from approvals.queries import count_pending, decision_state
from approvals.services.standing import readiness
from features.clock import clock
from features.health import register_detail
from features.models import Feature, Person
from features.queries import features_for
from features.registry import (
    NavItem,
    OverviewPanel,
    TracePanel,
    register_nav,
    register_overview_panel,
    register_trace_panel,
)
from features.window import Window
from traces.queries import TraceDetail

_MOST = 20


def register() -> None:
    """Called once, when the application is ready."""
    register_nav(NavItem("house", "My approvals", "approvals", 50, _count))
    register_nav(NavItem("feature", "Approvals", "feature_approvals", 200, _count))
    register_nav(NavItem("feature", "Decisions", "decisions", 210))
    register_trace_panel(TracePanel("decisions", 50, "approvals/trace_decisions.html", _of_trace))
    register_detail("record", readiness)
    register_overview_panel(OverviewPanel("decisions", 300, "approvals/overview.html", _overview))


def _count(person: Person, feature: Feature | None) -> str:
    return count_pending(person, [feature] if feature else list(features_for(person)))


def _of_trace(request: HttpRequest, detail: TraceDetail) -> Mapping[str, object] | None:
    found = list(
        Decision.objects.filter(trace_id=detail.settled.trace_id, feature=detail.feature.pk)
        .select_related("request")
        .order_by("id")[: _MOST + 1]
    )
    if not found:
        return None
    now = clock()
    return {
        "lines": [(one, decision_state(one, now)) for one in found[:_MOST]],
        "more": len(found) > _MOST,
    }


def _overview(request: HttpRequest, feature: Feature, window: Window) -> Mapping[str, object]:
    within = {"created_at__gte": window.start, "created_at__lt": window.end}
    answers = {
        row["answer"]: row["n"]
        for row in Decision.objects.filter(feature=feature, **within).values("answer").annotate(n=Count("pk"))
    }
    states = {
        row["state"]: row["n"]
        for row in ApprovalRequest.objects.filter(feature=feature, **within)
        .values("state")
        .annotate(n=Count("pk"))
    }
    return {
        "n": sum(answers.values()),
        "answers": [(name, answers[name]) for name in ("allow", "needs_approval", "deny") if name in answers],
        "states": sorted(states.items()),
        "held": sum(states.values()),
        "words": window.words,
    }
