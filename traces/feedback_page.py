"""What was said of a trace, as its page shows it."""

from datetime import datetime

import msgspec
from django.db.models import QuerySet

from traces.models import FactRow, RequestFact, Trace
from traces.present.text import Piece, line
from traces.summarise.document import spoken

_MOST = 50
_KINDS = {
    "outcome": "Outcome",
    "escalated": "Escalated",
    "violation": "Violation",
    "rating": "Rating",
    "comment": "Comment",
}


class FeedbackLine(msgspec.Struct, frozen=True):
    """One fact: what is said, by whom, when; `of_request`: said of the request ID, not of the trace."""

    kind: str
    value: list[Piece]
    source: list[Piece]
    at: datetime
    of_request: bool


def feedback_lines(trace: Trace) -> list[FeedbackLine]:
    """The newest facts of a trace and of its request, newest first, at most fifty."""
    of_trace = FactRow.objects.filter(trace_id=trace.trace_id, feature_id=trace.feature_id)
    of_request = RequestFact.objects.filter(request_id=trace.request_id, feature_id=trace.feature_id)
    found = [*_lines(of_trace, False), *_lines(of_request, True)]
    return sorted(found, key=lambda one: one.at, reverse=True)[:_MOST]


def _lines(rows: "QuerySet[FactRow] | QuerySet[RequestFact]", of_request: bool) -> list[FeedbackLine]:
    return [
        FeedbackLine(
            _KINDS[row.kind], line(spoken(row.value), 4000), line(row.source, 100), row.created_at, of_request
        )
        for row in rows.filter(kind__in=_KINDS).order_by("-created_at")[:_MOST]
    ]
