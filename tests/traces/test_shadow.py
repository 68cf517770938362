"""What ran is held against what was permitted: one run, one execution, whatever came first."""

import random
import uuid
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from django.db import transaction

from features.marks import args_mark, span_mark, written
from features.models import Feature
from features.policy import read_policy
from features.policy.activation import apply_policy
from tests.traces.settled import NS, new_feature, new_span, new_trace_id, settle, store, trace_row
from traces.facts import keep_execution
from traces.summarise import Rules, summarise
from traces.vocabulary import Claims, Content, Fact, Span

FEATURE = uuid.UUID(int=7)
RULES = Rules(
    policy=1,
    named=frozenset({"refund", "lookup_order", "data_export", "close"}),
    governed=frozenset({"refund", "close"}),
    disallowed=frozenset({"data_export"}),
    since=100,
)
E1, E2 = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
SMALL, LARGE = {"order_id": "A-1", "amount": "20.00"}, {"order_id": "A-1", "amount": "480.00"}


def run(
    n: int, tool: str = "refund", args: Any = SMALL, execution: str | None = None, **changed: Any
) -> Span:
    started = changed.pop("started_at", 1000 + n)
    return Span(
        trace_id=b"t" * 16,
        span_id=n.to_bytes(8, "big"),
        parent_span_id=None,
        name=tool,
        scope="a",
        kind="tool",
        started_at=started,
        ended_at=started + 1,
        status="ok",
        status_message="",
        tool_name=tool,
        claims=Claims(execution_id=execution),
        content=Content(arguments=args, args_mark=span_mark(FEATURE, tool, args)),
        **changed,
    )


def permitted(
    execution: str, args: Any = SMALL, action: str = "refund", at: int = 500, kind: str = "execution"
) -> Fact:
    value = {
        "execution": execution,
        "decision": execution[::-1],
        "action": action,
        "mark": written(args_mark(FEATURE, action, args)),
    }
    return Fact(kind=kind, source=execution, value=value, created_at=at)


def rules_of(spans: list[Span], facts: list[Fact], rules: Rules = RULES) -> list[str]:
    return [violation.rule for violation in summarise(spans, [], facts, rules).violations]


def test_a_run_that_was_permitted_is_linked_and_accused_of_nothing() -> None:
    found = summarise([run(1, execution=E1)], [], [permitted(E1)], RULES)
    (call,) = found.tool_calls
    assert (call.execution, call.decision, call.arguments_are) == (E1, E1[::-1], "the same")
    assert found.violations == []


@pytest.mark.parametrize(
    ("spans", "facts", "expected"),
    [
        ([run(1)], [], ["no_decision"]),
        ([run(1), run(2)], [permitted(E1)], ["no_decision"]),  # one execution, one run
        ([run(1, execution=E1), run(2, execution=E1)], [permitted(E1)], ["no_decision"]),
        ([run(1), run(2)], [permitted(E1), permitted(E2)], []),
        ([run(1, args=LARGE)], [permitted(E1)], ["arguments_differ"]),
        ([run(1, args=LARGE, execution=E1)], [permitted(E1)], ["arguments_differ"]),
        ([run(1, tool="close", execution=E1)], [permitted(E1)], ["no_decision"]),  # of another action
        ([run(1, execution=E2)], [permitted(E1)], ["no_decision"]),  # names another's
        ([run(1, execution=E1)], [permitted(E1, kind="named_execution")], []),  # resumed in another trace
        ([run(1)], [permitted(E1, kind="named_execution")], ["no_decision"]),
        ([run(1, tool="lookup_order")], [], []),
        ([run(1, tool="send_money")], [], ["unlisted_tool"]),
        ([run(1, tool="data_export")], [], ["disallowed_tool"]),
        ([run(1, started_at=99)], [], []),  # no policy was in force
    ],
)
def test_the_rules_of_shadow_executions(spans: list[Span], facts: list[Fact], expected: list[str]) -> None:
    assert rules_of(spans, facts) == expected


