"""The search line and what stands beside the list, by keyboard and by mouse."""

import time

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.support import Client
from tests.traces.test_api import NS, send
from tests.traces.test_search import TRACES


def test_a_wrong_word_is_mended_by_keyboard(visit: Visit, client: Client) -> None:
    send(client, *TRACES)
    visitor = visit(client.slug)
    visitor.sign_in()
    visitor.go("/traces/")
    page = visitor.page
    page.keyboard.press("/")
    page.keyboard.type("outcome:sucess")
    visitor.submit()
    expect(page.locator(".wrong-line .word")).to_have_text("sucess")
    page.get_by_role("link", name="Search for outcome:success").press("Enter")
    expect(page.locator("a.open")).to_have_count(1)
    assert page.locator("#line").input_value() == "outcome:success"
    assert visitor.violations() == []


def test_keys_and_values_are_offered_while_typing(visit: Visit, client: Client) -> None:
    send(client, *TRACES)
    visitor = visit(client.slug)
    visitor.sign_in()
    visitor.go(f"/features/{client.slug}/traces/")
    page = visitor.page
    page.keyboard.press("/")
    page.keyboard.type("status:error to")
    expect(page.locator("#line-options option[value='status:error tool:']")).to_be_attached()
    page.keyboard.type("ol:ref")
    expect(page.locator("#line-options option[value='status:error tool:refund']")).to_be_attached()


def test_values_narrow_exclude_and_a_drag_chooses_the_time(visit: Visit, client: Client) -> None:
    now = time.time_ns()
    send(client, *({"name": f"day {n}", "start": now - n * 86_400 * NS - 60 * NS} for n in range(6)), *TRACES)
    visitor = visit(client.slug)
    visitor.sign_in()
    list_url = f"/features/{client.slug}/traces/"
    visitor.go(list_url)
    page = visitor.page
    refund = page.locator(".facets-panel a[data-without]", has_text="refund")
    refund.click()
    page.wait_for_url("**q=tool%3Arefund**")
    expect(page.locator("a.open")).to_have_count(1)
    visitor.go(list_url)
    page.locator(".facets-panel a[data-without]", has_text="refund").click(modifiers=["Alt"])
    page.wait_for_url("**q=-tool%3Arefund**")
    expect(page.locator("a.open")).to_have_count(8)
    visitor.go(list_url)
    box = page.locator("[data-histogram] svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    page.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + 40)
    page.mouse.up()
    page.wait_for_url("**from=**to=**")
    expect(page.locator("a.open").first).to_be_visible()
    assert 3 < page.locator("a.open").count() < 9


def test_new_requests_come_into_a_live_list_and_focus_stays(visit: Visit, client: Client) -> None:
    send(client, {"name": "first"})
    visitor = visit(client.slug)
    visitor.sign_in()
    visitor.page.goto(f"{client.stack.url}/features/{client.slug}/traces/?live=1")
    page = visitor.page
    page.get_by_role("link", name="first", exact=True).focus()
    send(client, {"name": "second"})
    expect(page.get_by_role("link", name="second", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="first", exact=True)).to_be_focused()
    expect(page.locator("#announcer")).to_contain_text("The list has changed")


def test_an_export_shows_that_it_is_done(visit: Visit, client: Client) -> None:
    send(client, *TRACES)
    visitor = visit(client.slug)
    visitor.sign_in()
    page = visitor.page
    page.goto(f"{client.stack.url}/features/{client.slug}/export/?q=card")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert len(download.value.path().read_text().splitlines()) == 3
    expect(page.get_by_text("Done: 2 rows.")).to_be_visible()
    page.goto("about:blank")
