"""How rooms compose into pages without knowing each other: each registers its parts in AppConfig.ready().

The frame, the board, the overview and the trace page know no room by name; they show what is registered, in
the order that the parts ask for. A part that is registered again under its key replaces itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

import msgspec
from django.http import HttpRequest

from features.models import Feature, Person
from features.window import Window

__all__ = [
    "BoardPart",
    "Column",
    "NavItem",
    "OverviewPanel",
    "PolicyPart",
    "SettingsPanel",
    "TracePanel",
    "board_parts",
    "nav_items",
    "overview_panels",
    "policy_parts",
    "register_board_part",
    "register_nav",
    "register_overview_panel",
    "register_policy_part",
    "register_settings_panel",
    "register_trace_panel",
    "settings_panels",
    "trace_panels",
]

Scope = Literal["house", "feature"]


class NavItem(msgspec.Struct, frozen=True):
    """A line of the navigation: of the house (over all my features) or of the feature that is open.

    `url_name` takes no argument in the house and the slug in a feature. `count` gives the figure beside the
    label, an empty string for none; it runs on every page, so it must be one cheap query.
    """

    scope: Scope
    label: str
    url_name: str
    order: int
    count: Callable[[Person, Feature | None], str] | None = None


class Column(msgspec.Struct, frozen=True):
    """A heading of the board; numbers are set to the right."""

    label: str
    numeric: bool = True


class BoardPart(msgspec.Struct, frozen=True):
    """Columns of the features board. `rows` gives what `template` (its `<td>`s, with `row`) needs, by
    feature ID."""

    key: str
    order: int
    columns: tuple[Column, ...]
    template: str
    rows: Callable[[Sequence[Feature], Window], Mapping[UUID, object]]


class OverviewPanel(msgspec.Struct, frozen=True):
    """A part of a feature's overview: a template and what it needs, computed for a request and a window."""

    key: str
    order: int
    template: str
    context: Callable[[HttpRequest, Feature, Window], Mapping[str, object]]


class TracePanel(msgspec.Struct, frozen=True):
    """A part of the trace page; `context` gets the page's traces.queries.TraceDetail, None hides the
    part.

    It stands beside the timeline ("side": a whole panel), among the actions of the head ("action": a link or a
    form with one button), or in the verdict line ("verdict": a badge that leads somewhere).
    """

    key: str
    order: int
    template: str
    context: Callable[[HttpRequest, Any], Mapping[str, object] | None]
    place: Literal["side", "action", "verdict"] = "side"


class SettingsPanel(msgspec.Struct, frozen=True):
    """A part of a feature's settings page."""

    key: str
    order: int
    template: str
    context: Callable[[HttpRequest, Feature], Mapping[str, object]]


class PolicyPart(msgspec.Struct, frozen=True):
    """A part of the pages of a policy: links in the head of the version in force ("head"), of the draft ("draft") or
    of a proposal ("proposal"). The template has `feature`, `draft` and, for a proposal, `proposal`.
    """

    key: str
    order: int
    template: str
    context: Callable[[HttpRequest, Feature], Mapping[str, object]]
    place: Literal["head", "draft", "proposal"] = "head"


# The features' own lines; the other rooms register theirs.
_OWN = (
    NavItem("house", "Features", "features", 0),
    NavItem("house", "Audit", "audit", 900),
    NavItem("feature", "Overview", "feature", 0),
    NavItem("feature", "Policy", "policy", 940),
    NavItem("feature", "People", "people", 950),
    NavItem("feature", "Settings", "settings", 1000),
)
_nav: dict[tuple[Scope, str], NavItem] = {(item.scope, item.url_name): item for item in _OWN}
_board: dict[str, BoardPart] = {}
_overview: dict[str, OverviewPanel] = {}
_trace: dict[str, TracePanel] = {}
_settings: dict[str, SettingsPanel] = {}
_policy: dict[str, PolicyPart] = {}


def register_nav(item: NavItem) -> None:
    """Add a line to the navigation."""
    _nav[item.scope, item.url_name] = item


def register_board_part(part: BoardPart) -> None:
    """Add columns to the features board."""
    _board[part.key] = part


def register_overview_panel(panel: OverviewPanel) -> None:
    """Add a part to every feature's overview."""
    _overview[panel.key] = panel


def register_trace_panel(panel: TracePanel) -> None:
    """Add a part to the trace page."""
    _trace[panel.key] = panel


def register_settings_panel(panel: SettingsPanel) -> None:
    """Add a part to every feature's settings."""
    _settings[panel.key] = panel


def nav_items(scope: Scope) -> list[NavItem]:
    """The lines of a navigation, in order."""
    return sorted((item for item in _nav.values() if item.scope == scope), key=lambda item: item.order)


def board_parts() -> list[BoardPart]:
    """The board's parts, in order."""
    return sorted(_board.values(), key=lambda part: part.order)


def overview_panels() -> list[OverviewPanel]:
    """The overview's parts, in order."""
    return sorted(_overview.values(), key=lambda panel: panel.order)


def trace_panels() -> list[TracePanel]:
    """The trace page's parts of other rooms, in order."""
    return sorted(_trace.values(), key=lambda panel: panel.order)


def settings_panels() -> list[SettingsPanel]:
    """The settings' parts of other rooms, in order."""
    return sorted(_settings.values(), key=lambda panel: panel.order)


def register_policy_part(part: PolicyPart) -> None:
    """Add a part to the pages of every feature's policy."""
    _policy[part.key] = part


def policy_parts() -> list[PolicyPart]:
    """The parts of the policy's pages of other rooms, in order."""
    return sorted(_policy.values(), key=lambda part: part.order)
