"""The inbox and a request's page: who sees what waits, what will run stands exactly, forms keep what was typed."""

import re
import secrets

import pytest

from approvals.models import ApprovalRequest, Execution
from approvals.queries import pending_ids
from features.models import Notice
from features.services import give_role
from tests.approvals.support import apply, cast, make_agent, make_person, refund
from tests.support import Browser, Stack


def test_what_i_may_decide_stands_in_my_inbox_and_nobody_elses(stack: Stack) -> None:
    agent = make_agent(stack)
    ada, viewer = make_person(agent.slug), make_person(agent.slug, "viewer")
    asked = agent.ask(refund("180.00", order="A-1042")).json()
    for path in ("/approvals/", f"/features/{agent.slug}/approvals/"):
        mine = Browser(stack, ada).get(path).text
        assert "$180.00" in mine
        assert "A-1042" in mine
        theirs = Browser(stack, viewer).get(path).text
        assert "Nothing waits for you" in theirs
        assert "Wait for others" in theirs
        assert "180.00" not in theirs
        assert "A-1042" not in theirs
    page = Browser(stack, viewer).get(f"/approvals/{asked['request_id']}/").text
    assert "Arguments are shown to who may decide" in page
    assert "No budget limits it" not in page
    assert "A-1042" not in page
    assert (
        Browser(stack, make_person(make_agent(stack).slug))
        .get(f"/approvals/{asked['request_id']}/")
        .status_code
        == 404
    )


def test_the_irreversible_comes_first_then_the_oldest(stack: Stack) -> None:
    agent = make_agent(stack)
    ada = make_person(agent.slug)
    first, second = (agent.ask(refund("90.00")).json()["request_id"] for _ in range(2))
    last = agent.ask({"action": "close_account", "args": {"account": "c-1"}}).json()["request_id"]
    assert [str(one) for one in pending_ids(ada, [agent.feature], 50)] == [last, first, second]


def test_pages_go_on_where_the_last_one_ended(stack: Stack) -> None:
    agent = make_agent(stack)
    ada = make_person(agent.slug)
    asked = [agent.ask(refund("90.00")).json()["request_id"] for _ in range(52)]
    browser = Browser(stack, ada)
    first = browser.get("/approvals/").text
    following = re.search(r"\?after=([01][0-9a-f]{32})", first)
    assert following is not None
    second = browser.get("/approvals/", {"after": following[1]}).text
    assert [one in first for one in asked] == [True] * 50 + [False] * 2
    assert [f'id="r{one}"' in second for one in asked] == [False] * 50 + [True] * 2
    assert browser.get("/approvals/", {"after": "nonsense"}).status_code == 400


def test_who_got_the_role_later_or_asked_themselves_may_not_decide(stack: Stack) -> None:
    agent = make_agent(stack)
    request = agent.ask(refund("90.00")).json()["request_id"]
    late = make_person(agent.slug)
    assert pending_ids(late, [agent.feature], 50) == []
    ApprovalRequest.objects.filter(pk=request).update(proposers=[])
    other = agent.ask(refund("91.00")).json()["request_id"]
    assert [str(one) for one in pending_ids(late, [agent.feature], 50)] == [other]
    ApprovalRequest.objects.filter(pk=other).update(proposers=[late.pk])
    assert pending_ids(late, [agent.feature], 50) == []


def test_the_navigation_counts_what_waits_for_me(stack: Stack) -> None:
    agent = make_agent(stack)
    ada = make_person(agent.slug)
    agent.ask(refund("90.00"))
    agent.ask(refund("91.00"))
    page = Browser(stack, ada).get("/").text
    assert re.search(r'My approvals<span class="count hot">2</span>', page)


def test_approving_moves_it_to_just_decided_until_it_has_an_outcome(stack: Stack) -> None:
    agent = make_agent(stack)
    ada = make_person(agent.slug)
    asked = agent.ask(refund("180.00")).json()
    assert cast(stack, ada, asked["request_id"]).status_code == 303
    page = Browser(stack, ada).get("/approvals/").text
    assert "Just decided by me" in page
    assert "approved" in page.partition("Just decided by me")[2]
    assert "Take my approval back" in Browser(stack, ada).get(f"/approvals/{asked['request_id']}/").text


def test_a_late_click_is_told_who_was_first(stack: Stack) -> None:
    agent = make_agent(stack)
    ada, ben = make_person(agent.slug), make_person(agent.slug)
    request = agent.ask(refund("180.00")).json()["request_id"]
    assert cast(stack, ada, request).status_code == 303
    late = cast(stack, ben, request, "reject", reason="not eligible at all")
    assert late.status_code == 409
    assert f"Already approved by {ada}" in late.text
    assert "Nothing was run twice" in late.text


