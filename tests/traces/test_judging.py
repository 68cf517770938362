"""A trace is judged by the policy that was in force when it was first settled: its checks, its rule, its budget."""

from typing import Any

from features.policy import read_policy
from features.policy.activation import apply_policy
from features.services import create_person
from tests.support import Browser, Stack, unique
from tests.traces.settled import new_feature, new_span, new_trace_id, settle, store, trace_row
from traces.vocabulary import Content, Message, Part, Usage

POLICY = """
[feature]
slug = "{slug}"
task = "Resolve billing tickets."
disallowed = ["delete_customer"]

[[action]]
name = "lookup"
effect = "read"

[limits]
context_tokens = 100

[traces]
success = '{success}'

[[check]]
name = "no-promises"
kind = "forbidden_text"
on = "trace"
texts = ["guarantee"]

[[check]]
name = "few-tools"
kind = "cel"
rule = 'size(trace.tool_calls) < 2'
"""


def put_in_force(feature: Any, success: str = "trace.tool_errors == 0") -> None:
    text = POLICY.format(slug=feature.slug, success=success)
    apply_policy(read_policy(text).document, text)


def answer(trace_id: bytes, n: int, text: str, tokens: int = 10) -> Any:
    said = Message(role="assistant", parts=[Part(type="text", text=text)])
    return new_span(
        trace_id,
        n,
        kind="llm",
        calls_model=True,
        usage=Usage(input=tokens, output=1),
        content=Content(output=[said]),
    )


def tool(trace_id: bytes, n: int, name: str, status: Any = "ok") -> Any:
    return new_span(
        trace_id, n, kind="tool", tool_name=name, status=status, content=Content(arguments={"n": n})
    )


def test_checks_disallowed_tools_and_the_budget_stand_on_the_trace_with_their_spans() -> None:
    feature, trace_id = new_feature(), new_trace_id()
    put_in_force(feature)
    promise, deleted = answer(trace_id, 2, "I guarantee it", tokens=101), tool(trace_id, 3, "delete_customer")
    store(feature, new_span(trace_id), promise, deleted, tool(trace_id, 4, "lookup"))
    settle(feature)
    row = trace_row(feature, trace_id)
    assert row["violated_rules"] == ["disallowed_tool", "few-tools", "no-promises"]
    spans = {one["rule"]: one["span_id"] for one in row["summary"]["violations"]}
    assert spans == {
        "disallowed_tool": deleted.span_id.hex(),
        "few-tools": None,
        "no-promises": promise.span_id.hex(),
    }
    assert (row["budgeted_calls"], row["over_budget_calls"], row["context_tokens"]) == (1, 1, 101)
    assert (row["outcome"], row["outcome_source"], row["policy"]) == ("success", "success_rule", 1)


def test_a_later_policy_does_not_rewrite_what_was_settled() -> None:
    feature, early, late = new_feature(), new_trace_id(), new_trace_id()
    put_in_force(feature)
    store(feature, new_span(early))
    settle(feature)
    put_in_force(feature, 'trace.name == "nothing is called this"')
    store(feature, new_span(early, 2))
    store(feature, new_span(late))
    settle(feature)
    assert (trace_row(feature, early)["outcome"], trace_row(feature, early)["policy"]) == ("success", 1)
    assert (trace_row(feature, late)["outcome"], trace_row(feature, late)["policy"]) == ("failed", 2)


def test_a_trace_from_before_any_policy_takes_the_first_that_it_meets() -> None:
    feature, trace_id = new_feature(), new_trace_id()
    store(feature, new_span(trace_id))
    settle(feature)
    assert (trace_row(feature, trace_id)["outcome"], trace_row(feature, trace_id)["policy"]) == (
        "unknown",
        None,
    )
    put_in_force(feature)
    store(feature, new_span(trace_id, 2))
    settle(feature)
    assert (trace_row(feature, trace_id)["outcome"], trace_row(feature, trace_id)["policy"]) == ("success", 1)


def test_a_rule_that_cannot_be_asked_is_unknown_and_says_why(stack: Stack) -> None:
    feature, trace_id = new_feature(), new_trace_id()
    put_in_force(feature, 'trace.segments.tier == "gold"')
    store(feature, new_span(trace_id))
    settle(feature)
    row = trace_row(feature, trace_id)
    assert (row["outcome"], row["outcome_source"]) == ("unknown", "success_rule_fault")
    assert "tier" in row["summary"]["rule_faults"][0]
    viewer, _ = create_person(name=unique("viewer"), roles=[(feature.slug, "viewer")])
    page = Browser(stack, viewer).get(f"/features/{feature.slug}/traces/{trace_id.hex()}/").text
    assert "Could not be judged" in page
