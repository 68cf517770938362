"""Least privilege: what is allowed and unused, used and not allowed; idle keys and idle approvers."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from approvals.least_privilege import privileges_of
from features.models import ApiKey, FeatureRole, Person
from features.services import create_key
from tests.approvals.support import Agent, cast, make_agent, make_person, refund
from tests.approvals.test_shadow import show, started
from tests.support import Browser, Stack

LONG_AGO = datetime.now(UTC) - timedelta(days=120)


@pytest.fixture
def agent(stack: Stack) -> Agent:
    return make_agent(stack)


def page(stack: Stack, agent: Agent, person: Person | None = None) -> str:
    answer = Browser(stack, person or make_person(agent.slug, "lead")).get(
        f"/features/{agent.slug}/privilege/"
    )
    assert answer.status_code == 200
    return answer.text


def test_an_action_that_nobody_used_can_be_removed(agent: Agent, stack: Stack) -> None:
    run = started(agent, refund("20.00"))
    show(agent, os.urandom(16).hex(), run["args"], run["execution"])
    found = privileges_of(agent.feature)
    assert [action.name for action in found.unused] == ["close_account", "lookup_order"]
    (used,) = [action for action in found.actions if not action.unused]
    assert (used.name, used.executions, used.requests) == ("refund", 1, 1)
    assert "Remove it from the" in page(stack, agent)


def test_a_tool_outside_of_the_policy_is_named_with_the_requests_behind_it(
    agent: Agent, stack: Stack
) -> None:
    for _ in range(2):
        show(agent, os.urandom(16).hex(), {}, tool="send_money")
    show(agent, os.urandom(16).hex(), {}, tool="data_export")
    found = [(tool.name, tool.requests, tool.kind) for tool in privileges_of(agent.feature).tools]
    assert found == [("data_export", 1, "disallowed"), ("send_money", 2, "unlisted")]
    lead = make_person(agent.slug, "lead")
    text = page(stack, agent, lead)
    assert "tool%3Asend_money" in text
    assert "violation%3Aunlisted_tool" in text
    browser = Browser(stack, lead)
    for line in ("tool%3Asend_money", "violation%3Aunlisted_tool"):
        listed = browser.get(f"/features/{agent.slug}/traces/?q={line}&window=30d").text
        assert listed.count("send_money") >= 2


def test_a_hostile_tool_name_stays_text(agent: Agent, stack: Stack) -> None:
    show(agent, os.urandom(16).hex(), {}, tool="<b>x</b>\u202egnp")
    text = page(stack, agent)
    assert "&lt;b&gt;x" in text
    assert "<b>x</b>" not in text
    assert "\u202e" not in text.replace("%E2%80%AE", "")


def test_keys_and_approvers_that_do_nothing_are_named_once_they_are_old_enough(
    agent: Agent, stack: Stack
) -> None:
    idle, busy = make_person(agent.slug), make_person(agent.slug)
    request = agent.ask(refund("80.00")).json()["request_id"]
    assert cast(stack, busy, request).status_code in (200, 302, 303)
    key, _ = create_key(feature=agent.feature, scopes=["ingest"], label="an old exporter")
    found = privileges_of(agent.feature)
    assert (found.keys, found.idle) == ([], [])
    assert (found.new_keys, found.new_approvers) == (2, 2)
    ApiKey.objects.filter(feature=agent.feature).update(created_at=LONG_AGO)
    FeatureRole.objects.filter(content_object=agent.feature).update(given_at=LONG_AGO)
    found = privileges_of(agent.feature)
    assert [(one.prefix, one.why) for one in found.keys] == [(key.prefix, "unused")]
    assert [one.person for one in found.idle] == [str(idle)]
    text = page(stack, agent)
    assert key.prefix in text
    assert "1 of 2 idle" in text


def test_a_key_that_may_decide_and_never_does_is_named(agent: Agent) -> None:
    agent.client.get("/api/v1/traces/" + os.urandom(16).hex())
    ApiKey.objects.filter(feature=agent.feature).update(created_at=LONG_AGO, last_used_at=datetime.now(UTC))
    assert [one.why for one in privileges_of(agent.feature).keys] == ["never_decided"]
    agent.ask(refund("20.00"))
    assert privileges_of(agent.feature).keys == []


def test_without_a_policy_the_page_accuses_nothing_and_says_so(stack: Stack) -> None:
    from tests.conftest import make_client

    bare = Agent(make_client(stack))
    show(bare, os.urandom(16).hex(), {}, tool="send_money")
    assert privileges_of(bare.feature).tools == []
    assert "No policy is in force" in page(stack, bare)