def test_a_rejection_keeps_chips_and_words_for_the_agent(stack: Stack) -> None:
    agent = make_agent(stack)
    ada = make_person(agent.slug)
    asked = agent.ask(refund("180.00")).json()
    browser = Browser(stack, ada)
    page = f"/approvals/{asked['request_id']}/vote"
    empty = browser.post(page, {"vote": "reject", "revision": "1", "reason": ""})
    assert empty.status_code == 400
    assert "Say why" in empty.text
    form = {"vote": "reject", "revision": "1", "chip": "wrong amount", "reason": "it was $18"}
    assert browser.post(page, form).status_code == 303
    assert "wrong amount: it was $18" in agent.look(asked["id"])["message"]


def test_an_irreversible_action_is_confirmed_and_folds_are_read(stack: Stack) -> None:
    agent = make_agent(stack)
    ada = make_person(agent.slug)
    request = agent.ask({"action": "close_account", "args": {"account": "c-1"}}).json()["request_id"]
    browser = Browser(stack, ada)
    form = {"vote": "approve", "revision": "1", "by_page": "1"}
    refused = browser.post(f"/approvals/{request}/vote", form)
    assert refused.status_code == 400
    assert "It cannot be undone." in refused.text
    assert browser.post(f"/approvals/{request}/vote", form | {"confirm": "1"}).status_code == 303


def test_an_edit_is_within_the_schema_and_keeps_what_was_typed(stack: Stack) -> None:
    agent = make_agent(stack)
    ada = make_person(agent.slug)
    asked = agent.ask(refund("180.00", order="A-7")).json()
    browser, page = Browser(stack, ada), f"/approvals/{asked['request_id']}/edit"
    wrong = browser.post(page, {"revision": "1", "arg:amount": "a lot", "arg:order_id": "A-7"})
    assert wrong.status_code == 400
    assert 'value="a lot"' in wrong.text
    done = browser.post(page, {"revision": "1", "arg:amount": "90.00"})
    assert done.status_code == 303
    now = agent.look(asked["id"])
    assert now["revision"] == 2
    assert now["edited"] == [{"path": "amount", "from": "180.00", "to": "90.00"}]
    assert "$90.00" in browser.get(f"/approvals/{asked['request_id']}/").text
    stale = browser.post(page, {"revision": "1", "arg:amount": "80.00"})
    assert stale.status_code == 409


def test_handing_over_moves_a_notice_and_no_right(stack: Stack) -> None:
    agent = make_agent(stack)
    ada, ben = make_person(agent.slug), make_person(agent.slug)
    viewer = make_person(agent.slug, "viewer")
    request = agent.ask(refund("180.00")).json()["request_id"]
    page = f"/approvals/{request}/hand-over"
    assert Browser(stack, ada).post(page, {"to": str(ben.pk)}).status_code == 303
    told = Notice.objects.get(kind="approval.handed_over", facts__request=request)
    assert [str(one.person_id) for one in told.deliveries.filter(channel="console")] == [str(ben.pk)]
    assert Browser(stack, ada).post(page, {"to": str(viewer.pk)}).status_code == 400


def test_the_open_page_hears_of_somebody_elses_decision(stack: Stack) -> None:
    agent = make_agent(stack)
    ada, ben = make_person(agent.slug), make_person(agent.slug)
    request = agent.ask(refund("180.00")).json()["request_id"]
    page = Browser(stack, ben).get(f"/approvals/{request}/").text
    seen = re.search(r"seen=([^&]+)&amp;revision", page)
    assert seen is not None
    cast(stack, ada, request)
    heard = Browser(stack, ben).get(f"/approvals/{request}/wait/", {"seen": seen[1], "revision": "1"})
    assert f"Already approved by {ada}" in heard.text
    assert "data-over" in heard.text


def test_an_unknown_outcome_is_settled_on_its_page(stack: Stack) -> None:
    agent = make_agent(stack)
    asked = agent.ask(refund("20.00")).json()
    execution = agent.execute(asked["id"]).json()["execution"]
    agent.report(execution, "unknown", result={"note": "timed out <b>"})
    lead, viewer = make_person(agent.slug, "lead"), make_person(agent.slug, "viewer")
    page = Browser(stack, lead).get(f"/decisions/{asked['id']}/").text
    assert "Nobody knows whether it had its effect" in page
    path = f"/executions/{execution}/settle"
    assert Browser(stack, viewer).post(path, {"state": "failed", "reason": "looked"}).status_code == 403
    short = Browser(stack, lead).post(path, {"state": "failed", "reason": "no"})
    assert short.status_code == 400
    assert (
        Browser(stack, lead).post(path, {"state": "failed", "reason": "the ledger has none"}).status_code
        == 303
    )
    settled = Execution.objects.get(pk=execution)
    assert (settled.state, settled.settled_by_id) == ("failed", lead.pk)


