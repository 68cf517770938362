"""One span of a trace: all that is stored of it, and what changed in its prompt since the call before."""

from datetime import datetime

import msgspec
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from features.models import Feature
from features.pages import page
from features.queries import feature_for
from traces.present.conflict import ConflictView, conflict_view
from traces.present.prompt_diff import prompt_diff
from traces.present.raw import raw_json, raw_span
from traces.present.text import Budget
from traces.queries import TraceDetail, find_trace
from traces.summarise import in_order
from traces.trace_views import varied, wants
from traces.vocabulary import Span

_DIFF_CHARACTERS = 200_000
_MOST_CONFLICTS = 5


@page
@require_safe
def span_raw(request: HttpRequest, slug: str, id: str, span_id: str) -> HttpResponse:
    """All that is stored of one span, as a page, a fragment of the span's panel, or JSON (`?as=json`)."""
    feature = feature_for(request.user, slug)
    detail, span = _span(feature, id, span_id)
    if request.GET.get("as") == "json":
        answer = HttpResponse(raw_json(span), content_type="application/json; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="span-{span.span_id.hex()}.json"'
        return answer
    context = {
        "feature": feature,
        "id": id,
        "trace": detail.trace,
        "raw": raw_span(span),
        "others": _others(detail, span) if span_id in detail.conflicts else [],
    }
    template = "traces/trace_raw.html#raw" if wants(request, "raw-span") else "traces/trace_raw.html"
    return varied(render(request, template, context))


@page
@require_safe
def span_prompt(request: HttpRequest, slug: str, id: str, span_id: str) -> HttpResponse:
    """The prompt of a model call against that of the call before it, as a page or a fragment of its panel."""
    feature = feature_for(request.user, slug)
    detail, span = _span(feature, id, span_id)
    difference = prompt_diff(detail.spans, span, Budget(_DIFF_CHARACTERS))
    context = {
        "feature": feature,
        "id": id,
        "trace": detail.trace,
        "span_id": span_id,
        "difference": difference,
    }
    template = "traces/trace_prompt.html#prompt" if wants(request, "raw-span") else "traces/trace_prompt.html"
    return varied(render(request, template, context))


def _span(feature: Feature, asked: str, span_id: str) -> tuple[TraceDetail, Span]:
    detail = find_trace([feature], asked)
    span = next((span for span in detail.spans if span.span_id.hex() == span_id), None) if detail else None
    if detail is None or span is None:
        raise Http404(f"No span {span_id[:64]} in a trace {asked[:200]} of this feature.")
    return detail, span


class OtherBody(msgspec.Struct, frozen=True):
    """A body under the span's ID that is not the one that counts; `received_at` where it is known."""

    received_at: datetime | None
    view: ConflictView


def _others(detail: TraceDetail, span: Span) -> list[OtherBody]:
    """The bodies under this span's ID beside the one that settle took, each with what differs from that one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "(SELECT body::text, NULL FROM all_span WHERE trace_id = %(trace)s AND span_id = %(span)s "
            "AND feature_id = %(feature)s) UNION ALL (SELECT body, received_at FROM span_conflict "
            "WHERE trace_id = %(trace)s AND span_id = %(span)s AND feature_id = %(feature)s "
            "ORDER BY received_at LIMIT 20)",
            {"trace": span.trace_id, "span": span.span_id, "feature": detail.trace.feature_id},
        )
        bodies = [(msgspec.json.decode(body, type=Span), at) for body, at in cursor.fetchall()]
    budget = Budget(_DIFF_CHARACTERS)
    chosen = in_order([body for body, _ in bodies])
    return [
        OtherBody(at, conflict_view(chosen[0], body, budget)) for body, at in bodies if body is not chosen[0]
    ][:_MOST_CONFLICTS]
