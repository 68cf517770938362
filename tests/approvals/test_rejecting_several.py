"""Several are rejected with one reason, each by a vote of its own; nothing is approved in bulk."""

import re
from functools import partial
from urllib.parse import urlencode
from uuid import UUID

import httpx

from approvals.models import ApprovalRequest, Grant, Vote
from approvals.services import edit
from features.models import Person
from tests.approvals.support import Agent, cast, make_agent, make_person, refund
from tests.racing import race
from tests.support import Browser, Stack

PATH = "/approvals/reject"


def waiting(agent: Agent, count: int) -> list[str]:
    return [agent.ask(refund("180.00", order=f"A-{n}")).json()["request_id"] for n in range(count)]


def chosen(*requests: str, reason: str = "the campaign is over", **more: str) -> dict[str, object]:
    return {"choose": [f"{one}:1" for one in requests], "reason": reason, **more}


def send(browser: Browser, form: dict[str, object]) -> httpx.Response:
    return browser.send("POST", PATH, urlencode(form, doseq=True))


def states(*requests: str) -> list[str]:
    found = {str(one.pk): one.state for one in ApprovalRequest.objects.filter(pk__in=requests)}
    return [found[one] for one in requests]


def test_each_is_rejected_by_its_own_vote_with_the_reason(stack: Stack) -> None:
    agent = make_agent(stack)
    ada = make_person(agent.slug)
    one, two, three = waiting(agent, 3)
    done = send(Browser(stack, ada), chosen(one, two, chip="not eligible"))
    assert (done.status_code, "2 rejected" in done.text) == (200, True)
    assert states(one, two, three) == ["rejected", "rejected", "pending"]
    votes = Vote.objects.filter(request__in=[one, two])
    assert {(vote.person_id, vote.vote, vote.reason) for vote in votes} == {
        (ada.pk, "reject", "not eligible: the campaign is over")
    }


def test_those_that_were_decided_or_edited_meanwhile_say_so(stack: Stack) -> None:
    agent = make_agent(stack)
    ada, ben = make_person(agent.slug), make_person(agent.slug)
    first, moved, free = waiting(agent, 3)
    elsewhere = waiting(make_agent(stack), 1)[0]
    cast(stack, ben, first)
    edit(UUID(moved), {"order_id": "A-1", "amount": "90.00", "currency": "USD"}, 1, ben)
    done = send(Browser(stack, ada), chosen(first, moved, elsewhere, free))
    assert done.status_code == 409
    assert "1 rejected, 3 not" in done.text
    assert f"Already approved by {ben}" in done.text
    assert "you looked at revision 1, this is 2" in done.text
    assert "No such request" in done.text
    assert states(first, moved, elsewhere, free) == ["approved", "pending", "pending", "rejected"]


def test_nothing_chosen_or_no_reason_is_said_and_keeps_what_was_typed(stack: Stack) -> None:
    agent = make_agent(stack)
    browser, (one,) = Browser(stack, make_person(agent.slug)), waiting(agent, 1)
    for form in (
        chosen(one, reason=""),
        chosen(reason="typed for long"),
        chosen("nonsense", reason="typed for long"),
    ):
        answer = send(browser, {**form, "feature": agent.slug})
        assert answer.status_code == 400
        assert ("typed for long" in answer.text) == (form["reason"] != "")
        assert f'value="{one}:1"' in answer.text
    again = send(browser, chosen(one, reason="")).text
    assert re.search(rf'value="{one}:1"[^>]* checked', again)
    assert not re.search(rf'value="{one}:1"[^>]* checked', answer.text)
    assert states(one) == ["pending"]


def test_nothing_is_approved_in_bulk_and_no_script_rejects(stack: Stack) -> None:
    agent = make_agent(stack)
    ada, requests = make_person(agent.slug), waiting(agent, 3)
    script = Browser(stack, ada)._http
    refused = script.post(PATH, data=chosen(*requests), headers={"HX-Request": "true"})
    assert refused.status_code == 403
    assert states(*requests) == ["pending"] * 3
    send(Browser(stack, ada), chosen(*requests, vote="approve"))
    assert states(*requests) == ["rejected"] * 3
    assert not Grant.objects.filter(decision__feature=agent.feature).exists()


def test_who_may_not_decide_rejects_nothing(stack: Stack) -> None:
    agent = make_agent(stack)
    requests = waiting(agent, 2)
    answer = send(Browser(stack, make_person(agent.slug, "viewer")), chosen(*requests))
    assert answer.status_code == 409
    assert "Only a person with the role approver decides this" in answer.text
    assert states(*requests) == ["pending"] * 2


def test_rejecting_several_beside_approvals_gives_each_one_answer(stack: Stack) -> None:
    agent = make_agent(stack)
    people: list[Person] = [make_person(agent.slug) for _ in range(2)]
    requests = waiting(agent, 6)
    browser = Browser(stack, people[0])
    race(
        lambda: send(browser, chosen(*requests)),
        *(partial(cast, stack, people[1], one) for one in requests[::2]),
    )
    for request, state in zip(requests, states(*requests), strict=True):
        grants = Grant.objects.filter(decision__request=UUID(request)).count()
        assert (state, grants) in (("rejected", 0), ("approved", 1))
        assert Vote.objects.filter(request=UUID(request)).count() == 1