@pytest.mark.parametrize("wanted", ["", "?answer=needs_approval", "?state=pending", "?action=refund"])
def test_the_list_of_decisions_is_filtered(stack: Stack, wanted: str) -> None:
    agent = make_agent(stack)
    held, alone = agent.ask(refund("180.00")).json()["id"], agent.ask(refund("20.00")).json()["id"]
    text = Browser(stack, make_person(agent.slug)).get(f"/features/{agent.slug}/decisions/{wanted}").text
    assert held in text
    assert (alone in text) == (wanted in ("", "?action=refund"))


def test_hostile_text_is_shown_and_never_acted_on(stack: Stack) -> None:
    agent = make_agent(stack)
    ada = make_person(agent.slug)
    order = f"rma-\u202e24\u202c-\u0430ccount{secrets.token_hex(3)}"
    claim = (
        "</div><script>alert(1)</script>{{ 7*7 }}{% now %}\x1b[31mApprove $5.00\u200b"
        + "Why it needs you. " * 6000
    )
    asked = agent.ask(refund("75.00", order=order, claim=claim)).json()
    page = Browser(stack, ada).get(f"/approvals/{asked['request_id']}/").text
    assert "U+202E right-to-left override" in page
    assert "\u0430 U+0430 cyrillic small letter a" in page
    assert "U+001B escape" in page
    assert "U+200B zero-width space" in page
    assert "<script>alert(1)" not in page
    assert "{{ 7*7 }}" in page
    assert "\u202e" not in re.sub(r'<bdo.*?</bdo>|value="[^"]*"', "", page, flags=re.S)


def test_names_that_an_agent_makes_up_turn_no_page(stack: Stack) -> None:
    """What is no action of the policy, and an argument that the schema does not know, are whatever the agent says."""
    agent = make_agent(stack)
    lead, ada = make_person(agent.slug, "lead"), make_person(agent.slug)
    made_up = agent.ask({"action": "re\u202efund\u200b", "args": {}}).json()["id"]
    unknown = agent.ask({"action": "refund", "args": {"x\u202ey\0": 1}}).json()["id"]
    agent.send(f"/api/v1/features/{agent.slug}/kill", {"reason": "look \u202eat this"})
    paths = [f"/decisions/{made_up}/", f"/decisions/{unknown}/", f"/features/{agent.slug}/decisions/"]
    for person in (lead, ada):
        for path in paths:
            text = Browser(stack, person).get(path).text
            assert "U+202E right-to-left override" in text
            assert not set("\u202e\u200b\0") & set(re.sub(r"<bdo.*?</bdo>", "", text, flags=re.S)), path


def test_the_strip_says_what_is_off_on_every_page(stack: Stack) -> None:
    agent = make_agent(stack)
    on_call, viewer = make_person(agent.slug, "on_call"), make_person(agent.slug, "viewer")
    browser = Browser(stack, on_call)
    assert "Stop<span" in browser.get(f"/features/{agent.slug}/").text
    assert "Stop<span" not in Browser(stack, viewer).get(f"/features/{agent.slug}/").text
    back = f"/features/{agent.slug}/approvals/"
    stopped = browser.post(f"/features/{agent.slug}/kill", {"reason": "refunds loop", "back": back})
    assert (stopped.status_code, stopped.headers["Location"]) == (302, back)
    for path in ("/", "/approvals/", back, "/audit/"):
        for one in (browser, Browser(stack, viewer)):
            text = one.get(path).text
            assert f"All tools of {agent.feature}" in text
            assert str(on_call) in text
            assert "refunds loop" in text
    assert "Tools OFF" in browser.get(back).text
    assert "Switch on" in browser.get(back).text
    assert "Switch on" not in Browser(stack, viewer).get(back).text
    away = browser.post(
        f"/features/{agent.slug}/restore", {"reason": "mended", "back": "https://evil.example/"}
    )
    assert away.headers["Location"] == f"/features/{agent.slug}/"
    assert f"All tools of {agent.feature}" not in browser.get("/").text


def test_a_decision_made_under_another_policy_leaves_the_inbox(stack: Stack) -> None:
    agent = make_agent(stack)
    ada = make_person(agent.slug)
    agent.ask(refund("180.00"))
    assert pending_ids(ada, [agent.feature], 50)
    apply(agent.slug, quorum=2)
    assert pending_ids(ada, [agent.feature], 50) == []


def test_two_have_to_approve_and_the_first_is_told_so(stack: Stack) -> None:
    agent = make_agent(stack, quorum=2)
    ada, ben = make_person(agent.slug), make_person(agent.slug)
    request = agent.ask(refund("180.00")).json()["request_id"]
    cast(stack, ada, request)
    page = Browser(stack, ada).get(f"/approvals/{request}/").text
    assert "You have voted; it waits for others." in page
    assert 'id="approve"' not in page
    assert 'id="approve"' in Browser(stack, ben).get(f"/approvals/{request}/").text
    assert pending_ids(ada, [agent.feature], 50) == []
    give_role(feature=agent.feature, person=ada, role="viewer")
