"""Deciding in a real browser: on a phone, by the keyboard alone, against somebody faster, against hostile text."""

import re
from datetime import timedelta
from uuid import UUID

import pytest
from django.db.models.functions import Now
from playwright.sync_api import expect

from approvals.models import ApprovalRequest, Question
from approvals.services import ask_question
from tests.approvals.support import Agent, cast, make_agent, make_person, refund
from tests.browser.conftest import Visit, Visitor
from tests.support import Stack

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def look_at(visitor: Visitor, path: str) -> None:
    """Open a page that keeps a call waiting, so that the network is never idle."""
    visitor.page.goto(visitor.stack.url + path)
    visitor.page.get_by_role("heading", level=1).wait_for()


def ask(agent: Agent, amount: str = "180.00", order: str = "A-1042", claim: str = "") -> tuple[str, str]:
    """(decision, request) of a refund that waits."""
    answer = agent.ask(refund(amount, order=order, claim=claim)).json()
    return answer["id"], answer["request_id"]


def test_an_approver_with_a_phone_approves_and_exactly_that_runs(stack: Stack, visit: Visit) -> None:
    agent = make_agent(stack)
    ada = visit(agent.slug, role="approver", **PHONE)
    decision, _ = ask(agent)
    ada.sign_in()
    look_at(ada, "/approvals/")
    assert ada.sideways() == 0
    ada.page.get_by_role("link", name=re.compile("Refund")).click()
    ada.page.get_by_role("heading", name="What will run").wait_for()
    assert ada.sideways() == 0
    assert ada.violations() == []
    bar = ada.page.locator(".act-bar")
    assert bar.is_visible()
    with ada.page.expect_navigation():
        bar.get_by_role("button", name="Approve $180.00").click()
    ada.page.get_by_role("button", name="Take my approval back").wait_for()
    ada.page.get_by_role("button", name="Take my approval back").wait_for(state="detached")
    started = agent.execute(decision).json()
    assert started["args"] == {"order_id": "A-1042", "amount": "180.00", "currency": "USD"}
    ada.page.locator("#now").get_by_text("It was handed out and runs now, once.").wait_for()
    agent.report(started["execution"], "succeeded")
    ada.page.locator("#now").get_by_text("It ran once and succeeded.").wait_for()


def test_the_keyboard_is_enough(stack: Stack, visit: Visit) -> None:
    agent = make_agent(stack)
    ada = visit(agent.slug, role="approver")
    ada.sign_in()
    first, _ = ask(agent, order="A-1")
    second, _ = ask(agent, order="A-2")
    look_at(ada, "/approvals/")
    ada.page.keyboard.press("j")
    ada.page.keyboard.press("Enter")
    ada.page.get_by_role("heading", name="Refund $180.00 for A-1").wait_for()
    ada.page.keyboard.press("j")
    ada.page.get_by_role("heading", name="Refund $180.00 for A-2").wait_for()
    ada.page.keyboard.press("r")
    ada.page.keyboard.type("it was sent back already, ask again")
    ada.page.keyboard.press("Tab")
    ada.page.keyboard.press("Enter")
    ada.page.locator("#now").get_by_text("Nothing ran.").wait_for()
    assert "ask again" in agent.look(second)["message"]
    ada.page.keyboard.press("j")
    ada.page.get_by_role("heading", name="Refund $180.00 for A-1").wait_for()
    with ada.page.expect_navigation():
        ada.page.keyboard.press("a")
    ada.page.get_by_role("button", name="Take my approval back").wait_for()
    assert agent.look(first)["state"] == "approved"


def test_who_is_late_is_told_at_once_and_keeps_what_they_typed(stack: Stack, visit: Visit) -> None:
    agent = make_agent(stack)
    ben = visit(agent.slug, role="approver")
    ada = make_person(agent.slug)
    _, request = ask(agent)
    ben.sign_in()
    ben.page.goto(f"{stack.url}/approvals/{request}/")
    ben.page.get_by_label("Reason", exact=True).fill("I was about to say no")
    cast(stack, ada, request)
    ben.page.locator("#now").get_by_text(f"Already approved by {ada}").wait_for()
    assert not ben.page.get_by_role("button", name="Approve $180.00").first.is_visible()
    assert ben.page.get_by_label("Reason", exact=True).input_value() == "I was about to say no"


