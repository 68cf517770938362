"""The whole way of one refund: the live agent proposes it, a phone approves it, exactly that runs, and everything that
tells of it leads to everything else.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from approvals.models import ApprovalRequest
from tests.browser.conftest import Visit
from tests.support import ROOT, Stack

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
SLUG = "billing-agent"


@pytest.fixture
def demo(stack: Stack) -> None:
    loaded = stack.manage("demo", "load", "--days", "1")
    assert loaded.returncode == 0, loaded.stderr


@pytest.fixture
def agent(stack: Stack, demo: None) -> Iterator[None]:
    env = {**stack.env, "PYTHONPATH": str(ROOT / "clients" / "python" / "src")}
    process = subprocess.Popen([sys.executable, "-m", "demo.agent"], cwd=ROOT, env=env)
    yield
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def test_a_proposed_refund_is_approved_on_a_phone_runs_and_all_its_pages_are_linked(
    stack: Stack, visit: Visit, demo: None, request: pytest.FixtureRequest
) -> None:
    ada = visit(SLUG, role="approver", **PHONE)  # holds the role before anything is asked
    ada.sign_in()
    began = time.monotonic()
    known = set(ApprovalRequest.objects.filter(feature__slug=SLUG).values_list("pk", flat=True))
    request.getfixturevalue("agent")
    asked = None
    while asked is None:
        assert time.monotonic() - began < 120, "the agent proposes a refund that waits"
        time.sleep(0.3)
        waiting = ApprovalRequest.objects.filter(feature__slug=SLUG, action="refund", state="pending")
        asked = waiting.exclude(pk__in=known).first()
    page = ada.page
    page.goto(f"{stack.url}/approvals/")
    page.locator(f"a[href='/approvals/{asked.pk}/']").first.click()
    page.get_by_role("heading", name="What will run").wait_for()
    ada.picture("whole-way-1-request")
    bar = page.locator(".act-bar")
    amount = bar.get_by_role("button", name=re.compile("Approve")).inner_text().split()[-1]
    with page.expect_navigation():
        bar.get_by_role("button", name=re.compile("Approve")).click()
    # A payment may also fail, or time out: the page says which, and that it ran once.
    page.locator("#now").get_by_text(re.compile("It ran once")).wait_for(timeout=60_000)
    ada.picture("whole-way-2-ran")
    page.get_by_role("link", name="The decision with its record").click()
    page.wait_for_url(f"**/decisions/{asked.decision_id}/")
    expect(page.locator("h1")).to_contain_text(amount)
    ada.picture("whole-way-3-decision")
    # The agent's batch of spans comes some moments later.
    trace = bytes(asked.decision.trace_id or b"").hex()
    until = time.monotonic() + 60
    while True:
        page.goto(f"{stack.url}/features/{SLUG}/traces/{trace}/")
        if page.locator(f"a[href='/decisions/{asked.decision_id}/']").count():
            break
        assert time.monotonic() < until, "the trace links to its decision"
        time.sleep(1)
    ada.picture("whole-way-4-trace")
    page.locator(f"a[href='/decisions/{asked.decision_id}/']").first.click()
    page.wait_for_url(f"**/decisions/{asked.decision_id}/")
    page.get_by_role("link", name="The trace").click()
    page.wait_for_url(f"**/traces/{trace}/")
    page.goto(f"{stack.url}/decisions/{asked.decision_id}/")
    page.get_by_role("link", name="In the record").first.click()
    page.wait_for_url("**/audit/?subject=**")
    ada.picture("whole-way-5-record")
    expect(page.locator("main")).to_contain_text("decision.made")
    page.locator(f"a[href='/decisions/{asked.decision_id}/']").first.click()
    page.wait_for_url(f"**/decisions/{asked.decision_id}/")
    assert ada.sideways() == 0
    assert ada.violations() == []
