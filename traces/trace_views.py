"""One trace: the page from verdict to raw span, and the panel of the chosen span as a fragment of it."""

from collections import OrderedDict
from contextlib import suppress
from typing import cast
from urllib.parse import urlencode

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe
from django_htmx.middleware import HtmxDetails

from features.models import Feature
from features.pages import page
from features.policy import active_policy
from features.queries import feature_for
from features.registry import trace_panels
from traces.models import VaultEntry
from traces.neighbour_views import neighbour_views
from traces.present.messages import TURNS, conversation_view, window_of
from traces.present.overview import ViolationView, overview
from traces.present.panel import SpanPanel, span_panel
from traces.present.signs import Signs, turns_of_signs
from traces.present.taint import Taint, find_taint
from traces.present.taint_view import TurnAddress, taint_view
from traces.present.text import Budget, line
from traces.present.tree import Tree, root_is_missing
from traces.present.waterfall import find_spans, selected_by_default, waterfall
from traces.queries import TraceDetail, find_trace, is_settling
from traces.retention import retention_days
from traces.reveal_views import may_reveal
from traces.summarise import conversation, in_order
from traces.summarise.injection import RULE, keyed_signs

# Characters of stored text that a page draws at most; the raw span has the rest.
_PAGE_CHARACTERS = 250_000
_PANEL_CHARACTERS = 120_000
_MOST_UNFOLDED = 20
_MOST_SOUGHT = 120


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What the address says of the page: the chosen span, what is unfolded and looked for, which windows are shown."""

    span: str | None
    unfold: tuple[str, ...]
    rows: int | None
    turns: int
    find: str

    def keep(self, *, without: str = "") -> str:
        """What a link to another span keeps, to be appended to `?span=...`; `without` names what it drops."""
        kept: list[tuple[str, str]] = [("unfold", span_id) for span_id in self.unfold]
        kept += [("turns", str(self.turns))] if self.turns else []
        kept += [("find", self.find)] if self.find else []
        kept = [pair for pair in kept if pair[0] != without]
        return f"&{urlencode(kept)}" if kept else ""


def state_of(request: HttpRequest) -> State:
    """The page's state from its address; what is not an ID or a number says nothing."""
    rows = _number(request.GET.get("rows"))
    unfold = [name for name in request.GET.getlist("unfold") if _is_span_id(name)]
    return State(
        span=request.GET.get("span", "")[:64] or None,
        unfold=tuple(dict.fromkeys(unfold))[:_MOST_UNFOLDED],
        rows=rows,
        turns=_number(request.GET.get("turns")) or 0,
        find=" ".join(request.GET.get("find", "").replace("\0", "").split())[:_MOST_SOUGHT],
    )


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A trace with what the page and its panel both need of it, each computed once."""

    detail: TraceDetail
    state: State
    tree: Tree
    turn_count: int
    taint: Taint
    sign_turns: dict[str, int]
    needs_decision: frozenset[str]

    def turn_address(self, span_id: str | None) -> TurnAddress:
        """Where a turn of the conversation stands while this span is chosen: on this page or in another window."""
        first = window_of(self.turn_count, self.state.turns)

        def address(turn: int) -> str:
            anchor = f"#turn-{turn}"
            if first <= turn < first + TURNS:
                return anchor
            query = {"span": span_id or "", "turns": turn // TURNS * TURNS}
            return f"?{urlencode(query)}{self.state.keep(without='turns')}{anchor}"

        return address


def read(detail: TraceDetail, state: State) -> Reading:
    """Everything of a trace that is not drawing."""
    turn_count, taint, sign_turns = _taint_of(detail)
    return Reading(
        detail=detail,
        state=state,
        tree=Tree(detail.spans),
        turn_count=turn_count,
        taint=taint,
        sign_turns=sign_turns,
        needs_decision=_needs_decision(detail.feature),
    )


# A person looks at one trace span by span: its taint is computed once for as long as it is settled as it is.
_taints: OrderedDict[tuple[object, ...], tuple[int, Taint, dict[str, int]]] = OrderedDict()
_MOST_TAINTS = 8


def _taint_of(detail: TraceDetail) -> tuple[int, Taint, dict[str, int]]:
    """How many turns the conversation has, the taint of the trace, and which turn shows each sign of injection."""
    key = (detail.feature.pk, detail.settled.trace_id, detail.trace.settled_at, len(detail.spans))
    found = _taints.get(key)
    if found is None:
        turns = conversation(detail.spans)
        taint = find_taint(turns, detail.spans, detail.settled.uncounted)
        found = len(turns), taint, turns_of_signs(turns)
        _taints[key] = found
        while len(_taints) > _MOST_TAINTS:
            with suppress(KeyError):  # another thread may have been first
                _taints.popitem(last=False)
    return found


def _needs_decision(feature: Feature) -> frozenset[str]:
    """The actions that the policy in force lets nobody run without a decision: all but the reading ones."""
    policy = active_policy(feature.pk)
    if policy is None:
        return frozenset()
    acting = {action.name for action in policy.action if action.effect != "read"}
    return frozenset(acting | set(policy.feature.disallowed))


@page
@require_safe
def trace_page(request: HttpRequest, slug: str, id: str) -> HttpResponse:
    """The page of a trace by its trace ID or request ID; the chosen span's panel alone for htmx."""
    feature = feature_for(request.user, slug)
    state = state_of(request)
    detail = find_trace([feature], id)
    if "wait" in request.GET:
        return _settled_yet(detail is not None)
    if detail is None:
        return _absent(request, feature, id)
    reading = read(detail, state)
    panel, asked_in_vain = _panel(reading)
    context: dict[str, object] = {
        "feature": feature,
        "id": id,
        "trace": detail.trace,
        "panel": panel,
        "keep": state.keep(),
        "raw": _raw_address(feature, id, panel),
    }
    if wants(request, "span-panel"):
        return varied(render(request, "traces/trace.html#span", context))
    return varied(
        render(request, "traces/trace.html", context | _rest(request, reading, panel, asked_in_vain))
    )


