"""One trace's summary."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from traces.summarise.calls import Call, count_calls, count_tools
from traces.summarise.completeness import completeness_of
from traces.summarise.cost import cost_of
from traces.summarise.forest import Forest
from traces.summarise.injection import injection_signs
from traces.summarise.outcome import facts_in_order, outcome_of, retries_of, violations_of
from traces.summarise.reading import Reading, read
from traces.summarise.rules import Judged, Rules, Seen
from traces.summarise.shadow import match_runs, with_executions, wrong_runs
from traces.summarise.signature import signature_of
from traces.vocabulary import Claims, Fact, LogEvent, Span, Summary, ToolCall

_BASELINE = "baseline"
_MOST_TOKENS = 2**62
_LONGEST_ID = 512  # characters
_NOTHING_CLAIMED = Claims()
_CLAIMS = Claims.__struct_fields__


def summarise(
    spans: Sequence[Span],
    events: Sequence[LogEvent],
    facts: Sequence[Fact],
    rules: Rules = Rules(),  # noqa: B008
) -> Summary:
    """The summary of a trace. At least one span or log event; ValueError without."""
    return summary_of(read(spans, events), facts_in_order(facts), rules)


def summary_of(reading: Reading, facts: Sequence[Fact], rules: Rules) -> Summary:
    """The summary of a trace that is read; `facts` in order."""
    forest, events = reading.forest, reading.events
    root = forest.root()
    calls, uncounted = count_calls(forest)
    tools, repeated = count_tools(forest)
    matches = match_runs(tools, repeated, forest.by_id, facts)
    chats = [call for call in calls if call.span.kind == "llm"]
    claims = claims_of(reading)
    final_output, final_span = _final_output(forest, root, chats)
    if final_output is None:
        final_output = _last_said(reading.loose)
    started, ended = _bounds(forest.spans, events)
    trace_id = forest.spans[0].trace_id if forest.spans else events[0].trace_id
    redactions: Counter[str] = Counter()
    for found in (*(span.redactions for span in forest.spans), *(event.redactions for event in events)):
        redactions.update(found)
    cost = cost_of(calls, rules.prices, started)
    inputs = [call.usage.input for call in chats if call.usage.input is not None]
    budget = rules.context_tokens
    summary = Summary(
        trace_id=trace_id,
        request_id=claims.request_id or trace_id.hex(),
        root_span_id=root.span_id.hex() if root else None,
        name=root.name if root else events[0].event_name,
        session_id=claims.session_id,
        user_id=claims.user_id,
        variant=claims.variant or _BASELINE,
        feature_version=claims.feature_version,
        segments=dict(sorted((claims.segments or {}).items())),
        started_at=started,
        duration_ns=ended - started,
        waiting_ns=_waiting(forest.spans),
        status=root.status if root else "ok",
        outcome="unknown",
        outcome_source="none",
        llm_calls=len(chats),
        llm_errors=sum(call.span.status == "error" for call in chats),
        embeddings=len(calls) - len(chats),
        models=_models(chats),
        input_tokens=_bounded(sum(call.usage.input or 0 for call in chats)),
        output_tokens=_bounded(sum(call.usage.output or 0 for call in chats)),
        cached_input_tokens=_bounded(sum(call.usage.cached_input or 0 for call in chats)),
        reasoning_tokens=_bounded(sum(call.usage.reasoning or 0 for call in chats)),
        tool_calls=with_executions([_tool_call(span) for span in tools], matches),
        tool_errors=sum(span.status == "error" for span in tools),
        retries=retries_of(calls, tools),
        retrieved_ids=_retrieved_ids(forest.spans),
        final_output=final_output,
        violations=[],
        completeness=completeness_of(forest.spans, calls, tools, reading.loose, final_output, final_span),
        redactions=dict(sorted(redactions.items())),
        span_count=len(forest.spans),
        uncounted={**uncounted, **repeated},
        cost_usd=None if cost.usd is None else plain(cost.usd),
        unknown_cost_calls=cost.unknown,
        unpriced_models=cost.unpriced,
        called_models=sorted({call.model for call in calls if call.model}),
        context_tokens=_bounded(max(inputs)) if inputs else None,
        budgeted_calls=len(inputs) if budget is not None else 0,
        over_budget_calls=sum(tokens > budget for tokens in inputs) if budget is not None else 0,
        error_signature=signature_of(forest),
        policy=rules.policy,
    )
    seen = Seen(
        summary=summary,
        calls=[call.span for call in chats],
        tools=tools,
        claimed=claims.outcome,
        escalated=claims.escalated is True,
        output_span=final_span.span_id.hex() if final_span else None,
        wrong=[*wrong_runs(tools, matches, rules), *injection_signs(forest.spans)],
    )
    return _judged(summary, seen, facts, claims, root, rules)


def _judged(
    summary: Summary, seen: Seen, facts: Sequence[Fact], claims: Claims, root: Span | None, rules: Rules
) -> Summary:
    """The summary with its violations and its outcome: the success rule sees the violations, the checks see neither."""
    checked, faults = rules.checks(seen) if rules.checks else ([], [])
    summary.violations = violations_of(facts, seen.tools, rules, [*checked, *seen.wrong])
    verdicts: list[Judged] = []

    def succeeded() -> Judged:
        assert rules.success is not None
        verdicts.append(rules.success(seen))
        return verdicts[-1]

    summary.outcome, summary.outcome_source = outcome_of(
        facts, claims, root, seen.tools, rules, succeeded if rules.success else None
    )
    summary.rule_faults = sorted({*faults, *(verdict.fault for verdict in verdicts if verdict.fault)})
    return summary


def _bounded(count: int) -> int:
    """Counts come from outside; the columns have 63 bits."""
    return max(0, min(count, _MOST_TOKENS))


def plain(amount: Decimal) -> str:
    """A decimal without exponent and without zeros at its end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def claims_of(reading: Reading) -> Claims:
    """What the agent says about itself: the root's word wins, then the first in time."""
    claims = _claims(reading.forest, reading.forest.root())
    return msgspec.structs.replace(
        claims,
        request_id=_key(claims.request_id),
        session_id=_key(claims.session_id),
        user_id=_key(claims.user_id),
    )


