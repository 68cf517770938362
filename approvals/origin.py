"""Where a proposal comes from: its trace, and which of its values untrusted text said first."""

from typing import Any

import msgspec

from approvals.models import Decision
from approvals.proposal import Proposal
from features.models import Feature
from traces.present.taint import find_taint
from traces.present.taint_values import Marks
from traces.present.taint_view import TaintedLine, tainted_line
from traces.queries import find_trace
from traces.summarise import conversation
from traces.vocabulary import Content

# No span of an emitter: zero is no ID (OpenTelemetry).
_OURS = bytes(8)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The trace, if it is known here, and the values of the arguments that came from untrusted text."""

    feature: Feature
    trace_id: str
    known: bool
    marks: Marks | None = None
    lines: list[TaintedLine] = []
    unread: int = 0


def origin_of(decision: Decision, proposal: Proposal | None) -> Origin | None:
    """None where the agent named no trace."""
    if decision.trace_id is None:
        return None
    trace_id = bytes(decision.trace_id).hex()
    detail = find_trace([decision.feature], trace_id)
    if detail is None or not detail.spans or proposal is None:
        return Origin(feature=decision.feature, trace_id=trace_id, known=detail is not None)
    # The proposed call as the span that it will be: asked for now, after all that was said until now.
    call: Any = msgspec.structs.replace(
        detail.spans[0],
        span_id=_OURS,
        parent_span_id=None,
        kind="tool",
        name=decision.action,
        tool_name=decision.action,
        tool_call_id=None,
        started_at=int(decision.created_at.timestamp() * 1e9),
        ended_at=int(decision.created_at.timestamp() * 1e9),
        content=Content(arguments=proposal.args),
    )
    taint = find_taint(conversation(detail.spans), [*detail.spans, call], detail.settled.uncounted)
    sink = taint.of_span(_OURS.hex())
    address = f"/features/{decision.feature.slug}/traces/{trace_id}/"
    return Origin(
        feature=decision.feature,
        trace_id=trace_id,
        known=True,
        marks=taint.marks_of_span.get(_OURS.hex()),
        lines=[tainted_line(one, lambda turn: f"{address}#turn-{turn}") for one in sink.values[:12]]
        if sink
        else [],
        unread=taint.unread,
    )
