"""Which execution a tool's run belongs to, and what is wrong where it belongs to none, or has other arguments.

Settle holds what agents report against what was permitted. It proves what is reported; the receipt is what enforces.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from traces.summarise.rules import Rules
from traces.vocabulary import EXECUTIONS, Fact, Span, ToolCall, Violation

__all__ = ["Match", "execution_name", "match_runs", "with_executions", "wrong_runs"]

Compared = Literal["the same", "different", "unmatched"]


class _Execution(msgspec.Struct, frozen=True):
    id: str
    decision: str
    action: str
    mark: str
    here: bool  # its decision was asked for in this trace


class Match(msgspec.Struct, frozen=True):
    """The execution that a run is of, and how its arguments compare with the permitted ones."""

    execution: str
    decision: str
    compared: Compared


def execution_name(span: Span) -> str | None:
    """The execution that a span names, in the one spelling of its ID."""
    named = span.claims.execution_id
    return named.strip().lower() if named else None


def match_runs(
    tools: Sequence[Span],
    repeats: Mapping[str, str],
    spans: Mapping[bytes, Span],
    facts: Sequence[Fact],
) -> dict[str, Match]:
    """Matches by span ID (hex). `tools`: the counted runs in order of start; `repeats`: which spans say the same run
    again; `facts` in order.

    A run is of the execution that it names; runs that name none are, in order of start, of what is left of the
    trace's executions of the same action. One run, one execution; of another action it is none.
    """
    executions = _executions(facts)
    if not executions:
        return {}
    told = _told(tools, repeats, spans)
    found: dict[str, Match] = {}
    taken: set[str] = set()
    for span in tools:
        names = [name for one in told[span.span_id] if (name := execution_name(one))]
        named = next((executions[name] for name in names if name in executions and name not in taken), None)
        if named is not None and named.action == span.tool_name:
            taken.add(named.id)
            found[span.span_id.hex()] = _match(named, told[span.span_id])
    left: defaultdict[str | None, list[_Execution]] = defaultdict(list)
    for one in executions.values():
        if one.here and one.id not in taken:
            left[one.action].append(one)
    for span in tools:
        nameless = not any(execution_name(one) for one in told[span.span_id])
        if nameless and left[span.tool_name]:
            found[span.span_id.hex()] = _match(left[span.tool_name].pop(0), told[span.span_id])
    return found


def _executions(facts: Sequence[Fact]) -> dict[str, _Execution]:
    """By ID, in order of start. This trace's own word wins over what is known of it elsewhere."""
    found: dict[str, _Execution] = {}
    for kind in EXECUTIONS:
        for fact in facts:
            if fact.kind == kind and isinstance(fact.value, dict):
                value = {
                    key: str(fact.value.get(key) or "") for key in ("execution", "decision", "action", "mark")
                }
                one = _Execution(
                    value["execution"], value["decision"], value["action"], value["mark"], kind == "execution"
                )
                found.setdefault(one.id, one)
    return found


def _told(
    tools: Sequence[Span], repeats: Mapping[str, str], spans: Mapping[bytes, Span]
) -> dict[bytes, list[Span]]:
    """Each run's spans: the counted one, then those that say it again."""
    told = {span.span_id: [span] for span in tools}
    for again, counted in sorted(repeats.items()):
        if (span := spans.get(bytes.fromhex(again))) and (run := told.get(bytes.fromhex(counted))):
            run.append(span)
    return told


def _match(execution: _Execution, told: Sequence[Span]) -> Match:
    marks = [one.content.args_mark for one in told if one.content.args_mark]
    compared: Compared = "unmatched"
    if marks:
        compared = "the same" if any(one == execution.mark for one in marks) else "different"
    return Match(execution.id, execution.decision, compared)


def with_executions(calls: Sequence[ToolCall], matches: Mapping[str, Match]) -> list[ToolCall]:
    """The calls with the decision that permitted each."""
    if not matches:
        return list(calls)
    return [
        msgspec.structs.replace(
            call, decision=one.decision, execution=one.execution, arguments_are=one.compared
        )
        if (one := matches.get(call.span_id))
        else call
        for call in calls
    ]


def wrong_runs(tools: Sequence[Span], matches: Mapping[str, Match], rules: Rules) -> list[Violation]:
    """`unlisted_tool`, `no_decision` and `arguments_differ`. Without a policy at the time nothing is accused, and
    arguments that could not be read are no violation.
    """
    found = [
        Violation(
            rule="arguments_differ",
            span_id=span_id,
            detail=f"execution {one.execution} was permitted for other arguments",
        )
        for span_id, one in matches.items()
        if one.compared == "different"
    ]
    if rules.named is None:
        return found
    for span in tools:
        if span.started_at < rules.since:
            continue
        tool, span_id = span.tool_name or "", span.span_id.hex()
        if tool not in rules.named:
            found.append(
                Violation(rule="unlisted_tool", span_id=span_id, detail=f"the policy has no action {tool}")
            )
        elif tool in rules.governed and span_id not in matches:
            found.append(Violation(rule="no_decision", span_id=span_id, detail=_undecided(span)))
    return found


def _undecided(span: Span) -> str:
    if named := execution_name(span):
        return f"{span.tool_name} ran and names {named[:64]}, which is no execution that is left for it"
    return f"{span.tool_name} needs a decision, and it ran without an execution"
