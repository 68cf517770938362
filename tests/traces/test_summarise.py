"""What settling computes: each fact of every capture, double counting, outcomes, retries, completeness."""

import json
from typing import Any

import pytest

from tests.support import CAPTURES, load_capture
from traces.decode import decode_logs, decode_traces, inflate
from traces.normalise import normalise_log, normalise_span
from traces.summarise import Rules, attach_events, conversation, summarise, uncounted
from traces.vocabulary import (
    Claims,
    Content,
    Document,
    Fact,
    LogEvent,
    Message,
    Part,
    Span,
    Summary,
    Usage,
)

NAMES = sorted(folder.name for folder in CAPTURES.iterdir() if (folder / "expected.json").exists())
STATES = {True: {"present"}, False: {"missing"}, "none": {"not_applicable"}}
FOREVER: dict[str, int] = {"earliest": 0, "latest": 2**63}


def read_capture(name: str) -> tuple[list[Span], list[LogEvent], dict[str, Any]]:
    exports, expected, _ = load_capture(name)
    spans: list[Span] = []
    events: list[LogEvent] = []
    for export in exports:
        body = inflate(export.body, export.encoding, 10**8)
        if export.path == "/v1/traces":
            spans += map(normalise_span, decode_traces(body, export.content_type, **FOREVER).items)
        else:
            decoded = decode_logs(body, export.content_type, **FOREVER, received_at=1)
            events += map(normalise_log, decoded.items)
    return spans, events, expected


@pytest.mark.parametrize("name", NAMES)
def test_every_fact_of_a_capture_comes_out(name: str) -> None:
    spans, events, expected = read_capture(name)
    found = summarise(spans, events, [])
    for fact in (
        "llm_calls",
        "llm_errors",
        "embeddings",
        "input_tokens",
        "output_tokens",
        "cached_input_tokens",
    ):
        assert getattr(found, fact) == expected[fact], fact
    assert sorted(found.models) == sorted(expected["models"])
    assert found.user_id == expected["user_id"]
    assert found.session_id if expected["session_id"] == "any" else found.session_id == expected["session_id"]
    assert sorted([call.name, call.status] for call in found.tool_calls) == sorted(expected["tool_calls"])
    assert found.retrieved_ids == expected["retrieved_ids"]
    assert found.final_output == expected["final_output"]
    for field, state in expected["completeness"].items():
        if state != "either":
            assert getattr(found.completeness, field).state in STATES[state], field


@pytest.mark.parametrize("name", NAMES)
def test_the_conversation_of_a_capture_says_everything_once(name: str) -> None:
    spans, events, _ = read_capture(name)
    turns = conversation(attach_events(spans, events))
    texts = [part.text for turn in turns if turn.role in {"system", "user"} for part in turn.parts]
    assert len(texts) == len(set(texts))
    assert {"system", "user", "assistant", "tool"} <= {turn.role for turn in turns}
    for turn in turns:
        assert (turn.trust == "untrusted") == (turn.role in {"tool", "document"})


def span(n: int, **changed: Any) -> Span:
    defaults: dict[str, Any] = {
        "trace_id": b"\x01" * 16,
        "span_id": n.to_bytes(8, "big"),
        "parent_span_id": None,
        "name": f"span {n}",
        "scope": "a",
        "kind": "other",
        "started_at": n * 100,
        "ended_at": n * 100 + 50,
        "status": "ok",
        "status_message": "",
    }
    return Span(**{**defaults, **changed})


def call(n: int, **changed: Any) -> Span:
    usage = changed.pop("usage", Usage(input=100, output=10))
    return span(n, **{"kind": "llm", "calls_model": True, "model_answered": "m-1", "usage": usage, **changed})


def tool(n: int, name: str = "refund", arguments: Any = None, **changed: Any) -> Span:
    content = Content(arguments=arguments or {"order": "A-1"})
    return span(n, **{"kind": "tool", "tool_name": name, "content": content, **changed})


def says(role: Any, text: str) -> Message:
    return Message(role=role, parts=[Part(type="text", text=text)])


def of(*spans: Span, facts: tuple[Fact, ...] = (), rules: Rules = Rules()) -> Summary:  # noqa: B008
    return summarise(list(spans), [], list(facts), rules)


ROOT = span(1, ended_at=10_000)
UNDER: dict[str, Any] = {"parent_span_id": ROOT.span_id}


def test_a_call_inside_a_call_with_the_same_counts_is_one() -> None:
    outer = call(2, ended_at=900, **UNDER)
    inner = call(
        3, scope="b", parent_span_id=outer.span_id, content=Content(output=[says("assistant", "hi")])
    )
    found = of(ROOT, outer, inner)
    assert (found.llm_calls, found.input_tokens) == (1, 100)
    assert found.uncounted == {outer.span_id.hex(): inner.span_id.hex()}


