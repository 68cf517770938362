"""The panel of the chosen span: what it is, what went in, what came out, and what went wrong."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from traces.present.messages import Bubble, DocumentView, document_view, message_view
from traces.present.prompt_diff import previous_call
from traces.present.signs import Signs
from traces.present.taint import Taint
from traces.present.taint_view import TaintedCall, TaintedLine, TurnAddress, tainted_call, tainted_line
from traces.present.text import Budget, Piece, Shown, line, shown
from traces.present.tree import Tree
from traces.present.values import Value, present, text_of
from traces.present.waterfall import error_of, label_of
from traces.present.words import KIND_LETTERS, KIND_WORDS, counted, duration, number, uncounted_reason
from traces.vocabulary import Json, Kind, Message, Span, Status

_MOST_MESSAGES: Final = 30  # of one model call, the latest; the conversation has them all
_MOST_DOCUMENTS: Final = 50
_MOST_EXCEPTIONS: Final = 10
_MOST_SPARED: Final = 12


class Fact(msgspec.Struct, frozen=True):
    """A name of ours with a stored value."""

    name: str
    value: list[Piece]


class ExceptionView(msgspec.Struct, frozen=True, kw_only=True):
    """An exception that the span recorded as an event."""

    type: list[Piece]
    message: Shown
    stack: Shown | None


class Messages(msgspec.Struct, frozen=True, kw_only=True):
    """Messages in or out of one model call; `earlier` of them are only in the conversation and the raw
    span.
    """

    bubbles: list[Bubble]
    word: str
    earlier: int


class SpanPanel(msgspec.Struct, frozen=True, kw_only=True):
    """One span in the words of the page. None stands for what the span does not say."""

    span_id: str
    name: list[Piece]
    kind: Kind
    letter: str
    kind_word: str
    status: Status
    error: Shown | None
    exceptions: list[ExceptionView]
    facts: list[Fact]
    notes: list[str]
    arguments: Value | None
    result: Value | None
    input: Messages | None
    output: Messages | None
    input_text: Shown | None
    output_text: Shown | None
    documents: list[DocumentView] | None  # None: nothing retrieved; []: a retrieval that found nothing
    more_documents: int
    tools_offered: list[Piece]  # names of the tools that the model was offered, on one line
    parent_id: str | None
    previous_error_id: str | None
    next_error_id: str | None
    error_of_errors: str  # which one of how many errors it is; empty: none
    has_previous_call: bool  # whose prompt this call's can be compared with
    conflict: bool  # another body came under its ID
    tainted: TaintedCall | None
    spared: list[TaintedLine]  # values that untrusted text holds too, but a trusted one said first
    decision: "CallDecision | None"


class CallDecision(msgspec.Struct, frozen=True):
    """What is known of the decision on a tool call that needs one: `id` of the decision, None: none is known."""

    id: str | None


def call_decision(tool: str | None, decision: str | None, needs: Collection[str]) -> CallDecision | None:
    """The decision on a call of this tool; None where the policy asks for none and there is none. `needs` names the
    actions that need one.
    """
    return CallDecision(decision) if decision or tool in needs else None


def span_panel(
    tree: Tree,
    span_id: str,
    *,
    started_at: int,
    uncounted: Mapping[str, str],
    conflicts: Sequence[str],
    budget: Budget,
    taint: Taint | None = None,
    address: TurnAddress = str,
    needs_decision: Collection[str] = (),
    decisions: Mapping[str, str | None] | None = None,
) -> SpanPanel | None:
    """The panel of the span with this ID (hex), None when the trace has none. `started_at` is the
    trace's, in ns; `taint` the trace's, `address` where a turn stands; `needs_decision` names the actions that need
    one, `decisions` has the known ones by span.
    """
    node = tree.by_id.get(span_id)
    if node is None:
        return None
    span, spans = node.span, tree.spans
    sink = taint.of_span(span_id) if taint else None
    marks = taint.marks_of_span.get(span_id) if taint else None
    before, after = tree.beside(tree.errors, span_id)
    content = span.content
    documents = content.documents
    parent_id = span.parent_span_id.hex() if span.parent_span_id else None
    signs = Signs("span-sign")
    names = {other.span_id.hex(): other.name for other in spans} if span_id in uncounted else {}
    error = error_of(span)
    return SpanPanel(
        span_id=span_id,
        name=line(label_of(span), 120),
        kind=span.kind,
        letter=KIND_LETTERS[span.kind],
        kind_word=KIND_WORDS[span.kind],
        status=span.status,
        error=shown(error, lead=600, budget=budget) if error else None,
        exceptions=_exceptions(span, budget),
        facts=_facts(span, started_at),
        notes=_notes(span, uncounted.get(span_id), names, conflicts),
        arguments=None if content.arguments is None else present(content.arguments, budget, marks),
        result=None if content.result is None else present(content.result, budget, signs=signs),
        input=_messages(content.input, budget, signs),
        output=_messages(content.output, budget),
        input_text=_text(None if content.input else content.input_text, budget),
        output_text=_text(None if content.output else content.output_text, budget),
        documents=None
        if documents is None
        else [
            document_view(document, span_id, budget, signs=signs) for document in documents[:_MOST_DOCUMENTS]
        ],
        more_documents=max(len(documents or []) - _MOST_DOCUMENTS, 0),
        tools_offered=_tools_offered(content.tool_definitions or []),
        parent_id=parent_id if parent_id in tree.by_id and parent_id != span_id else None,
        previous_error_id=before,
        next_error_id=after,
        error_of_errors=f"error {tree.errors.index(span_id) + 1:,} of {len(tree.errors):,}"
        if span_id in tree.errors
        else counted(len(tree.errors), "error")
        if tree.errors
        else "",
        has_previous_call=previous_call(spans, span) is not None,
        conflict=span_id in conflicts,
        tainted=tainted_call(sink, address) if sink else None,
        spared=[tainted_line(value, address) for value in (taint.spared.get(span_id, []) if taint else [])][
            :_MOST_SPARED
        ],
        decision=call_decision(span.tool_name, (decisions or {}).get(span_id), needs_decision)
        if span.kind == "tool"
        else None,
    )


def _facts(span: Span, started_at: int) -> list[Fact]:
    usage = span.usage
    waiting = span.attributes.get("clearance.waiting") is True
    took = duration(span.ended_at - span.started_at)
    found: list[tuple[str, str | None]] = [
        ("took", f"{took}, {duration(span.started_at - started_at)} after the start"),
        ("waited", "for a person: not in the latency" if waiting else None),
        ("span name", span.name if span.kind == "tool" and span.tool_name not in (None, span.name) else None),
        ("model", span.model_answered),
        ("model asked", span.model_asked if span.model_asked != span.model_answered else None),
        ("provider", span.provider),
        ("tokens in", _tokens(usage.input, usage.cached_input, "cached")),
        ("tokens out", _tokens(usage.output, usage.reasoning, "reasoning")),
        ("response", span.response_id),
        ("call ID", span.tool_call_id),
        ("says", _claims(span)),
        ("written by", span.scope or None),
    ]
    return [Fact(name, line(value, 200)) for name, value in found if value]


def _tokens(count: int | None, part: int | None, word: str) -> str | None:
    if count is None:
        return None
    return f"{number(count)} ({number(part)} {word})" if part else number(count)


def _claims(span: Span) -> str | None:
    """What the agent claims about itself on this very span."""
    claims = msgspec.to_builtins(span.claims)
    return ", ".join(f"{name} {text_of(value)}" for name, value in claims.items()) or None


def _notes(span: Span, reason: str | None, names: dict[str, str], conflicts: Sequence[str]) -> list[str]:
    notes: list[str] = []
    if reason is not None:
        notes.append(uncounted_reason(reason, names))
    if span.span_id.hex() in conflicts:
        notes.append("A different body came under this span's ID as well; this is the one that is counted.")
    if span.content.cut:
        notes.append("Some of its content was cut for size when it was received.")
    if span.redactions:
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(span.redactions.items()))
        notes.append(f"Redacted before it was stored: {found}.")
    return notes


def _text(text: str | None, budget: Budget) -> Shown | None:
    return shown(text_of(text), budget=budget) if text else None


def _messages(
    messages: Sequence[Message] | None, budget: Budget, signs: Signs | None = None
) -> Messages | None:
    if not messages:
        return None
    latest = messages[-_MOST_MESSAGES:]
    return Messages(
        bubbles=[message_view(message, budget, signs) for message in latest],
        word=counted(len(messages), "message"),
        earlier=len(messages) - len(latest),
    )


def _exceptions(span: Span, budget: Budget) -> list[ExceptionView]:
    found: list[ExceptionView] = []
    for event in span.events:
        attributes = event.get("attributes")
        if event.get("name") != "exception" or not isinstance(attributes, dict):
            continue
        stack = attributes.get("exception.stacktrace")
        found.append(
            ExceptionView(
                type=line(text_of(attributes.get("exception.type") or "exception"), 120),
                message=shown(text_of(attributes.get("exception.message") or ""), lead=600, budget=budget),
                # The whole trace is folded: its message above says what a reader needs first.
                stack=shown(text_of(stack), lead=20_000, budget=budget) if stack else None,
            )
        )
    return found[:_MOST_EXCEPTIONS]


def _tools_offered(definitions: Sequence[Json]) -> list[Piece]:
    names = [name for name in (_tool_name(entry) for entry in definitions) if name]
    if not definitions:
        return []
    return line(
        f"{counted(len(definitions), 'tool')}: {', '.join(names)}" if names else "of unknown names", 400
    )


def _tool_name(definition: Json) -> str:
    if not isinstance(definition, dict):
        return ""
    inner = definition.get("function")
    name = inner.get("name") if isinstance(inner, dict) else definition.get("name")
    return name if isinstance(name, str) else ""
