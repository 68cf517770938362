"""What stands above and beside the timeline: verdict line, facts, completeness, tool calls, documents."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from traces.present.messages import DocumentView, document_view
from traces.present.panel import CallDecision, call_decision
from traces.present.signs import Signs
from traces.present.taint import Taint
from traces.present.text import Budget, Piece, Shown, line, shown
from traces.present.values import Value, present
from traces.present.words import FIELD_WORDS, counted, duration, number, outcome_source
from traces.vocabulary import (
    Completeness,
    Content,
    FieldEvidence,
    FieldState,
    Span,
    Status,
    Summary,
    ToolCall,
)

_MOST_CALLS: Final = 12
_MOST_DOCUMENTS: Final = 12
_MOST_FAILED_TOOLS: Final = 5

_STATE_WORDS: Final[dict[FieldState, str]] = {
    "present": "present",
    "missing": "missing",
    "not_applicable": "not applicable",
}
_DEFAULT_WHY: Final[dict[FieldState, str]] = {
    "present": "",
    "missing": "no span shows it",
    "not_applicable": "this request had no such step",
}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One of the six completeness fields; `span_id` is the span that shows it, or that should."""

    name: str
    state: FieldState
    word: str
    why: list[Piece]
    span_id: str | None


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """An executed tool call."""

    name: list[Piece]
    status: Status
    arguments: Value | None  # None: the span shows none
    result: Value | None  # None: the span shows none
    span_id: str
    tainted: int  # values from untrusted text among its arguments
    decision: CallDecision | None
    unmatched: bool  # permitted, but its arguments could not be compared with the permitted ones


class ViolationView(msgspec.Struct, frozen=True, kw_only=True):
    """A broken rule."""

    rule: list[Piece]
    detail: Shown | None
    span_id: str | None
    said: str = ""  # the detail as it is stored
    href: str = ""  # the passage that it speaks of, where it stands on the page


class FailedTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that failed: `query` is its stored name, for an address."""

    query: str
    name: list[Piece]


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict line and the facts of a trace, in words; numbers are formatted."""

    name: list[Piece]
    trace_id: str
    request_id: str
    request_pieces: list[Piece]
    status: Status
    outcome: str
    outcome_source: list[Piece]
    worked: str
    waited: str  # empty: it never waited for a person
    variant: list[Piece]
    feature_version: list[Piece]
    segments: list[Piece]
    fields: list[Field]
    complete: int  # fields that are not missing
    models: list[list[Piece]]
    tokens: str
    tokens_in: str
    tokens_out: str
    tokens_cached: str  # empty: none
    tokens_reasoning: str  # empty: none
    model_calls: str
    tool_calls: str
    tool_errors: str  # empty: none
    retries: str  # empty: none
    redactions: list[tuple[str, str]]  # kind and count
    redacted: str
    session_id: str | None
    session: list[Piece]
    user_id: str | None
    user: list[Piece]
    violations: list[ViolationView]
    violations_word: str  # empty: none
    calls: list[CallView]
    more_calls: int
    failed_tools: list[FailedTool]
    documents: list[DocumentView]
    more_documents: int
    retrieved: bool
    final_output: Shown | None
    cost: str  # in dollars; empty: unknown
    cost_why: str  # why it is unknown; stored text
    unpriced: bool  # a price would make it known
    undecided: int  # calls that needed a decision and none is known


