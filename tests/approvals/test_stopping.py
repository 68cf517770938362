"""The kill switch: nothing is handed out after it returned, and only a person switches tools on again."""

from features.gate import stops_in_force
from features.models import IncidentRequest, Notice
from tests.approvals.support import make_agent, make_person, refund
from tests.support import Browser, Stack


def test_kill_stops_every_start_and_lists_what_is_out(stack: Stack) -> None:
    agent = make_agent(stack)
    person = make_person(agent.slug, "on_call")
    out = agent.execute(agent.ask(refund()).json()["id"]).json()["execution"]
    ready = agent.ask(refund()).json()
    killed = agent.send(f"/api/v1/features/{agent.slug}/kill", {"reason": "refunds loop"})
    assert killed.status_code == 200, killed.text
    assert killed.json()["in_flight"] == [out]
    assert killed.json()["record"]["number"] > 0
    refused = agent.execute(ready["id"])
    assert (refused.status_code, refused.json()["code"]) == (423, "killed")
    assert agent.ask(refund()).json()["reasons"][0]["code"] == "killed"
    again = agent.send(f"/api/v1/features/{agent.slug}/kill", {"reason": "again"})
    assert again.json()["killed_at"] == killed.json()["killed_at"]
    for path in (f"/features/{agent.slug}/restore", f"/api/v1/features/{agent.slug}/restore"):
        assert agent.send(path, {"reason": "all fine"}).status_code in (302, 403, 404)
    stop = stops_in_force().get(feature__slug=agent.slug)
    assert IncidentRequest.objects.filter(once=f"stop {stop.pk}").exists()
    assert Notice.objects.filter(kind="tools.stopped", deliveries__person=person).exists()
    restored = Browser(stack, person).post(f"/features/{agent.slug}/restore", {"reason": "mended"})
    assert restored.status_code == 302
    assert agent.execute(ready["id"]).json()["code"] == "revoked"
    assert agent.ask(refund()).status_code == 200


def test_one_action_is_stopped_and_the_others_go_on(stack: Stack) -> None:
    agent = make_agent(stack)
    assert agent.send(f"/api/v1/features/{agent.slug}/kill", {"action": "refnd"}).status_code == 400
    body = {"reason": "loop", "action": "refund"}
    assert agent.send(f"/api/v1/features/{agent.slug}/kill", body).status_code == 200
    assert agent.ask(refund()).status_code == 403
    assert agent.ask({"action": "close_account", "args": {"account": "A"}}).status_code == 202


def test_a_stale_sign_in_does_not_restore(stack: Stack) -> None:
    agent = make_agent(stack)
    person = make_person(agent.slug, "lead")
    agent.send(f"/api/v1/features/{agent.slug}/kill", {"reason": "loop"})
    stale = Browser(stack, person, fresh=False)
    stale.post(f"/features/{agent.slug}/restore", {"reason": "mended"})
    assert stops_in_force().filter(feature__slug=agent.slug).exists()
    viewer = Browser(stack, make_person(agent.slug, "viewer"))
    assert viewer.post(f"/features/{agent.slug}/kill", {"reason": "x"}).status_code == 403
    assert viewer.post(f"/features/{agent.slug}/restore", {"reason": "mended"}).status_code == 403
