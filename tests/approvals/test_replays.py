"""What was permitted once is not permitted again: by another key, after a restore, by what looks alike."""

import time

from approvals.models import Decision, Execution
from approvals.services.erasing import erase_old
from features.gate import stops_in_force
from features.models import ApiKey
from features.services import create_key, revoke_key, rotate_key
from tests.approvals.support import Agent, cast, make_agent, make_person, refund
from tests.support import Browser, Client, Stack


def test_a_rotated_key_collects_what_its_predecessor_asked_and_another_does_not(stack: Stack) -> None:
    agent = make_agent(stack)
    asked = agent.ask(refund("20.00"), "run-1/call-1").json()
    _, other = create_key(feature=agent.feature, scopes=["decide"])
    stranger = Agent(Client(stack, agent.slug, other))
    assert stranger.execute(asked["id"]).status_code == 404
    assert stranger.ask(refund("20.00"), "run-1/call-1").json()["id"] != asked["id"]
    old = ApiKey.objects.get(feature=agent.feature, prefix=agent.client.key[:12])
    _, clear = rotate_key(key=old)
    successor = Agent(Client(stack, agent.slug, clear))
    assert successor.look(asked["id"])["state"] == "ready"
    assert successor.execute(asked["id"]).status_code == 200
    assert agent.execute(asked["id"]).json()["code"] == "already_consumed"


def test_a_revoked_or_expired_key_collects_nothing(stack: Stack) -> None:
    agent = make_agent(stack)
    asked = agent.ask(refund("20.00")).json()
    revoke_key(key=ApiKey.objects.get(feature=agent.feature, prefix=agent.client.key[:12]))
    assert agent.execute(asked["id"]).status_code == 401


def test_what_was_approved_before_a_kill_is_worthless_after_the_restore(stack: Stack) -> None:
    agent = make_agent(stack)
    person = make_person(agent.slug)
    lead = make_person(agent.slug, "lead")
    approved, waiting = (agent.ask(refund("180.00")).json() for _ in range(2))
    cast(stack, person, approved["request_id"])
    agent.send(f"/api/v1/features/{agent.slug}/kill", {"reason": "loop"})
    assert stops_in_force().filter(feature=agent.feature).count() == 1
    Browser(stack, lead).post(f"/features/{agent.slug}/restore", {"reason": "mended"})
    assert not stops_in_force().filter(feature=agent.feature).exists()
    assert agent.execute(approved["id"]).json()["code"] == "revoked"
    late = cast(stack, person, waiting["request_id"])
    assert late.status_code == 409
    assert "changed since" in late.text
    assert agent.execute(waiting["id"]).json()["code"] == "revoked"


def test_a_subject_that_looks_alike_is_the_same_after_a_rejection(stack: Stack) -> None:
    agent = make_agent(stack)
    person = make_person(agent.slug)
    asked = agent.ask(refund("180.00", "Caf\u00e9-\uff11")).json()
    cast(stack, person, asked["request_id"], "reject", reason="no need")
    for order in ("Caf\u00e9-1", "Cafe\u0301-1"):
        assert agent.ask(refund("20.00", order)).json()["reasons"][0]["code"] == "recently_rejected"
    assert agent.ask(refund("20.00", "Cafe-1")).status_code == 200


def test_a_late_outcome_settles_what_was_unknown_and_the_same_is_not_run_meanwhile(stack: Stack) -> None:
    agent = make_agent(stack, deadline="1s")
    body = refund("20.00", "A-1")
    run = agent.execute(agent.ask(body).json()["id"]).json()
    agent.report(run["execution"], "unknown")
    denied = agent.ask(body)
    assert (denied.status_code, denied.json()["reasons"][0]["code"]) == (403, "once_per")
    assert agent.ask(refund("21.00", "A-1")).status_code == 200


def test_an_execution_without_an_outcome_becomes_unknown_and_is_never_run_again(stack: Stack) -> None:
    agent = make_agent(stack, deadline="1s")
    asked = agent.ask(refund("20.00")).json()
    run = agent.execute(asked["id"]).json()
    until = time.monotonic() + 40
    while Execution.objects.get(pk=run["execution"]).state == "started":
        assert time.monotonic() < until, "the worker's sweep must find it"
        time.sleep(0.3)
    assert Execution.objects.get(pk=run["execution"]).state == "unknown"
    assert agent.execute(asked["id"]).json()["code"] == "already_consumed"
    assert agent.report(run["execution"], "succeeded").status_code == 200
    assert Execution.objects.get(pk=run["execution"]).state == "succeeded"


def test_what_was_proposed_is_erased_after_retention_and_its_digest_stays(stack: Stack) -> None:
    agent = make_agent(stack)
    ran, waiting, new = (agent.ask(refund(amount)).json() for amount in ("20.00", "180.00", "21.00"))
    run = agent.execute(ran["id"]).json()
    agent.report(run["execution"], "succeeded", result={"to": "somebody"})
    Decision.objects.filter(pk__in=[ran["id"], waiting["id"]]).update(created_at="2020-01-01T00:00:00Z")
    assert erase_old() == 1
    kept = {str(one.pk): one.sealed is not None for one in Decision.objects.filter(feature=agent.feature)}
    assert kept == {ran["id"]: False, waiting["id"]: True, new["id"]: True}
    assert Execution.objects.get(pk=run["execution"]).result is None
    assert agent.look(ran["id"])["digest"] == ran["digest"]
    assert erase_old() == 0
