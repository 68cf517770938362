"""What a feature's policy says about the reading of its traces, ready to be asked."""

from collections.abc import Callable

import msgspec

from traces.summarise.cost import PriceList
from traces.summarise.document import spoken
from traces.vocabulary import Json, Span, Summary, Violation

__all__ = ["Judged", "Rules", "Seen"]


class Seen(msgspec.Struct, frozen=True):
    """What a rule or a check may look at: the counted calls and tool runs, and the summary as far as it is made.
    `claimed`: the outcome that the agent says, if any; `output_span`: the span that shows the final output; `wrong`:
    violations that are found without asking the policy's checks.
    """

    summary: Summary
    calls: list[Span]
    tools: list[Span]
    claimed: str | None
    escalated: bool
    output_span: str | None
    wrong: list[Violation] = []

    def written(self) -> list[tuple[str, str]]:
        """(text, span ID) of all that the agent wrote: the models' answers and the arguments of tools that ran."""
        found: list[tuple[str, str]] = []
        for span in self.calls:
            for message in span.content.output or ():
                found += [(part.text, span.span_id.hex()) for part in message.parts if part.text]
        for span in self.tools:
            if span.content.arguments is not None:
                found.append((spoken(span.content.arguments), span.span_id.hex()))
        return found

    def view(self) -> dict[str, Json]:
        """`trace` as the rules of a policy see it; its fields and types stand in features/rules/trace.py."""
        summary = self.summary
        completeness = msgspec.to_builtins(summary.completeness)
        return {
            "status": summary.status,
            "outcome": self.claimed or "",
            "escalated": self.escalated,
            "name": summary.name,
            "variant": summary.variant,
            "version": summary.feature_version or "",
            "segments": summary.segments,
            "duration_ms": summary.duration_ns / 1e6,
            "waiting_ms": summary.waiting_ns / 1e6,
            "llm_calls": summary.llm_calls,
            "llm_errors": summary.llm_errors,
            "models": summary.models,
            "input_tokens": summary.input_tokens,
            "output_tokens": summary.output_tokens,
            "context_tokens": summary.context_tokens or 0,
            "tool_errors": summary.tool_errors,
            "retries": summary.retries,
            "tools": [call.name for call in summary.tool_calls],
            "tool_calls": [
                {"name": call.name, "status": call.status, "arguments": call.arguments, "result": call.result}
                for call in summary.tool_calls
            ],
            "retrieved_ids": summary.retrieved_ids,
            "final_output": summary.final_output or "",
            "missing": [field for field, found in completeness.items() if found["state"] == "missing"],
            "violations": [violation.rule for violation in summary.violations],
            "span_count": summary.span_count,
        }


class Judged(msgspec.Struct, frozen=True):
    """A rule's answer; `fault`: why it has none."""

    holds: bool
    fault: str | None = None


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """`escalation_tools`: a run of one of these hands the task to a person. `disallowed`: tools that must not run.
    `context_tokens`: the budget of one model call's input. `policy`: the version that says all this.
    """

    policy: int | None = None
    escalation_tools: frozenset[str] = frozenset()
    disallowed: frozenset[str] = frozenset()
    context_tokens: int | None = None
    # The tools that the policy names (None: no policy), those of them that need a decision, and since when, in ns,
    # the feature has a policy at all: what ran before is accused of nothing.
    named: frozenset[str] | None = None
    governed: frozenset[str] = frozenset()
    since: int = 0
    prices: PriceList = msgspec.field(default_factory=PriceList)
    success: Callable[[Seen], Judged] | None = None
    # The violations that the policy's checks find, and the faults of those that could not be run.
    checks: Callable[[Seen], tuple[list[Violation], list[str]]] | None = None
