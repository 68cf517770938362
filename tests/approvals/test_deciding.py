"""An agent asks: what runs alone, what waits for a person, what is denied, and that the answer stays the answer."""

import json
from typing import Any

import httpx
import pytest

from audit.queries import Seen, Wanted, search
from tests.approvals.support import Agent, apply, make_agent, refund
from tests.support import Stack


@pytest.fixture
def agent(stack: Stack) -> Agent:
    return make_agent(stack)


def _codes(body: dict[str, Any]) -> list[str]:
    return [one["code"] for one in body["reasons"]]


def test_a_small_refund_is_allowed_runs_once_and_is_reported(agent: Agent) -> None:
    answer = agent.ask(refund("50.00"))
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert (body["decision"], body["state"], _codes(body)) == ("allow", "ready", ["under_threshold"])
    run = agent.execute(body["id"], digest=body["digest"])
    assert run.status_code == 200, run.text
    assert run.json()["args"]["amount"] == "50.00"
    assert agent.execute(body["id"]).json()["code"] == "already_consumed"
    assert agent.look(body["id"])["state"] == "consumed"
    execution = run.json()["execution"]
    assert agent.report(execution, "succeeded", result={"id": 7}).status_code == 200
    assert agent.report(execution, "succeeded", result={"id": 7}).status_code == 200
    assert agent.report(execution, "failed").status_code == 409
    assert agent.report(execution, "succeeded", result={"id": 8}).status_code == 409


def test_a_large_refund_waits_for_a_person(agent: Agent) -> None:
    answer = agent.ask(refund("50.01"))
    body = answer.json()
    assert (answer.status_code, body["decision"], body["state"]) == (202, "needs_approval", "pending")
    assert _codes(body) == ["over_threshold"]
    assert body["request_id"]
    refused = agent.execute(body["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "not_approved")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"action": "data_export", "args": {}}, "disallowed"),
        ({"action": "send_money", "args": {}}, "not_allowed"),
        (refund("50"), "schema"),
        (refund("-5.00"), "schema"),
        (refund("0.00"), "budget"),
        (refund("\u0665\u0660.00"), "schema"),
        (refund("50.00\n"), "schema"),
        ({"action": "refund", "args": {"order_id": "A-1", "amount": 20, "currency": "USD"}}, "schema"),
        ({"action": "refund", "args": {"order_id": "A-1", "currency": "USD"}}, "schema"),
        (
            {
                "action": "refund",
                "args": {"order_id": "A-1", "amount": "20.00", "currency": "USD", "to": "me"},
            },
            "schema",
        ),
    ],
)
def test_what_the_policy_does_not_allow_is_denied(agent: Agent, body: dict[str, Any], code: str) -> None:
    answer = agent.ask(body)
    said = answer.json()
    assert (answer.status_code, said["decision"], said["state"]) == (403, "deny", "denied")
    assert answer.headers["content-type"].startswith("application/json")
    assert _codes(said)[0] == code
    assert agent.execute(said["id"]).status_code == 409


def test_other_currencies_and_irreversible_actions_need_a_person(agent: Agent) -> None:
    body = refund("5.00")
    body["args"]["currency"] = "EUR"
    assert agent.ask(body).status_code == 202
    closing = agent.ask({"action": "close_account", "args": {"account": "A-1"}})
    assert (closing.status_code, _codes(closing.json())) == (202, ["irreversible"])


@pytest.mark.parametrize(
    ("tier", "status", "code"),
    [("suggest", 403, "tier"), ("draft", 403, "draft"), ("execute_with_approval", 202, "tier")],
)
def test_the_tier_bounds_what_a_rule_would_allow(stack: Stack, tier: str, status: int, code: str) -> None:
    agent = make_agent(stack, tier=tier)
    answer = agent.ask(refund("1.00"))
    assert (answer.status_code, _codes(answer.json())) == (status, [code])
    assert agent.ask({"action": "lookup_order", "args": {}}).status_code == 200


def test_the_same_key_and_body_are_one_decision_and_another_body_is_a_conflict(agent: Agent) -> None:
    body = refund("20.00")
    first = agent.ask(body, "run-1/call-1").json()
    spelled = json.dumps({"args": dict(reversed(body["args"].items())), "action": "refund"}).encode()
    assert agent.ask(spelled, "run-1/call-1").json()["id"] == first["id"]
    other = agent.ask(refund("20.00"), "run-1/call-1")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    agent.execute(first["id"])
    assert agent.ask(body, "run-1/call-1").json()["state"] == "consumed"