def _rest(
    request: HttpRequest, reading: Reading, panel: SpanPanel | None, asked_in_vain: bool
) -> dict[str, object]:
    """What the whole page needs beside the chosen span's panel."""
    detail, state, feature = reading.detail, reading.state, reading.detail.feature
    trace, budget = detail.trace, Budget(_PAGE_CHARACTERS)
    selected = panel.span_id if panel else None
    address = reading.turn_address(selected)
    verdict = overview(
        detail.settled,
        detail.spans,
        budget,
        cost=trace.cost_usd,
        taint=reading.taint,
        needs_decision=reading.needs_decision,
    )
    signs = Signs("sign")
    talk = conversation_view(
        conversation(detail.spans), detail.spans, budget, state.turns, reading.taint, address, signs
    )
    return {
        "overview": msgspec.structs.replace(
            verdict, violations=_linked(reading, verdict.violations, signs, selected)
        ),
        "waterfall": waterfall(
            reading.tree,
            selected=selected,
            unfold=state.unfold,
            uncounted=detail.settled.uncounted,
            first_row=state.rows,
            find=state.find,
        ),
        "conversation": talk,
        "taint": taint_view(reading.taint, address),
        "neighbours": neighbour_views(trace),
        "partial": root_is_missing(detail.spans),
        "gone": trace.span_count > 0 and not detail.spans,
        "asked_in_vain": asked_in_vain,
        "more_is_coming": is_settling([feature], detail.settled.trace_id.hex()),
        "conflicts": detail.conflicts,
        "also": detail.also,
        "state": state,
        "keep_folded": state.keep(without="unfold"),
        "keep_unsought": state.keep(without="find"),
        "prices": _prices_address(),
        "may_reveal": may_reveal(request, feature) and VaultEntry.objects.filter(feature=feature).exists(),
        "parts": _parts_of_other_rooms(request, detail),
    }


