"""Rules: refused when they are written down if anything is wrong with them, and never true by accident."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.rules import TRACE, RuleFault, check_rule, compile_rule
from features.rules.compiled import scaled
from features.rules.types import Type
from tests.traces.test_summarise import ROOT, UNDER, call, tool
from traces.summarise import Judged, Rules, Seen, summarise

GOOD = (
    'trace.status == "ok"',
    'trace.outcome != "failed" && size(trace.violations) == 0',
    "!trace.escalated || trace.retries <= 2",
    'trace.tool_calls.all(c, c.status == "ok")',
    'trace.tool_calls.exists(c, c.name == "refund" && has(c.arguments.amount) && c.arguments.amount == "5.00")',
    'trace.tools.exists(t, trace.models.exists(m, m == t)) ? trace.llm_calls > 1 : "x" in trace.tools',
    "trace.duration_ms - trace.waiting_ms < 5000.0",
    "trace.duration_ms < 5000",
    'trace.segments.tier == "gold" || trace.segments["tier"] == "silver"',
    'trace.final_output.contains("sorry") == false && trace.final_output.size() > 3',
    'trace.final_output.matches("^[A-Z]")',
    'decimal(trace.final_output) <= decimal("50")',
    "trace.tool_calls.filter(c, c.name == 'refund').size() <= 1",
    "trace.tool_calls.map(c, c.name).size() == 0",
    "trace.tool_calls[0].result != null",
)
BAD = (
    ("trace.status ==", "no expression"),
    ("", "no expression"),
    ('trace.stauts == "ok"', "did you mean status?"),
    ('status == "ok"', "known: trace"),
    ("trace.status", "true or false"),
    ("size(trace.tools)", "true or false"),
    ('trace.retries == "2"', "of one type"),
    ('1 + "a" == 2', "calculated"),
    ("trace.duration_ms + 1 > 2.0", "double("),
    ('trace.outcome < "x"', "no order"),
    ("trace.escalated > true", "no order"),
    ('decimal("1") < 5', "of one type"),
    ("decimal(5) < decimal('6')", "takes a text"),
    ("trace.tools", "true or false"),
    ("trace.tools.all(t, t)", "must be true or false"),
    ("trace.tools.all(t, trace.tools.all(u, trace.tools.all(v, v == t)))", "deep"),
    ("trace.retries.all(x, true)", "goes through a list"),
    ("trace.tools.all(t.x, true)", "a name for the item"),
    ("nonsense(trace.tools)", "not known"),
    ("trace.final_output.lower() == 'a'", "not known"),
    ("{'a': 1}.a == 1", "not made"),
    ("trace.tools['a'] == 'b'", "must be an int"),
    ("1u == 1u", "do not take"),
    ("(" * 40 + "true" + ")" * 40, "nested"),
    ("!" * 1900 + "true", "nested"),
    ("true" + " || true" * 400, "characters"),
    ("trace.name.size", "no field"),
    ("trace == 1", "of one type"),
)


@pytest.mark.parametrize("text", GOOD)
def test_a_right_rule_is_kept_and_answers(text: str) -> None:
    check_rule(text, {"trace": TRACE})
    compile_rule(text)


@pytest.mark.parametrize(("text", "why"), BAD)
def test_a_wrong_rule_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(RuleFault) as caught:
        check_rule(text, {"trace": TRACE})
    assert why in str(caught.value)


def ask(text: str, **trace: Any) -> Any:
    return compile_rule(text).ask({"trace": trace})


def test_what_cannot_be_asked_is_a_fault_and_never_true() -> None:
    for text, trace in (
        ('trace.segments.tier == "gold"', {"segments": {}}),
        ("trace.tool_calls[0].status == 'ok'", {"tool_calls": []}),
        ("trace.x.y > 3", {"x": {"y": "text"}}),
        ("decimal(trace.x) < decimal('5')", {"x": "five"}),
        ("trace.x", {"x": 1}),
    ):
        answer = ask(text, **trace)
        assert answer.holds is False
        assert answer.fault, text


def test_what_macros_go_through_is_bounded_by_how_deep_they_stand() -> None:
    assert ask("trace.tools.all(t, t == 1)", tools=[1] * 9000).holds
    assert "too long" in (ask("trace.tools.all(t, t == 1)", tools=[1] * 10_001).fault or "")
    nested = "trace.tools.all(t, trace.tools.all(u, u == t))"
    assert ask(nested, tools=[1] * 300).holds
    assert "too long" in (ask(nested, tools=[1] * 301).fault or "")
    assert "too long" in (ask(nested, tools=[1], x={"deep": [[0] * 301]}).fault or "")


def test_decimals_are_exact_where_a_double_is_not() -> None:
    assert not ask("decimal(trace.x) == decimal('90071992547.409931')", x="90071992547.409930").holds
    assert ask("decimal(trace.x) <= decimal('50')", x="50.00").holds
    assert not ask("decimal(trace.x) <= decimal('50')", x="180.00").holds


@given(st.decimals(-(10**11), 10**11, places=4), st.decimals(-(10**11), 10**11, places=4))
def test_scaled_decimals_keep_their_order(one: Any, other: Any) -> None:
    assert (scaled(f"{one:f}") < scaled(f"{other:f}")) == (one < other)


def test_a_rule_sees_exactly_what_its_types_say() -> None:
    seen: list[Seen] = []

    def look(one: Seen) -> Judged:
        seen.append(one)
        return Judged(True)

    summarise([ROOT, call(2, **UNDER), tool(3, **UNDER)], [], [], Rules(success=look))
    view = seen[0].view()
    assert TRACE.fields is not None
    assert set(view) == set(TRACE.fields)
    for name, kind in TRACE.fields.items():
        assert isinstance(view[name], _python(kind)), name


def _python(kind: Type) -> Any:
    return {
        "bool": bool,
        "int": int,
        "double": float,
        "string": str,
        "list": list,
        "map": dict,
        "object": dict,
        "any": object,
    }[kind.name]


def test_the_success_rule_decides_what_nobody_said_and_a_faulty_one_never_succeeds() -> None:
    def with_rule(answer: Judged) -> Any:
        return summarise([ROOT], [], [], Rules(success=lambda seen: answer))

    assert (with_rule(Judged(True)).outcome, with_rule(Judged(True)).outcome_source) == (
        "success",
        "success_rule",
    )
    assert with_rule(Judged(False)).outcome == "failed"
    faulty = with_rule(Judged(False, "no such key"))
    assert (faulty.outcome, faulty.outcome_source, faulty.rule_faults) == (
        "unknown",
        "success_rule_fault",
        ["no such key"],
    )
