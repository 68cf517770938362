"""What this room adds to pages of others: lines of the navigation, columns of the board, the overview."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from django.http import HttpRequest
from django.urls import reverse

from features.health import register_detail
from features.models import Feature
from features.outbox import Kind, register_kind
from features.policy import active_policy
from features.queries import roles_on
from features.registry import (
    BoardPart,
    Column,
    NavItem,
    OverviewPanel,
    SettingsPanel,
    TracePanel,
    register_board_part,
    register_nav,
    register_overview_panel,
    register_settings_panel,
    register_trace_panel,
)
from features.window import Window
from traces.dashboard import begun, dashboard, read_step
from traces.feedback_page import feedback_lines
from traces.filters import traces_url
from traces.lag import lag_of, readiness
from traces.marks import policies_activated, register_marks, versions_first_seen
from traces.metrics import STEPS, MetricGroup, last_seen, metrics_of
from traces.models import VaultEntry
from traces.present.text import line
from traces.queries import TraceDetail, first_trace_at
from traces.retention import active_retention, kept_from
from traces.storage_views import trace_holds

__all__ = ["register"]

_COLUMNS = (
    Column("Requests"),
    Column("Task success"),
    Column("Violations"),
    Column("Tool failures"),
    Column("p50 / p95"),
    Column("Tokens / success"),
    Column("Last trace", numeric=False),
)


class BoardRow(msgspec.Struct, frozen=True):
    """A feature's figures on the board, with the addresses of the requests behind them."""

    group: MetricGroup
    tool_failures: list[float | None]
    last_at: datetime | None
    urls: dict[str, str]


def register() -> None:
    """Register everything; called once, when the application is ready."""
    register_nav(NavItem("house", "All traces", "traces", 100))
    register_nav(NavItem("house", "Prices", "prices", 800))
    register_nav(NavItem("feature", "Traces", "feature_traces", 100))
    register_nav(NavItem("feature", "Send traces", "start", 900))
    register_nav(NavItem("house", "Storage", "storage", 890))
    register_nav(NavItem("feature", "Storage", "feature_storage", 930))
    register_board_part(BoardPart("traces", 100, _COLUMNS, "traces/board_cells.html", _board_rows))
    register_overview_panel(OverviewPanel("metrics", 100, "traces/overview_metrics.html", _overview))
    register_marks("versions", versions_first_seen)
    register_marks("policies", policies_activated)
    register_trace_panel(TracePanel("holds", 900, "traces/trace_holds.html", trace_holds))
    register_overview_panel(OverviewPanel("lag", 50, "traces/overview_lag.html", _lag))
    register_trace_panel(TracePanel("rules", 90, "traces/trace_rules.html", _rules))
    register_trace_panel(TracePanel("feedback", 100, "traces/trace_feedback.html", _feedback))
    register_detail("settling", readiness)
    register_kind("settle.late", SETTLE_LATE)
    register_kind("settle.caught_up", SETTLE_CAUGHT_UP)
    register_settings_panel(SettingsPanel("vault", 100, "traces/settings_vault.html", _vault))


SETTLE_LATE = Kind(
    lambda feature, facts: f"Traces of {feature} wait to be settled",
    lambda feature, facts: (
        f"The oldest waits for {facts['seconds']} s: lists and figures lack what came since."
    ),
    lambda feature, facts: reverse("start", args=[feature.slug]) if feature else reverse("features"),
)
SETTLE_CAUGHT_UP = Kind(
    lambda feature, facts: f"Traces of {feature} are settled again as they come",
    lambda feature, facts: "Lists and figures have all that was stored.",
    lambda feature, facts: reverse("start", args=[feature.slug]) if feature else reverse("features"),
)


def figure_urls(feature: Feature, window: Window) -> dict[str, str]:
    """For each figure, the requests that it came from: those that it counts, the slowest first for a
    latency."""
    query = window.query
    return {
        "requests": traces_url(feature, query),
        "task_success": traces_url(feature, query, outcome="success"),
        "unknown_outcome": traces_url(feature, query, outcome="unknown"),
        "failed": traces_url(feature, query, outcome="failed"),
        "policy_violation": traces_url(feature, query, violation="1"),
        "tool_failure": traces_url(feature, query, tool_error="1"),
        "escalation": traces_url(feature, query, outcome="escalated"),
        "incomplete": traces_url(feature, query, incomplete="1"),
        "latency": traces_url(feature, query, order="slowest"),
        "tokens_per_success": traces_url(feature, query, outcome="success"),
    }


def _board_rows(features: Sequence[Feature], window: Window) -> Mapping[UUID, BoardRow]:
    found = metrics_of(features, window.start, window.end, read_step("", window))
    last = last_seen(features)
    rows = {}
    for feature in features:
        group, points = found[feature.pk]
        rows[feature.pk] = BoardRow(
            group=group,
            tool_failures=[point.group.tool_failure.rate for point in begun(points)],
            last_at=last.get(feature.pk),
            urls=figure_urls(feature, window),
        )
    return rows


def _overview(request: HttpRequest, feature: Feature, window: Window) -> Mapping[str, object]:
    if first_trace_at(feature) is None:
        return {"empty": True}
    step = read_step(request.GET.get("step") or "", window)
    kept = kept_from(feature.pk)
    return {
        "empty": False,
        "board": dashboard(feature, window, step),
        "step": step,
        "steps": list(STEPS),
        "whole_from": kept if window.start < kept else None,
        "kept_days": active_retention(feature.pk),
    }


_PII_WORDS = {
    "drop": "It is replaced by tokens before anything is stored, and the originals are dropped.",
    "tokenise": "It is replaced by tokens before anything is stored, and the originals are sealed in the vault.",
    "keep": "It is kept in the clear, as the policy says. Keys and passwords are still replaced.",
}


def _vault(request: HttpRequest, feature: Feature) -> Mapping[str, object]:
    policy = active_policy(feature.pk)
    return {
        "words": _PII_WORDS[policy.traces.pii if policy else "drop"],
        "kept": VaultEntry.objects.filter(feature=feature, sealed__isnull=False).count(),
        "may_erase": "lead" in roles_on(request.user, feature),
    }


def _lag(request: HttpRequest, feature: Feature, window: Window) -> Mapping[str, object]:
    return {"lag": lag_of(feature)}


def _rules(request: HttpRequest, detail: TraceDetail) -> Mapping[str, object] | None:
    faults = detail.settled.rule_faults
    return (
        {"faults": [line(fault, 400) for fault in faults], "policy": detail.settled.policy}
        if faults
        else None
    )


def _feedback(request: HttpRequest, detail: TraceDetail) -> Mapping[str, object] | None:
    lines = feedback_lines(detail.trace)
    return {"lines": lines} if lines else None