def _key(text: str | None) -> str | None:
    """An ID as it fits into an index."""
    return text[:_LONGEST_ID] if text else text


def _claims(forest: Forest, root: Span | None) -> Claims:
    """What the agent says about itself: the root's word wins, then the first in time."""
    found: dict[str, Any] = {}
    segments: dict[str, str] = {}
    for span in (*([root] if root else ()), *forest.spans):
        claims = span.claims
        if claims == _NOTHING_CLAIMED:
            continue
        for name in _CLAIMS:
            value = getattr(claims, name)
            if name == "segments":
                segments = {**(value or {}), **segments}
            elif value is not None:
                found.setdefault(name, value)
    return Claims(**found, segments=segments or None)


def _bounds(spans: Sequence[Span], events: Sequence[LogEvent]) -> tuple[int, int]:
    if spans:
        return min(span.started_at for span in spans), max(span.ended_at for span in spans)
    return events[0].observed_at, events[-1].observed_at


def _waiting(spans: Sequence[Span]) -> int:
    """Nanoseconds spent waiting for a person: spans that say so, overlaps taken once."""
    total = 0
    reached = 0
    for span in spans:  # in time order
        if span.attributes.get("clearance.waiting") is True:
            total += max(0, span.ended_at - max(span.started_at, reached))
            reached = max(reached, span.ended_at)
    return total


def _models(chats: Sequence[Call]) -> list[str]:
    return sorted({call.model for call in chats if call.model and call.span.status == "ok"})


def _tool_call(span: Span) -> ToolCall:
    return ToolCall(
        name=span.tool_name or span.name,
        status=span.status,
        arguments=span.content.arguments,
        result=span.content.result if span.content.result is not None else span.status_message or None,
        span_id=span.span_id.hex(),
    )


def _retrieved_ids(spans: Sequence[Span]) -> list[str]:
    found = (document.id for span in spans for document in span.content.documents or ())
    return list(dict.fromkeys(identity for identity in found if identity))


def _said(span: Span) -> str | None:
    """The text of a call's answer, unless it asks for tools and goes on."""
    for message in reversed(span.content.output or []):
        text = "".join(part.text or "" for part in message.parts if part.type == "text").strip()
        if text and message.role == "assistant":
            return text
    return None


def _asks_for_tools(span: Span) -> bool:
    return any(part.type == "tool_call" for message in span.content.output or () for part in message.parts)


def _is_json(text: str) -> bool:
    return text[:1] in {"{", "["}


def _final_output(forest: Forest, root: Span | None, chats: Sequence[Call]) -> tuple[str | None, Span | None]:
    """(what the request ended in, the span that shows it): the root's own output; the outermost agent's, the
    last of several; the last answer of a model that asks for no tool; the last text of one. An output that
    is an object gives way to a model's text.
    """
    spoken = [call.span for call in chats if _said(call.span)]
    last = next(
        (span for span in reversed(spoken) if not _asks_for_tools(span)), spoken[-1] if spoken else None
    )
    agents = [span for span in forest.spans if span.kind in {"agent", "chain"} and span.content.output_text]
    top = min(agents, key=lambda span: (forest.depth(span), -span.ended_at, span.span_id), default=None)
    for span in (root, top):
        text = (span.content.output_text or "").strip() if span else ""
        if text and not (_is_json(text) and last is not None):
            return text, span
    return (_said(last), last) if last is not None else (None, None)


def _last_said(loose: Sequence[Any]) -> str | None:
    for content in reversed(loose):
        for message in reversed(content.output or []):
            text = "".join(part.text or "" for part in message.parts if part.type == "text").strip()
            if text:
                return text
    return None
