"""One trace: the page from verdict to raw span, and the panel of the chosen span as a fragment of it."""

from typing import cast
from urllib.parse import urlencode

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe
from django_htmx.middleware import HtmxDetails

from features.models import Feature
from features.pages import page
from features.queries import feature_for
from features.registry import trace_panels
from traces.models import VaultEntry
from traces.present.messages import conversation_view
from traces.present.overview import overview
from traces.present.panel import SpanPanel, span_panel
from traces.present.raw import raw_json, raw_span
from traces.present.text import Budget, line
from traces.present.waterfall import selected_by_default, waterfall
from traces.queries import TraceDetail, find_trace, is_settling
from traces.reveal_views import may_reveal
from traces.summarise import conversation

# Characters of stored text that a page draws at most; the raw span has the rest.
_PAGE_CHARACTERS = 250_000
_PANEL_CHARACTERS = 120_000
_MOST_UNFOLDED = 20


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What the address says of the page: the chosen span, what is unfolded, which windows are shown."""

    span: str | None
    unfold: tuple[str, ...]
    rows: int | None
    turns: int

    def keep(self) -> str:
        """What a link to another span keeps, to be appended to `?span=...`."""
        kept: list[tuple[str, str]] = [("unfold", span_id) for span_id in self.unfold]
        if self.turns:
            kept.append(("turns", str(self.turns)))
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
    )


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
    panel, asked_in_vain = _panel(detail, state)
    context: dict[str, object] = {
        "feature": feature,
        "id": id,
        "trace": detail.trace,
        "panel": panel,
        "keep": state.keep(),
        "raw": _raw_address(feature, id, panel),
    }
    if _wants(request, "span-panel"):
        return _varied(render(request, "traces/trace.html#span", context))

    budget = Budget(_PAGE_CHARACTERS)
    spans = detail.spans
    context |= {
        "overview": overview(detail.settled, spans, budget),
        "waterfall": waterfall(
            spans,
            selected=panel.span_id if panel else None,
            unfold=state.unfold,
            uncounted=detail.settled.uncounted,
            first_row=state.rows,
        ),
        "conversation": conversation_view(conversation(spans), spans, budget, state.turns),
        "asked_in_vain": asked_in_vain,
        "more_is_coming": is_settling([feature], detail.settled.trace_id.hex()),
        "conflicts": len(detail.conflicts),
        "also": detail.also,
        "state": state,
        "may_reveal": may_reveal(request, feature) and VaultEntry.objects.filter(feature=feature).exists(),
        "parts": _parts_of_other_rooms(request, detail),
    }
    return _varied(render(request, "traces/trace.html", context))


@page
@require_safe
def span_raw(request: HttpRequest, slug: str, id: str, span_id: str) -> HttpResponse:
    """All that is stored of one span, as a page, a fragment of the span's panel, or JSON (`?as=json`)."""
    feature = feature_for(request.user, slug)
    detail = find_trace([feature], id)
    span = next((span for span in detail.spans if span.span_id.hex() == span_id), None) if detail else None
    if detail is None or span is None:
        raise Http404(f"No span {span_id[:64]} in a trace {id[:200]} of this feature.")
    if request.GET.get("as") == "json":
        answer = HttpResponse(raw_json(span), content_type="application/json; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="span-{span.span_id.hex()}.json"'
        return answer
    context = {"feature": feature, "id": id, "trace": detail.trace, "raw": raw_span(span)}
    template = "traces/trace_raw.html#raw" if _wants(request, "raw-span") else "traces/trace_raw.html"
    return _varied(render(request, template, context))


def _panel(detail: TraceDetail, state: State) -> tuple[SpanPanel | None, bool]:
    """The panel of the asked span, else of the one to look at first; and whether one was asked in vain."""
    default = selected_by_default(detail.spans)
    for asked in (state.span, default.span_id.hex() if default else None):
        if asked is None:
            continue
        panel = span_panel(
            detail.spans,
            asked,
            started_at=detail.settled.started_at,
            uncounted=detail.settled.uncounted,
            conflicts=detail.conflicts,
            budget=Budget(_PANEL_CHARACTERS),
        )
        if panel is not None:
            return panel, state.span is not None and asked != state.span
    return None, state.span is not None


def _parts_of_other_rooms(request: HttpRequest, detail: TraceDetail) -> list[str]:
    found = [(part.template, part.context(request, detail)) for part in trace_panels()]
    return [
        render_to_string(template, dict(context), request=request)
        for template, context in found
        if context is not None
    ]


def _absent(request: HttpRequest, feature: Feature, asked: str) -> HttpResponse:
    """Stored and waiting to be settled, or not there: each says so, with the ID that was looked for."""
    settling = is_settling([feature], asked)
    context = {"feature": feature, "id": asked, "asked": line(asked, 200), "settling": settling}
    return render(request, "traces/trace_absent.html", context, status=200 if settling else 404)


def _settled_yet(settled: bool) -> HttpResponse:
    """The answer to a page that waits: reload now, or nothing yet."""
    answer = HttpResponse(status=200 if settled else 204)
    if settled:
        answer["HX-Refresh"] = "true"
    return answer


def _wants(request: HttpRequest, target: str) -> bool:
    """Whether htmx asks for the part with this ID; a restored history entry always gets the whole page."""
    htmx = cast(HtmxDetails, request.htmx)  # type: ignore[attr-defined]
    return bool(htmx) and htmx.target == target and not htmx.history_restore_request


def _varied(answer: HttpResponse) -> HttpResponse:
    patch_vary_headers(answer, ["HX-Request", "HX-Target"])
    return answer


def _raw_address(feature: Feature, asked: str, panel: SpanPanel | None) -> str:
    return reverse("span", args=[feature.slug, asked, panel.span_id]) if panel else ""


def _is_span_id(text: str) -> bool:
    return len(text) == 16 and all(character in "0123456789abcdef" for character in text)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 8 else None