def test_several_are_chosen_by_the_keyboard_kept_while_the_list_changes_and_rejected(
    stack: Stack, visit: Visit
) -> None:
    agent = make_agent(stack)
    ada = visit(agent.slug, role="approver")
    ada.sign_in()
    asked = [ask(agent, order=f"A-{n}")[0] for n in range(3)]
    look_at(ada, "/approvals/")
    button = ada.page.get_by_role("button", name="Reject them")
    assert not button.is_visible()
    for key in ("j", "x", "j", "x"):
        ada.page.keyboard.press(key)
    expect(button).to_be_visible()
    # By the pointer too: the line's link covers the line, and not its box.
    box = ada.page.locator("[name=choose]").last
    box.click()
    expect(box).to_be_checked()
    box.click()
    ada.page.get_by_label("Reason", exact=True).fill("the campaign is over")
    ask(agent, order="A-77")
    ada.page.get_by_role("link", name=re.compile("A-77")).wait_for()
    assert ada.page.locator("[name=choose]:checked").count() == 2
    assert ada.page.get_by_label("Reason", exact=True).input_value() == "the campaign is over"
    assert ada.violations() == []
    with ada.page.expect_navigation():
        button.click()
    ada.page.get_by_role("heading", name="2 rejected").wait_for()
    assert ada.violations() == []
    assert [agent.look(one)["state"] for one in asked] == ["rejected", "rejected", "pending"]


def test_a_question_reaches_an_open_page_and_the_time_goes_on(stack: Stack, visit: Visit) -> None:
    agent = make_agent(stack)
    ada = visit(agent.slug, role="approver", **PHONE)
    ben = make_person(agent.slug)
    _, request = ask(agent)
    ada.sign_in()
    look_at(ada, f"/approvals/{request}/")
    bar = ada.page.locator("#bar-left")
    assert "29 min" in bar.inner_text()
    ApprovalRequest.objects.filter(pk=request).update(expires_at=Now() + timedelta(seconds=100))
    question = ask_question(UUID(request), "Is it <b>the</b> order of May?", ben)
    ada.page.locator("#asked").get_by_text("Is it <b>the</b> order of May?").wait_for()
    expect(bar).to_have_text(re.compile("^1 min left"))
    ada.page.get_by_role("link", name="Answer it").click()
    ada.page.get_by_label("Answer", exact=True).fill("yes, of May")
    with ada.page.expect_navigation():
        ada.page.get_by_role("button", name="Answer", exact=True).click()
    ada.page.locator("#asked").get_by_text("yes, of May").wait_for()
    assert Question.objects.get(pk=question.pk).answered_at is not None
    ada.page.get_by_role("heading", name="Ask").click()
    assert ada.sideways() == 0
    assert ada.violations() == []


def test_a_person_proposes_a_draft_and_cannot_decide_on_it(stack: Stack, visit: Visit) -> None:
    agent = make_agent(stack, tier="draft")
    ada = visit(agent.slug, role="approver", **PHONE)
    agent.ask(refund("180.00", order="A-9"))
    ada.sign_in()
    look_at(ada, "/approvals/")
    ada.page.get_by_role("link", name="Drafts 1").click()
    ada.page.get_by_role("link", name=re.compile("Refund")).click()
    ada.page.get_by_role("heading", name="Kept as a draft").wait_for()
    assert ada.sideways() == 0
    assert ada.violations() == []
    ada.page.get_by_label("amount").fill("90.00")
    with ada.page.expect_navigation():
        ada.page.get_by_role("button", name="Propose as my own request").click()
    ada.page.get_by_role("heading", name="Refund $90.00 for A-9").wait_for()
    assert ada.page.get_by_role("button", name=re.compile("Approve")).count() == 0
    assert ada.page.get_by_role("button", name="Take my request back").is_visible()
    assert ada.violations() == []


def test_new_items_appear_without_a_reload(stack: Stack, visit: Visit) -> None:
    agent = make_agent(stack)
    ada = visit(agent.slug, role="approver")
    ada.sign_in()
    ada.page.goto(f"{stack.url}/approvals/")
    ada.page.get_by_text("Nothing waits for you").wait_for()
    ask(agent, order="A-77")
    ada.page.get_by_role("link", name=re.compile("A-77")).wait_for()
    assert ada.violations() == []