def test_numbers_that_are_equal_have_one_digest_and_texts_that_look_alike_have_two(agent: Agent) -> None:
    def digest(args: str) -> str:
        body = f'{{"action": "lookup_order", "args": {args}}}'.encode()
        found: str = agent.ask(body).json()["digest"]
        return found

    assert digest('{"n": 1, "m": 2}') == digest('{"m": 2.0, "n": 1e0}')
    assert digest('{"n": "\\u00e9"}') != digest('{"n": "e\\u0301"}')


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b'{"action": "refund", "action": "refund", "args": {}}', 422),
        (b'{"action": "refund", "args": {"n": 12345678901234567890123}}', 422),
        (b'{"action": "refund", "args": {"n": 1152921504606846976}}', 422),
        (b'{"action": "refund", "args": {"n": NaN}}', 400),
        (b'{"action": "refund", "args": ' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}", 422),
        (b'{"action": "refund", "args": {"n": "' + b"x" * 10_000_000 + b'"}}', 413),
        (b'{"action": "refund"}', 400),
        (b'{"action": "refund", "args": []}', 400),
        (b'{"action": "refund", "args": {}, "amount": 3}', 400),
        (b'{"action": "refund", "args": {}, "trace_id": "xyz"}', 400),
        (b"[]", 400),
        (b"", 400),
        (b"\xff\xfe", 400),
    ],
)
def test_a_body_of_two_meanings_is_refused_with_what_to_mend(agent: Agent, raw: bytes, status: int) -> None:
    answer = agent.ask(raw)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_without_an_idempotency_key_nothing_is_decided(agent: Agent) -> None:
    answer = agent.send("/api/v1/decisions", refund())
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]


def test_a_budget_is_never_passed_and_what_failed_is_given_back(stack: Stack) -> None:
    agent = make_agent(stack, limit="50")
    first = agent.ask(refund("30.00")).json()
    assert _codes(agent.ask(refund("30.00")).json()) == ["budget"]
    run = agent.execute(first["id"]).json()
    agent.report(run["execution"], "failed")
    assert agent.ask(refund("30.00")).status_code == 200
    assert agent.ask(refund("20.00")).status_code == 200
    assert _codes(agent.ask(refund("0.01")).json()) == ["budget"]


def test_once_per_permits_one_execution_that_did_not_fail(stack: Stack) -> None:
    agent = make_agent(stack, once='once_per = "args.order_id"')
    first = agent.ask(refund("20.00", "A-1")).json()
    assert _codes(agent.ask(refund("21.00", "A-1")).json()) == ["once_per"]
    assert agent.ask(refund("21.00", "A-2")).status_code == 200
    run = agent.execute(first["id"]).json()
    agent.report(run["execution"], "failed")
    assert agent.ask(refund("22.00", "A-1")).status_code == 200


def test_a_dry_run_answers_and_leaves_nothing(stack: Stack) -> None:
    agent = make_agent(stack, limit="50")
    for _ in range(3):
        answer = agent.ask(refund("40.00", dry_run=True))
        assert answer.status_code == 200
        assert answer.json()["id"] is None
    assert agent.ask(refund("40.00")).status_code == 200
    seen = Seen(True)
    assert search(seen, Wanted(action="decision.made", feature=str(agent.feature.pk)))[1] == 1


def test_without_a_policy_everything_is_denied(stack: Stack) -> None:
    from tests.conftest import make_client

    agent = Agent(make_client(stack))
    answer = agent.ask(refund())
    assert (answer.status_code, _codes(answer.json())) == (403, ["no_policy"])


def test_another_features_key_finds_nothing(stack: Stack, agent: Agent) -> None:
    other = make_agent(stack)
    decision = agent.ask(refund()).json()["id"]
    assert other.client.get(f"/api/v1/decisions/{decision}").status_code == 404
    assert other.execute(decision).status_code == 404
    assert other.send(f"/api/v1/decisions/{decision}/withdraw").status_code == 404
    execution = agent.execute(decision).json()["execution"]
    assert other.report(execution, "failed").status_code == 404
    assert other.ask({**refund(), "feature": agent.slug}).status_code == 404


def test_a_new_policy_makes_what_was_permitted_worthless(stack: Stack, agent: Agent) -> None:
    ready, waiting = agent.ask(refund("20.00")).json(), agent.ask(refund("90.00")).json()
    apply(agent.slug, tier="execute_with_approval")
    refused = agent.execute(ready["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "revoked")
    assert agent.look(ready["id"])["state"] == "revoked"
    assert agent.look(waiting["id"])["state"] == "revoked"
    assert agent.ask(refund("20.00")).status_code == 202


def test_a_withdrawn_request_gives_back_what_it_kept(stack: Stack) -> None:
    agent = make_agent(stack, limit="100", once='once_per = "args.order_id"')
    first = agent.ask(refund("90.00", "A-1")).json()
    assert agent.send(f"/api/v1/decisions/{first['id']}/withdraw").json()["state"] == "withdrawn"
    assert agent.ask(refund("90.00", "A-1")).status_code == 202


def test_the_openapi_document_has_every_call(stack: Stack) -> None:
    document = httpx.get(f"{stack.url}/api/v1/schema/", headers={"Accept": "application/json"}).json()
    assert {
        "/api/v1/decisions",
        "/api/v1/decisions/{decision_id}",
        "/api/v1/decisions/{decision_id}/execute",
        "/api/v1/decisions/{decision_id}/withdraw",
        "/api/v1/executions/{execution_id}/outcome",
        "/api/v1/features/{slug}/kill",
    } <= set(document["paths"])
