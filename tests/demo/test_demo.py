"""The demo's agents: the same history for the same seed, believable in what fails, and read rightly."""

import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from demo import billing, policy, sales
from demo.history import Moment, bodies, moments
from demo.load import PEOPLE
from demo.plan import Call, Retrieve
from tests.support import Stack
from traces.decode import decode_traces
from traces.normalise import normalise_span
from traces.summarise import summarise
from traces.vocabulary import Span

UNTIL = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SLUGS = (billing.SLUG, sales.SLUG, policy.SLUG)


def history(slug: str) -> list[Moment]:
    return moments(slug, 14, UNTIL)


@pytest.mark.parametrize("slug", SLUGS)
def test_the_same_seed_gives_the_same_history(slug: str) -> None:
    wanted = history(slug)[:40]
    assert wanted == history(slug)[:40]
    assert [body for body, _ in bodies(slug, wanted)] == [body for body, _ in bodies(slug, wanted)]
    assert len(history(slug)) > 300


@pytest.mark.parametrize("slug", SLUGS)
def test_every_request_is_read_as_it_was_planned(slug: str) -> None:
    for body, plans in bodies(slug, history(slug)[:150]):
        decoded = decode_traces(body, "application/x-protobuf", earliest=0, latest=2**63)
        assert decoded.rejected == []
        spans: dict[bytes, list[Span]] = {}
        for item in decoded.items:
            spans.setdefault(item.trace_id, []).append(normalise_span(item))
        for trace_id, plan in plans:
            found = summarise(spans[trace_id], [], [])
            assert found.request_id == plan.request_id
            assert found.outcome == (plan.outcome or "unknown")
            assert found.final_output == plan.answer
            runs = [step for step in plan.steps if isinstance(step, Call)]
            assert Counter(call.name for call in found.tool_calls) == Counter(step.tool for step in runs)
            assert found.tool_errors == sum(step.error is not None for step in runs)
            assert (found.completeness.system_prompt.state == "missing") == (plan.system is None)


def test_the_history_holds_what_a_demo_must_show() -> None:
    plans = {slug: [moment.plan for moment in history(slug)] for slug in SLUGS}
    everything = [plan for group in plans.values() for plan in group]
    outcomes = Counter(plan.outcome for plan in everything)
    assert set(outcomes) == {"success", "escalated", "failed", "abandoned", None}
    retrieved = [
        document.text
        for plan in plans[policy.SLUG]
        for step in plan.steps
        if isinstance(step, Retrieve)
        for document in step.documents
    ]
    assert any("ignore all previous instructions" in text for text in retrieved)
    assert any("4111 1111 1111 1111" in plan.asked for plan in plans[billing.SLUG])
    assert any(plan.violation for plan in everything)
    hidden = sum(plan.system is None for plan in plans[sales.SLUG]) / len(plans[sales.SLUG])
    assert 0.25 < hidden < 0.42
    recent = [moment.plan for moment in history(billing.SLUG) if (UNTIL - moment.at).days < 5]
    canary = sum(plan.variant == "canary" for plan in recent) / len(recent)
    assert 0.01 < canary < 0.12


def test_loading_twice_keeps_what_is_there(stack: Stack) -> None:
    for _ in range(2):
        done = stack.manage("demo", "load", "--days", "1")
        assert done.returncode == 0, done.stderr
    sign_ins = (stack.var / "demo" / "sign-ins.txt").read_text()
    assert len(sign_ins.splitlines()) == 1 + len(PEOPLE)
    assert stack.manage("demo", "sign-ins").stdout == sign_ins
    keys = json.loads((stack.var / "demo" / "keys.json").read_text())
    assert set(keys) == set(SLUGS)
    again = stack.manage("demo", "load", "--days", "1")
    assert "requests," not in again.stdout
    for name in ("keys.json", "sign-ins.txt"):
        assert (stack.var / "demo" / name).stat().st_mode & 0o077 == 0
