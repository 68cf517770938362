"""A feature's rights beside their use: what could be taken away, and what was used without a right."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from approvals.least_privilege import MOST, privileges_of
from approvals.shadow import executions_without_span
from features.models import Feature
from features.pages import page
from features.queries import feature_for
from features.registry import NavItem, register_nav
from traces.filters import traces_url
from traces.present.text import line
from traces.search.tree import Match, written

__all__ = ["privilege_page", "register"]

_WINDOW = {"window": "30d"}


def register() -> None:
    """The page's line in a feature's navigation."""
    register_nav(NavItem("feature", "Privilege", "privilege", 945))


@page
@require_safe
def privilege_page(request: HttpRequest, slug: str) -> HttpResponse:
    """What was used of what is allowed, in 30 days, and what was used of what is not."""
    feature = feature_for(request.user, slug)
    found = privileges_of(feature)
    silent = list(executions_without_span(feature)[: MOST + 1])
    return render(
        request,
        "approvals/privilege.html",
        {
            "feature": feature,
            "found": found,
            "actions": [(one, _requests(feature, one.name)) for one in found.actions],
            "tools": [(one, line(one.name, 120), _requests(feature, one.name)) for one in found.tools[:MOST]],
            "more_tools": max(len(found.tools) - MOST, 0),
            "undecided": [
                (words, traces_url(feature, _WINDOW, q=written(Match("violation", rule))))
                for rule, words in (
                    ("no_decision", "ran without a decision"),
                    ("arguments_differ", "ran with other arguments"),
                    ("unlisted_tool", "ran a tool outside of the policy"),
                    ("disallowed_tool", "ran a disallowed tool"),
                    ("injection_sign", "read text that speaks to the model"),
                )
            ],
            "silent": silent[:MOST],
            "more_silent": len(silent) > MOST,
        },
    )


def _requests(feature: Feature, tool: str) -> str:
    return traces_url(feature, _WINDOW, tool=tool)
