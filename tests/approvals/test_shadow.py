"""An agent's own spans are held against what it was permitted, over HTTP, from the ask to the trace."""

import json
import os
import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals.models import Execution
from approvals.shadow import executions_without_span, traces_of
from tests.approvals.support import Agent, make_agent, refund
from tests.support import Stack
from tests.traces.settled import settle
from tests.traces.test_api import NS, _span

Json = dict[str, Any]


@pytest.fixture
def agent(stack: Stack) -> Agent:
    return make_agent(stack)


def started(agent: Agent, body: Json) -> Json:
    decision = agent.ask(body).json()
    run = agent.execute(decision["id"])
    assert run.status_code == 200, run.text
    found: Json = {**run.json(), "decision_id": decision["id"]}
    return found


def show(agent: Agent, trace_id: str, args: Any, execution: str | None = None, tool: str = "refund") -> Json:
    """Send a tool's span, and the trace as it was settled."""
    claims = {"clearance.execution_id": execution} if execution else {}
    values = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        "gen_ai.tool.call.arguments": args if isinstance(args, str) else json.dumps(args),
        **claims,
    }
    now = time.time_ns()
    span = _span(trace_id, os.urandom(8).hex(), None, tool, now, now + NS, values, False)
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    assert agent.send("/v1/traces", body).status_code == 200
    settle(agent.feature)
    return agent.client.trace(trace_id)


def rules(trace: Json) -> list[str]:
    return [violation["rule"] for violation in trace["violations"]]


def test_the_run_of_a_decision_is_found_by_trace_and_action(agent: Agent) -> None:
    trace_id = os.urandom(16).hex()
    run = started(agent, refund("20.00", trace_id=trace_id))
    trace = show(agent, trace_id, run["args"])
    (call,) = trace["tool_calls"]
    assert (call["decision"], call["execution"]) == (run["decision_id"], run["execution"])
    assert (call["arguments_are"], rules(trace)) == ("the same", [])
    (execution,) = Execution.objects.filter(pk=run["execution"])
    assert traces_of([execution]) == {execution.pk: [bytes.fromhex(trace_id)]}


def test_a_run_resumed_in_another_trace_is_found_by_the_execution_it_names(agent: Agent) -> None:
    for asked_in in ({"trace_id": os.urandom(16).hex()}, {}):
        run = started(agent, refund("21.00", **asked_in))
        trace = show(agent, os.urandom(16).hex(), run["args"], run["execution"])
        assert trace["tool_calls"][0]["decision"] == run["decision_id"]
        assert rules(trace) == []


def test_arguments_are_compared_as_they_were_before_redaction(agent: Agent) -> None:
    """An e-mail address in them becomes a token in what is stored."""
    args = {"order_id": "someone@example.com", "amount": "20.00", "currency": "USD"}
    run = started(agent, {"action": "refund", "args": args})
    trace = show(agent, os.urandom(16).hex(), args, run["execution"])
    assert "someone@example.com" not in json.dumps(trace)
    assert trace["tool_calls"][0]["arguments_are"] == "the same"
    again = started(agent, {"action": "refund", "args": {**args, "order_id": "other@example.com"}})
    trace = show(agent, os.urandom(16).hex(), args, again["execution"])
    assert rules(trace) == ["arguments_differ"]


def test_what_ran_without_a_decision_or_is_not_in_the_policy_is_a_violation(agent: Agent) -> None:
    args = refund()["args"]
    assert rules(show(agent, os.urandom(16).hex(), args)) == ["no_decision"]
    assert rules(show(agent, os.urandom(16).hex(), {}, tool="send_money")) == ["unlisted_tool"]
    assert rules(show(agent, os.urandom(16).hex(), {}, tool="lookup_order")) == []


def test_another_features_execution_is_none_of_ours(agent: Agent, stack: Stack) -> None:
    run = started(make_agent(stack), refund("20.00"))
    assert rules(show(agent, os.urandom(16).hex(), run["args"], run["execution"])) == ["no_decision"]


def test_an_execution_without_a_span_is_listed_after_its_deadline(agent: Agent) -> None:
    shown, silent = started(agent, refund("20.00")), started(agent, refund("22.00"))
    show(agent, os.urandom(16).hex(), shown["args"], shown["execution"])
    assert list(executions_without_span(agent.feature)) == []
    past = timezone.now() - timedelta(minutes=10)
    Execution.objects.filter(feature=agent.feature).update(deadline=past, started_at=timezone.now())
    assert [str(one.pk) for one in executions_without_span(agent.feature)] == [silent["execution"]]