def test_without_a_policy_nothing_is_accused() -> None:
    assert rules_of([run(1), run(2, tool="send_money")], [], Rules()) == []


@pytest.mark.parametrize("args", [None, "amount=20", {"n": 2**60}, [1], {"text": "x" * 70_000}])
def test_arguments_that_cannot_be_compared_are_unmatched_and_no_violation(args: Any) -> None:
    found = summarise([run(1, args=args, execution=E1)], [], [permitted(E1)], RULES)
    assert found.tool_calls[0].arguments_are == "unmatched"
    assert found.violations == []


def test_spelling_does_not_make_arguments_differ_but_a_character_does() -> None:
    one = span_mark(FEATURE, "refund", {"b": 1.0, "a": "x"})
    assert one == span_mark(FEATURE, "refund", {"a": "x", "b": 1}) is not None
    assert one != span_mark(FEATURE, "refund", {"a": "x ", "b": 1})
    assert one != span_mark(FEATURE, "close", {"a": "x", "b": 1})
    assert one != span_mark(uuid.UUID(int=8), "refund", {"a": "x", "b": 1})


def test_the_order_in_which_they_come_changes_nothing() -> None:
    spans = [run(1), run(2, args=LARGE), run(3, execution=E2)]
    facts = [permitted(E1), permitted(E2, at=400), permitted(str(uuid.UUID(int=3)), LARGE, at=600)]
    once = summarise(spans, [], facts, RULES)
    assert [call.arguments_are for call in once.tool_calls] == ["the same"] * 3
    for order in permutations(range(3)):
        assert summarise([spans[n] for n in order], [], [facts[n] for n in order] * 2, RULES) == once


def put_in_force(feature: Feature) -> None:
    text = f"""
[feature]
slug = "{feature.slug}"
task = "Resolve tier-1 billing tickets."
[[action]]
name = "refund"
effect = "reversible"
"""
    apply_policy(read_policy(text).document, text)


def test_facts_and_spans_in_any_order_with_settles_between_end_in_the_same_row() -> None:
    ends = []
    # After each turn's policy, however slowly the turns follow each other: what ran before one is accused of nothing.
    start = (int(datetime.now(UTC).timestamp()) + 600) * NS
    trace_id, other, wide = new_trace_id(), new_trace_id(), [uuid.uuid4() for _ in range(3)]
    for turn in range(6):
        feature = new_feature()
        put_in_force(feature)
        chance = random.Random(turn)

        def ran(n: int, args: Any, execution: str | None = None, feature: Feature = feature) -> Any:
            span = new_span(
                trace_id,
                n,
                kind="tool",
                tool_name="refund",
                started_at=start + n,
                claims=Claims(execution_id=execution),
                content=Content(arguments=args, args_mark=span_mark(feature.pk, "refund", args)),
            )
            return lambda: store(feature, span)

        def began(n: int, where: bytes | None, feature: Feature = feature) -> Any:
            value = {
                "execution": str(wide[n]),
                "decision": str(wide[n]),
                "action": "refund",
                "mark": written(args_mark(feature.pk, "refund", SMALL)),
            }
            at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=-1, seconds=n)

            def keep() -> None:
                with transaction.atomic():
                    keep_execution(feature.pk, wide[n], where, value, at)

            return keep

        # The agent learns an execution's ID after its commit: what is named from afar was there before.
        began(2, other)()
        work = [ran(1, SMALL), ran(2, LARGE), ran(3, SMALL, str(wide[2])), ran(4, SMALL)]
        work += [began(0, trace_id), began(1, trace_id)]
        chance.shuffle(work)
        for one in work:
            one()
            if chance.random() < 0.4:
                settle(feature)
        settle(feature)
        ends.append(trace_row(feature, trace_id))
    assert [end["violated_rules"] for end in ends] == [["arguments_differ", "no_decision"]] * 6
    assert {str(pk) for pk in ends[0]["executions"]} == {str(pk) for pk in wide}
    assert all(end == ends[0] for end in ends[1:])