def _linked(
    reading: Reading, violations: list[ViolationView], drawn: Signs, selected: str | None
) -> list[ViolationView]:
    """The violations, each sign of injection with the address of its passage: on this page, in another window of the
    conversation, or in its span.
    """
    if not any(one.rule[0].text == RULE for one in violations if one.rule):
        return violations
    detail, state = reading.detail, reading.state
    signs = keyed_signs(in_order(detail.spans))
    keys = {(violation.span_id, violation.detail): key for violation, key in signs}
    first = window_of(reading.turn_count, state.turns)
    found = []
    for one in violations:
        key = keys.get((one.span_id, one.said))
        turn = reading.sign_turns.get(key or "")
        href = ""
        if key and f"sign-{key}" in drawn.given:
            href = f"#sign-{key}"
        elif key and turn is not None and not first <= turn < first + TURNS:
            query = {"span": selected or "", "turns": turn // TURNS * TURNS}
            href = f"?{urlencode(query)}{state.keep(without='turns')}#sign-{key}"
        elif key and one.span_id:
            href = f"?span={one.span_id}{state.keep()}#span-sign-{key}"
        found.append(msgspec.structs.replace(one, href=href))
    return found


def _panel(reading: Reading) -> tuple[SpanPanel | None, bool]:
    """The panel of the asked span, else of the first that was looked for, else of the one to look at first; and
    whether one was asked in vain.
    """
    state, detail = reading.state, reading.detail
    default = selected_by_default(reading.tree)
    sought = find_spans(reading.tree, state.find)[:1] if state.find and not state.span else []
    for asked in (state.span, *sought, default.span_id.hex() if default else None):
        if asked is None:
            continue
        panel = span_panel(
            reading.tree,
            asked,
            started_at=detail.settled.started_at,
            uncounted=detail.settled.uncounted,
            conflicts=detail.conflicts,
            budget=Budget(_PANEL_CHARACTERS),
            taint=reading.taint,
            address=reading.turn_address(asked),
            needs_decision=reading.needs_decision,
            decisions={call.span_id: call.decision for call in detail.settled.tool_calls},
        )
        if panel is not None:
            return panel, state.span is not None and asked != state.span
    return None, state.span is not None


def _parts_of_other_rooms(request: HttpRequest, detail: TraceDetail) -> dict[str, list[str]]:
    """What other rooms add, by its place on the page."""
    drawn: dict[str, list[str]] = {"side": [], "action": [], "verdict": []}
    for part in trace_panels():
        context = part.context(request, detail)
        if context is not None:
            drawn[part.place].append(render_to_string(part.template, dict(context), request=request))
    return drawn


def _prices_address() -> str:
    """Where prices are set, once such a page is there."""
    try:
        return reverse("prices")
    except NoReverseMatch:
        return ""


def _absent(request: HttpRequest, feature: Feature, asked: str) -> HttpResponse:
    """Stored and waiting to be settled, or not there: each says so, with the ID that was looked for."""
    settling = is_settling([feature], asked)
    context = {
        "feature": feature,
        "id": asked,
        "asked": line(asked, 200),
        "settling": settling,
        "days": retention_days(active_policy(feature.pk)),
    }
    return render(request, "traces/trace_absent.html", context, status=200 if settling else 404)


def _settled_yet(settled: bool) -> HttpResponse:
    """The answer to a page that waits: reload now, or nothing yet."""
    answer = HttpResponse(status=200 if settled else 204)
    if settled:
        answer["HX-Refresh"] = "true"
    return answer


def wants(request: HttpRequest, target: str) -> bool:
    """Whether htmx asks for the part with this ID; a restored history entry always gets the whole page."""
    htmx = cast(HtmxDetails, request.htmx)  # type: ignore[attr-defined]
    return bool(htmx) and htmx.target == target and not htmx.history_restore_request


def varied(answer: HttpResponse) -> HttpResponse:
    """The answer, kept apart by caches from the other one at the same address."""
    patch_vary_headers(answer, ["HX-Request", "HX-Target"])
    return answer


def _raw_address(feature: Feature, asked: str, panel: SpanPanel | None) -> str:
    return reverse("span", args=[feature.slug, asked, panel.span_id]) if panel else ""


def _is_span_id(text: str) -> bool:
    return len(text) == 16 and all(character in "0123456789abcdef" for character in text)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 8 else None