def test_what_cannot_be_undone_needs_a_second_step(stack: Stack, visit: Visit) -> None:
    agent = make_agent(stack)
    ada = visit(agent.slug, role="approver")
    asked = agent.ask({"action": "close_account", "args": {"account": "c-9"}}).json()
    ada.sign_in()
    ada.page.goto(f"{stack.url}/approvals/{asked['request_id']}/")
    ada.page.keyboard.press("a")
    assert agent.look(asked["id"])["state"] == "pending"
    ada.page.get_by_label("It cannot be undone, and shall run").check()
    with ada.page.expect_navigation():
        ada.page.keyboard.press("a")
    assert agent.look(asked["id"])["state"] == "approved"


def test_hostile_arguments_and_claims_break_nothing(stack: Stack, visit: Visit) -> None:
    agent = make_agent(stack)
    order = "rma-\u202e24-11\u202c <img src=x onerror=alert(1)> {{7*7}}"
    claim = (
        "<h2>What will run</h2>$5.00 <button>Approve $5.00</button> </bdi></div>\x1b[2J\u200b\u202e00.5$ "
        + "Why it needs you: nothing. " * 3700
    )
    _, request = ask(agent, "75.00", order, claim)
    for context in ({}, PHONE):
        ada = visit(agent.slug, role="approver", **context)
        # Who came after the question may read it, and not vote on it.
        ada.sign_in()
        ada.page.goto(f"{stack.url}/approvals/{request}/")
        assert ada.page.get_by_role("heading", name="What will run").count() == 1
        assert ada.page.get_by_role("button", name="Approve $5.00").count() == 0
        assert ada.page.locator("main img").count() == 0
        assert ada.page.get_by_text("U+202E right-to-left override").first.is_visible()
        assert ada.sideways() == 0
        assert ada.violations() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_approvals_are_for_everybody(stack: Stack, visit: Visit, scheme: str) -> None:
    agent = make_agent(stack)
    ada = make_person(agent.slug)
    lead = visit(agent.slug, role="lead", administrator=True, color_scheme=scheme)
    held, request = ask(agent)
    ask(agent, order="A-2")
    cast(stack, ada, request)
    alone = agent.ask(refund("20.00")).json()["id"]
    execution = agent.execute(alone).json()["execution"]
    agent.report(execution, "unknown")
    lead.sign_in()
    feature = f"/features/{agent.slug}/"
    paths = [
        f"{feature}approvals/",
        f"{feature}approvals/drafts/",
        "/approvals/drafts/?which=all",
        f"{feature}approvals/insights/",
        f"{feature}decisions/",
        f"/decisions/{alone}/",
        f"/decisions/{held}/",
        f"/approvals/{request}/",
        "/approvals/mine/",
        "/approvals/away/",
        "/kill",
    ]
    for path in paths:
        look_at(lead, path)
        assert lead.violations() == [], path
    look_at(lead, feature)
    with lead.page.expect_navigation():
        lead.page.get_by_role("button", name=re.compile("Stop")).click()
    lead.page.set_viewport_size({"width": 320, "height": 640})
    for path in [*paths, feature]:
        look_at(lead, path)
        assert lead.page.get_by_text(f"All tools of {agent.feature}").is_visible(), path
        assert lead.sideways() == 0, path
        assert lead.violations() == [], path


def test_an_open_page_hears_of_a_kill_and_of_the_restore(visit: Visit, stack: Stack) -> None:
    agent = make_agent(stack)
    visitor = visit(agent.slug, role="on_call")
    visitor.sign_in()
    page = visitor.page
    page.goto(f"{stack.url}/features/{agent.slug}/policy/")
    expect(page.locator("#tools-now")).to_contain_text("on")
    agent.send(f"/api/v1/features/{agent.slug}/kill", {"reason": "refunds loop"})
    expect(page.locator("#stops")).to_contain_text("refunds loop", timeout=30_000)
    expect(page.locator("#tools-now")).to_contain_text("OFF")
    assert visitor.violations() == []
    page.get_by_text("Restore").click()
    page.get_by_label("Why it is safe again").fill("the loop is mended")
    page.get_by_role("button", name="Switch on").click()
    page.wait_for_url(f"**/features/{agent.slug}/policy/")
    expect(page.locator("#stops")).to_have_count(0)