def overview(
    settled: Summary,
    spans: Sequence[Span],
    budget: Budget,
    *,
    cost: Decimal | None = None,
    taint: Taint | None = None,
    needs_decision: Collection[str] = (),
) -> Overview:
    """A settled trace for the page. Every stored text in it comes out as pieces. `cost` is in US dollars, None:
    unknown.
    """
    signs = Signs("")  # marked here, and linked to where the conversation has them
    documents = [(document, span) for span in spans for document in span.content.documents or []]
    calls = settled.tool_calls
    # The span keeps the order in which the model gave the arguments; the stored summary does not.
    contents = {span.span_id.hex(): span.content for span in spans if span.kind == "tool"}
    tokens = settled.input_tokens + settled.output_tokens
    return Overview(
        name=line(settled.name or "(no name)", 120),
        trace_id=settled.trace_id.hex(),
        request_id=settled.request_id,
        request_pieces=line(settled.request_id, 120),
        status=settled.status,
        outcome=settled.outcome,
        outcome_source=line(outcome_source(settled.outcome_source), 120),
        worked=duration(max(settled.duration_ns - settled.waiting_ns, 0)),
        waited=duration(settled.waiting_ns) if settled.waiting_ns else "",
        variant=line(settled.variant, 60),
        feature_version=line(settled.feature_version or "", 60),
        segments=line(", ".join(f"{key}: {value}" for key, value in sorted(settled.segments.items())), 200),
        fields=completeness_fields(settled.completeness),
        complete=sum(1 for state in _states(settled.completeness) if state != "missing"),
        models=[line(model, 80) for model in settled.models],
        tokens=number(tokens) if tokens else "",
        tokens_in=number(settled.input_tokens),
        tokens_out=number(settled.output_tokens),
        tokens_cached=number(settled.cached_input_tokens) if settled.cached_input_tokens else "",
        tokens_reasoning=number(settled.reasoning_tokens) if settled.reasoning_tokens else "",
        model_calls=_model_calls(settled),
        tool_calls=number(len(calls)),
        tool_errors=counted(settled.tool_errors, "error") if settled.tool_errors else "",
        retries=number(settled.retries) if settled.retries else "",
        redactions=[(kind, number(count)) for kind, count in sorted(settled.redactions.items()) if count],
        redacted=number(sum(settled.redactions.values())),
        session_id=settled.session_id,
        session=line(settled.session_id or "", 80),
        user_id=settled.user_id,
        user=line(settled.user_id or "", 80),
        violations=[
            ViolationView(
                rule=line(found.rule, 120),
                detail=shown(found.detail, lead=600, budget=budget) if found.detail else None,
                span_id=found.span_id,
                said=found.detail or "",
            )
            for found in settled.violations
        ],
        violations_word=counted(len(settled.violations), "violation") if settled.violations else "",
        calls=[
            _call(call, contents.get(call.span_id), budget, taint, needs_decision)
            for call in calls[:_MOST_CALLS]
        ],
        more_calls=max(len(calls) - _MOST_CALLS, 0),
        failed_tools=[
            FailedTool(query=name, name=line(name, 80))
            for name in sorted({call.name for call in calls if call.status == "error"})[:_MOST_FAILED_TOOLS]
        ],
        documents=[
            document_view(document, span.span_id.hex(), budget, signs=signs)
            for document, span in documents[:_MOST_DOCUMENTS]
        ],
        more_documents=max(len(documents) - _MOST_DOCUMENTS, 0),
        retrieved=any(span.kind == "retriever" or span.content.documents is not None for span in spans),
        final_output=shown(settled.final_output, budget=budget) if settled.final_output else None,
        cost=dollars(cost) if cost is not None else "",
        cost_why=_cost_why(settled, cost),
        unpriced=cost is None and bool(settled.unpriced_models),
        undecided=sum(1 for call in calls if call.name in needs_decision and call.decision is None),
    )


def dollars(cost: Decimal) -> str:
    """US dollars, to the cent from one dollar on, below with four decimals: `$12.34`, `$0.0123`, `<$0.0001`."""
    if 0 < cost < Decimal("0.0001"):
        return "<$0.0001"
    return f"${cost:,.2f}" if cost >= 1 or cost == 0 else f"${cost:.4f}"


def _cost_why(settled: Summary, cost: Decimal | None) -> str:
    if cost is not None:
        return ""
    named = settled.unpriced_models or settled.models
    return f"no price for {', '.join(named[:3])}" if named else "a call names no model"


def _call(
    call: ToolCall,
    content: Content | None,
    budget: Budget,
    taint: Taint | None,
    needs_decision: Collection[str],
) -> CallView:
    arguments = content.arguments if content and content.arguments is not None else call.arguments
    sink = taint.of_span(call.span_id) if taint else None
    marks = taint.marks_of_span.get(call.span_id) if taint else None
    return CallView(
        name=line(call.name or "(no name)", 80),
        status=call.status,
        arguments=None if arguments is None else present(arguments, budget, marks),
        result=None if call.result is None else present(call.result, budget, signs=Signs("")),
        span_id=call.span_id,
        tainted=len(sink.values) if sink else 0,
        decision=call_decision(call.name, call.decision, needs_decision),
        unmatched=call.arguments_are == "unmatched",
    )


def completeness_fields(completeness: Completeness) -> list[Field]:
    """The six lines in the order of the clause, each with why it is missing or does not apply."""
    fields: list[Field] = []
    for name in Completeness.__struct_fields__:
        found: FieldEvidence = getattr(completeness, name)
        fields.append(
            Field(
                name=FIELD_WORDS[name],
                state=found.state,
                word=_STATE_WORDS[found.state],
                why=line(found.why or _DEFAULT_WHY[found.state], 300),
                span_id=found.span_id,
            )
        )
    return fields


def _states(completeness: Completeness) -> list[FieldState]:
    return [getattr(completeness, name).state for name in Completeness.__struct_fields__]


def _model_calls(settled: Summary) -> str:
    said = counted(settled.llm_calls, "call")
    return f"{said}, {counted(settled.llm_errors, 'error')}" if settled.llm_errors else said