def test_siblings_of_two_scopes_that_overlap_are_one_and_of_one_scope_are_several() -> None:
    twins = [call(2, ended_at=900, **UNDER), call(3, ended_at=900, scope="b", **UNDER)]
    assert of(ROOT, *twins).llm_calls == 1
    parallel = [call(2, ended_at=900, **UNDER), call(3, ended_at=900, **UNDER)]
    assert of(ROOT, *parallel).llm_calls == 2
    later = [call(2, **UNDER), call(3, scope="b", **UNDER)]
    assert of(ROOT, *later).llm_calls == 2
    pairs = [
        call(n, ended_at=900, scope=scope, **UNDER) for n, scope in ((2, "a"), (3, "b"), (4, "a"), (5, "b"))
    ]
    assert of(ROOT, *pairs).llm_calls == 2


def test_other_counts_or_models_are_other_calls() -> None:
    outer = call(2, ended_at=900, **UNDER)
    inner = call(3, scope="b", parent_span_id=outer.span_id, usage=Usage(input=7, output=1))
    assert of(ROOT, outer, inner).llm_calls == 2
    other = call(3, scope="b", ended_at=900, model_answered="m-2", **UNDER)
    assert of(ROOT, outer, other).llm_calls == 2


@pytest.mark.parametrize(
    ("framework", "provider"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("openai/gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
    ],
)
def test_a_frameworks_name_of_a_model_and_its_version_are_one(framework: str, provider: str) -> None:
    outer = call(
        2, ended_at=900, model_answered=framework, content=Content(output=[says("assistant", "hi")]), **UNDER
    )
    inner = call(3, scope="b", parent_span_id=outer.span_id, model_answered=provider)
    found = of(ROOT, outer, inner)
    assert (found.llm_calls, found.input_tokens) == (1, 100)
    assert len(found.models) == 1
    assert found.models == [provider]


def test_another_size_of_a_model_is_another_model() -> None:
    outer = call(2, ended_at=900, model_answered="gpt-4o", **UNDER)
    inner = call(3, scope="b", parent_span_id=outer.span_id, model_answered="gpt-4o-mini")
    assert of(ROOT, outer, inner).llm_calls == 2


def test_a_span_that_sums_its_children_or_has_no_counts_is_not_counted() -> None:
    for usage in (Usage(input=200, output=20), Usage()):
        outer = call(2, ended_at=5000, usage=usage, **UNDER)
        inner = [call(n, scope="b", parent_span_id=outer.span_id) for n in (3, 4)]
        found = of(ROOT, outer, *inner)
        assert (found.llm_calls, found.input_tokens) == (2, 200)
        assert found.uncounted == {outer.span_id.hex(): "sums its children"}


def test_a_retry_inside_a_frameworks_call_counts_the_failure_and_the_call() -> None:
    outer = call(2, ended_at=5000, **UNDER)
    failed = call(
        3,
        scope="b",
        parent_span_id=outer.span_id,
        usage=Usage(),
        status="error",
        model_answered=None,
        model_asked="m",
    )
    worked = call(4, scope="b", parent_span_id=outer.span_id)
    found = of(ROOT, outer, failed, worked)
    assert (found.llm_calls, found.llm_errors, found.input_tokens, found.models) == (2, 1, 100, ["m-1"])


def test_one_tool_run_told_twice_is_one_and_two_runs_are_two() -> None:
    outer = tool(2, ended_at=900, **UNDER)
    inner = tool(3, scope="b", parent_span_id=outer.span_id)
    assert len(of(ROOT, outer, inner).tool_calls) == 1
    assert uncounted([ROOT, outer, inner]) == {inner.span_id.hex(): outer.span_id.hex()}
    assert len(of(ROOT, tool(2, ended_at=900, **UNDER), tool(3, ended_at=900, **UNDER)).tool_calls) == 2


def test_embeddings_and_their_tokens_are_apart() -> None:
    found = of(ROOT, call(2, kind="embedding", model_answered="e-1", **UNDER), call(3, **UNDER))
    assert (found.embeddings, found.llm_calls, found.input_tokens, found.models) == (1, 1, 100, ["m-1"])


def fact(kind: str, value: Any, at: int = 1, source: str = "desk") -> Fact:
    return Fact(kind=kind, source=source, value=value, created_at=at)


def test_the_outcome_is_taken_in_its_order() -> None:
    failing = span(1, status="error", ended_at=900)
    assert (of(ROOT).outcome, of(ROOT).outcome_source) == ("unknown", "none")
    assert (of(failing).outcome, of(failing).outcome_source) == ("failed", "root_error")
    escalating = of(
        failing, tool(2, "hand_over", **UNDER), rules=Rules(escalation_tools=frozenset({"hand_over"}))
    )
    assert (escalating.outcome, escalating.outcome_source) == ("escalated", "escalation_tool:hand_over")
    claimed = span(1, status="error", claims=Claims(escalated=True))
    assert of(claimed).outcome == "escalated"
    assert of(span(1, claims=Claims(escalated=True, outcome="success"))).outcome == "success"
    facts = (fact("outcome", "abandoned", 1), fact("outcome", "failed", 2), fact("outcome", "wonderful", 3))
    told = of(span(1, claims=Claims(outcome="success")), facts=facts)
    assert (told.outcome, told.outcome_source) == ("failed", "feedback:desk")


def test_violations_come_from_facts_each_once() -> None:
    facts = (
        fact("violation", {"rule": "no-cards"}),
        fact("violation", {"rule": "no-cards"}, 2),
        fact("violation", 3),
    )
    assert [violation.rule for violation in of(ROOT, facts=facts).violations] == ["no-cards"]


def test_a_retry_is_the_same_tool_and_arguments_after_an_error() -> None:
    failed = tool(2, status="error", **UNDER)
    assert of(ROOT, failed, tool(3, **UNDER)).retries == 1
    assert of(ROOT, tool(2, **UNDER), tool(3, **UNDER)).retries == 0
    assert of(ROOT, failed, tool(3, arguments={"order": "A-2"}, **UNDER)).retries == 0
    assert of(ROOT, tool(2, **UNDER), tool(3, claims=Claims(retry_of="00"), **UNDER)).retries == 1


def test_what_is_missing_is_said_with_its_reason_and_its_span() -> None:
    bare = call(2, **UNDER)
    retrieval = span(
        3, kind="retriever", content=Content(documents=[Document(id="a"), Document(content="x")])
    )
    found = of(ROOT, bare, retrieval).completeness
    for field in ("prompt", "system_prompt", "retrieved_docs", "final_output"):
        evidence = getattr(found, field)
        assert evidence.state == "missing", field
        assert evidence.why, field
    assert found.retrieved_docs.span_id == retrieval.span_id.hex()
    assert "document 2 of 2" in (found.retrieved_docs.why or "")
    assert found.model.state == "present"
    assert found.tool_calls.state == "not_applicable"


def test_without_a_model_call_there_is_no_system_prompt_to_show() -> None:
    found = of(span(1, content=Content(input_text="hi", output_text="ho"))).completeness
    assert (found.prompt.state, found.system_prompt.state, found.model.state) == (
        "present",
        "not_applicable",
        "not_applicable",
    )
    assert found.final_output.state == "present"


def test_a_tool_that_was_asked_for_without_arguments_anywhere_is_missing() -> None:
    asked = Part(type="tool_call", tool_name="refund", tool_call_id="c1")
    chat = call(2, content=Content(output=[Message(role="assistant", parts=[asked])]), **UNDER)
    assert of(ROOT, chat).completeness.tool_calls.state == "missing"
    run = tool(3, tool_call_id="c1", **UNDER)
    assert of(ROOT, chat, run).completeness.tool_calls.state == "present"


def test_the_roots_word_wins_over_a_childs() -> None:
    child = span(2, claims=Claims(session_id="child", user_id="u"), **UNDER)
    root = span(1, claims=Claims(session_id="root"))
    found = of(child, root)
    assert (found.session_id, found.user_id) == ("root", "u")
    assert found.request_id == (b"\x01" * 16).hex()


def test_waiting_for_a_person_is_taken_once_where_it_overlaps() -> None:
    waits = [
        span(n, started_at=start, ended_at=end, attributes={"clearance.waiting": True}, **UNDER)
        for n, start, end in ((2, 100, 300), (3, 200, 400), (4, 600, 700))
    ]
    assert of(ROOT, *waits).waiting_ns == 400


def test_logs_alone_are_a_trace() -> None:
    event = LogEvent(
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
        event_name="gen_ai.user.message",
        observed_at=5,
        content=Content(input=[says("user", "hi")]),
    )
    found = summarise([], [event], [])
    assert (found.span_count, found.completeness.prompt.state) == (0, "present")


def test_a_long_trace_is_summarised_without_looking_at_all_pairs() -> None:
    spans = [ROOT, *(call(n, scope="ab"[n % 2], **UNDER) for n in range(2, 4002))]
    assert of(*spans).llm_calls == 4000


def test_the_captures_are_there() -> None:
    assert len(NAMES) >= 9
    assert json.loads((CAPTURES / NAMES[0] / "expected.json").read_text())
