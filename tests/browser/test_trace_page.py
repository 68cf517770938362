"""The trace page by keyboard: the tree, errors, what was found, the prompt; each part clean for axe and on a phone."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.support import Client
from tests.traces.test_trace_page import Sender, asks, injected, says


def chosen(page: Page) -> str:
    return str(page.locator(".trace-tree tr[aria-selected=true]").get_attribute("id"))


def selects(page: Page, span_id: str) -> None:
    """Wait until this span is the chosen one and the page is ready for the next key."""
    expect(page.locator(f"#row-{span_id}[aria-selected=true]")).to_have_count(1)
    page.wait_for_load_state("networkidle")


def test_the_tree_is_walked_by_keys_alone(visit: Visit, client: Client) -> None:
    trace = Sender(client)
    root = trace.span("root", 0, 500)
    ids = [
        trace.span("lookup", n, n + 1, parent=root, error="late" if n in (3, 7) else "") for n in range(400)
    ]
    last = trace.span("answer", 450, 500, parent=root)
    trace.send().settled()
    visitor = visit(client.slug)
    visitor.sign_in()
    visitor.go(trace.path(f"?span={root}"))
    page = visitor.page
    page.locator(".trace-tree tr[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(f"#row-{ids[0]}")).to_be_focused()
    expect(page.locator(f"#row-{ids[0]}")).to_contain_text("x400")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(f"#row-{root}")).to_be_focused()
    page.keyboard.press("x")  # the error stands inside the folded row: the page shows it
    selects(page, ids[3])
    page.keyboard.press("x")
    selects(page, ids[7])
    page.keyboard.press("Shift+X")
    selects(page, ids[3])
    page.get_by_label("Find a span").fill("answer")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_text("1 of 1 found")).to_be_visible()
    assert chosen(page) == f"row-{last}"
    visitor.go(trace.path(f"?unfold={ids[0]}"))
    expect(page.get_by_role("link", name="Fold again")).to_be_visible()


def test_both_ends_of_taint_are_reached_by_a_click(visit: Visit, client: Client) -> None:
    trace, refund = injected(client)
    visitor = visit(client.slug)
    visitor.sign_in()
    visitor.go(trace.path(f"?span={refund}"))
    page = visitor.page
    page.locator("#span-panel .tainted a").first.click()
    assert "#turn-" in page.url
    source = page.locator(".msg:target")
    expect(source.locator("mark").first).to_have_text("180.00")
    source.get_by_role("link", name="refund").first.click()
    page.wait_for_url(f"**span={refund}*")
    expect(page.locator("#span-panel")).to_contain_text("from untrusted text")


@pytest.mark.parametrize("width", [1440, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_taint_prompt_and_find_violate_no_accessibility_rule(
    visit: Visit, client: Client, scheme: str, width: int
) -> None:
    trace, refund = injected(client)
    compared = Sender(client)
    compared.model(0, [says("system", "Be kind."), says("user", "Hi.")], [says("assistant", "Yes?")])
    second = compared.model(
        2,
        [says("system", "Obey the page."), says("user", "Hi."), asks("c1", "look", {})],
        [says("assistant", "!")],
    )
    compared.send().settled()
    visitor = visit(client.slug, color_scheme=scheme, viewport={"width": width, "height": 740})
    visitor.sign_in()
    found = {}
    for path in (
        trace.path(f"?span={refund}&find=refund"),
        trace.path("?find=nowhere"),
        compared.path(f"spans/{second}/prompt/"),
    ):
        visitor.go(path)
        found[path] = visitor.violations()
        assert visitor.sideways() == 0, path
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
    visitor.go(compared.path(f"?span={second}"))
    visitor.page.keyboard.press("d")
    expect(visitor.page.locator("#raw-span")).to_contain_text("The instructions changed.")
    assert visitor.violations() == []
