"""The live agents ask before they act: what a person approves runs, and its trace says by which permission."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from approvals.models import ApprovalRequest, Execution
from features.models import Person
from features.services import create_key
from tests.approvals.support import cast
from tests.support import ROOT, Client, Stack
from traces.queries import find_trace
from traces.vocabulary import Span


@pytest.fixture
def agent(stack: Stack) -> Iterator["subprocess.Popen[bytes]"]:
    loaded = stack.manage("demo", "load", "--days", "1")
    assert loaded.returncode == 0, loaded.stderr
    env = {**stack.env, "PYTHONPATH": str(ROOT / "clients" / "python" / "src")}
    process = subprocess.Popen([sys.executable, "-m", "demo.agent"], cwd=ROOT, env=env)
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


T = TypeVar("T")


def _until(find: Callable[[], T | None], what: str, seconds: float = 90) -> T:
    """What `find` finds, waiting for it."""
    until = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < until, what
        time.sleep(0.2)
    return found


def test_a_large_refund_waits_runs_when_approved_and_is_linked(
    stack: Stack, agent: "subprocess.Popen[bytes]"
) -> None:
    waiting = ApprovalRequest.objects.filter(feature__slug="billing-agent", state="pending")
    request = _until(waiting.first, "no refund waits")
    assert request.action == "refund"
    assert cast(stack, Person.objects.get(name="ada"), str(request.pk)).status_code == 303
    done = Execution.objects.filter(decision=request.decision_id, state="succeeded")
    execution = _until(done.first, "what was approved does not run")
    trace_id = bytes(request.decision.trace_id or b"").hex()

    def named() -> Span | None:
        found = find_trace([request.feature], trace_id)
        spans = found.spans if found else []
        return next((span for span in spans if span.claims.execution_id == str(execution.pk)), None)

    assert _until(named, "no span names the execution").name == "execute_tool refund"
    key = create_key(feature=request.feature, scopes=["read"])[1]
    client = Client(stack, request.feature.slug, key)
    _until(lambda: client.trace(trace_id)["waiting_ms"] or None, "waiting is not told apart")

    def linked() -> bool:
        calls = [call for call in client.trace(trace_id)["tool_calls"] if call["name"] == "refund"]
        return [call["decision"] for call in calls] == [str(request.decision_id)]

    _until(linked, "the tool call does not name its decision")
    assert client.trace(trace_id)["violations"] == []
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(30) == 0
    # Who ends takes back what nobody decided.
    assert not waiting.exists()
