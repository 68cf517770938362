"""The API of traces and metrics (keys only; a key sees its own feature)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from features.bodies import CanonicalParser
from features.errors import NotFoundError
from features.models import ApiKey, Feature
from features.problems import BadField, problem
from traces import queries
from traces.feedback import OUTCOMES, give_feedback, read_feedback
from traces.metrics import UnknownGrouping
from traces.search.clear_text import personal_data
from traces.search.ids import named
from traces.search.searching import read_line, search
from traces.store import time_of
from traces.vocabulary import Span


def own_feature(request: Request, slug: str | None) -> Feature:
    """The key's feature; any other slug is the same 404 as one that does not exist."""
    assert isinstance(request.auth, ApiKey)
    feature = request.auth.feature
    if slug and slug != feature.slug:
        raise NotFoundError("not_found", "Nothing here by this name, or nothing that this key may see.")
    return feature


def time_parameter(request: Request, name: str, default: datetime) -> datetime:
    """An RFC 3339 time of the query string. Raises BadField."""
    text = request.query_params.get(name)
    if not text:
        return default
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise BadField(name, f"{name} must be an RFC 3339 time with its zone, such as 2026-11-24T09:00:00Z.")
    return at.astimezone(UTC)


def limit_parameter(request: Request) -> int:
    """limit, 1..500, 50 unless told. Raises BadField."""
    text = request.query_params.get("limit", "50")
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 500):
        raise BadField("limit", "limit must be a whole number from 1 to 500.")
    return int(text)


def _hex(raw: bytes | None) -> str | None:
    return raw.hex() if raw else None


def span_body(span: Span, uncounted: dict[str, str]) -> dict[str, Any]:
    """One span as the API shows it."""
    content = msgspec.to_builtins(span.content)
    return {
        "span_id": span.span_id.hex(),
        "parent_span_id": _hex(span.parent_span_id),
        "name": span.name,
        "kind": span.kind,
        "counted": span.span_id.hex() not in uncounted,
        "started_at": queries.rfc3339(time_of(span.started_at)),
        "duration_ms": (span.ended_at - span.started_at) / 1e6,
        "status": span.status,
        "status_message": span.status_message,
        "scope": span.scope,
        "model": span.model_answered or span.model_asked,
        "tool_name": span.tool_name,
        "input_tokens": span.usage.input,
        "output_tokens": span.usage.output,
        "cached_input_tokens": span.usage.cached_input,
        "content": content,
        "attributes": span.attributes,
        "events": span.events,
    }


class TraceList(APIView):
    """Traces of the key's feature, newest first."""

    scope = "read"

    @extend_schema(
        operation_id="traces_list",
        parameters=[
            OpenApiParameter(name, OpenApiTypes.STR)
            for name in ("feature", "q", "from", "to", "limit", "cursor")
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        feature = own_feature(request, request.query_params.get("feature"))
        limit = limit_parameter(request)
        now = datetime.now(UTC)
        start = time_parameter(request, "from", now - timedelta(days=7))
        end = time_parameter(request, "to", now + timedelta(days=1))
        line = request.query_params.get("q", "").strip()
        if line and (found := named([feature], line)):
            traces = found.traces[:limit]
            results = [queries.summary_of(trace) for trace in traces]
            return Response({"results": results, "next": None, "total": len(found.traces)})
        if kinds := personal_data([feature], line):
            raise BadField(
                "q",
                f"This looks like personal data ({', '.join(kinds)}), which is not stored: ask for its token.",
            )
        cursor = request.query_params.get("cursor") or None
        page = search([feature], read_line(line), start, end, limit=limit, cursor=cursor)
        results = [queries.summary_of(trace) for trace in page.traces]
        return Response({"results": results, "next": page.next, "total": page.total.body})


class TraceDetail(APIView):
    """One trace by trace ID or request ID."""

    scope = "read"

    @extend_schema(operation_id="traces_read", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, trace_id: str) -> Response:
        feature = own_feature(request, request.query_params.get("feature"))
        detail = queries.find_trace([feature], trace_id)
        if detail is not None:
            spans = [span_body(span, detail.settled.uncounted) for span in detail.spans]
            return Response({**detail.summary, "conflicts": detail.conflicts, "spans": spans})
        if queries.is_settling([feature], trace_id):
            return problem(
                404,
                "not_settled",
                "Its spans are stored and wait to be settled; ask again.",
                headers={"Retry-After": "1"},
            )
        return problem(
            404, "not_found", "No trace has this trace ID or request ID, or none that this key may see."
        )


class Feedback(APIView):
    """What others know of a request, late or early: outcome, escalation, a violation, a rating, a comment."""

    scope = "evaluate"
    parser_classes = (CanonicalParser,)

    @extend_schema(
        operation_id="traces_feedback",
        request={
            "application/json": {
                "type": "object",
                "required": ["source"],
                "properties": {
                    "outcome": {"enum": list(OUTCOMES)},
                    "escalated": {"type": "boolean"},
                    "violation": {
                        "oneOf": [
                            {"type": "string"},
                            {
                                "type": "object",
                                "required": ["rule"],
                                "properties": {
                                    "rule": {"type": "string"},
                                    "span_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                                    "detail": {"type": "string"},
                                },
                            },
                        ]
                    },
                    "rating": {"oneOf": [{"type": "number"}, {"type": "string"}]},
                    "comment": {"type": "string"},
                    "source": {"type": "string"},
                    "at": {"type": "string", "format": "date-time"},
                },
            }
        },
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, trace_id: str) -> Response:
        feature = own_feature(request, request.query_params.get("feature"))
        given = give_feedback(feature, trace_id, read_feedback(request.data))
        return Response({"id": trace_id, "traces": given.traces, "new": given.new})


class Metrics(APIView):
    """The dashboard's numbers with n and interval, of traces that started in [from, to).

    `by`: `variant`, and one of `model`, `tool`, `version` or `segment.<name>`.
    """

    scope = "read"

    @extend_schema(
        operation_id="metrics_read",
        parameters=[OpenApiParameter(name, OpenApiTypes.STR) for name in ("from", "to", "by")],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, slug: str) -> Response:
        feature = own_feature(request, slug)
        now = datetime.now(UTC)
        start = time_parameter(request, "from", now - timedelta(days=1))
        end = time_parameter(request, "to", now)
        if end <= start:
            raise BadField("to", "to must be after from.")
        by = [name.strip() for name in request.query_params.get("by", "").split(",") if name.strip()]
        try:
            groups = queries.metrics(feature, start, end, list(dict.fromkeys(by)))
        except UnknownGrouping as error:
            raise BadField("by", str(error)) from error
        return Response(
            {
                "from": queries.rfc3339(start),
                "to": queries.rfc3339(end),
                "groups": [msgspec.to_builtins(group) for group in groups],
            }
        )
