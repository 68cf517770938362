"""On-call's two journeys, by keyboard: with nothing but a request ID, and with "refunds fail since 2 pm"."""

import json
import os
import time

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.support import Client
from tests.traces.test_api import NS, send

HOUR = 3600 * NS


def test_with_only_a_request_id_the_failing_call_is_two_keys_away(visit: Visit, client: Client) -> None:
    request_id = f"ticket-{os.urandom(4).hex()}"
    failing = {
        "clearance.request_id": request_id,
        "name": "resolve ticket",
        "error": True,
        "tools": [("lookup_order", False), ("refund", True)],
        "start": time.time_ns() - 20 * HOUR,
    }
    send(client, failing, {"name": "another"})
    visitor = visit(client.slug, role="on_call")
    visitor.sign_in()
    page = visitor.page
    page.keyboard.press("/")
    page.keyboard.type(request_id)
    visitor.picture("request-id-1-typed")
    visitor.submit()
    assert f"/features/{client.slug}/traces/" in visitor.path()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert request_id in page.locator("main").inner_text()
    visitor.picture("request-id-2-trace")
    page.keyboard.press("x")
    page.wait_for_url("**span=**")
    expect(page.locator("#span-panel")).to_contain_text("error")
    visitor.picture("request-id-3-the-error")
    assert visitor.violations() == []


def test_refunds_that_fail_since_two_are_found_counted_and_opened(visit: Visit, client: Client) -> None:
    now = time.time_ns()
    fine = [{"name": "resolve", "tools": [("refund", False)], "start": now - n * HOUR} for n in range(4, 12)]
    bad = [
        {
            "name": "resolve",
            "error": True,
            "tools": [("refund", True)],
            "start": now - n * HOUR // 2 - NS * 60,
        }
        for n in range(4)
    ]
    send(client, *fine, *bad)
    visitor = visit(client.slug, role="on_call")
    visitor.sign_in()
    page = visitor.page
    visitor.go(f"/features/{client.slug}/")
    visitor.picture("since-two-1-overview")
    page.keyboard.press("/")
    page.keyboard.type("tool_error:refund")
    visitor.submit()
    expect(page.locator("a.open")).to_have_count(4)
    visitor.picture("since-two-2-failing")
    histogram = page.locator("[data-histogram] svg")
    box = histogram.bounding_box()
    assert box is not None
    for share in (0.6, 0.8, 0.995):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + 40)
        if share == 0.6:
            page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**from=**to=**")
    expect(page.locator("a.open").first).to_be_visible()
    visitor.picture("since-two-3-that-time")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/features/{client.slug}/traces/*")
    visitor.picture("since-two-4-one-of-them")
    neighbours = page.get_by_role("link", name="3 other requests")
    expect(neighbours).to_be_visible()
    with page.expect_navigation(wait_until="networkidle"):
        neighbours.click()
    visitor.picture("since-two-5-all-of-them")
    expect(page.locator("a.open")).to_have_count(4)
    numbers = client.get(f"/api/v1/features/{client.slug}/metrics", by="tool").json()
    assert json.dumps(numbers).count("refund")


def test_a_drag_over_a_plot_is_a_time_window_and_a_point_opens_its_requests(
    visit: Visit, client: Client
) -> None:
    now = time.time_ns()
    send(client, *({"name": "resolve", "start": now - n * HOUR - 60 * NS} for n in range(20)))
    visitor = visit(client.slug, role="on_call")
    visitor.sign_in()
    page = visitor.page
    visitor.go(f"/features/{client.slug}/?window=24h")
    drawn = page.locator(".plot[data-figure] .nsewdrag").first
    drawn.scroll_into_view_if_needed()
    box = drawn.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 32, steps=4)
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 32, steps=4)
    page.mouse.up()
    page.wait_for_url("**from=**to=**")
    visitor.go(f"/features/{client.slug}/?window=24h")
    point = page.locator(".plot[data-figure] .scatterlayer .point").first
    point.scroll_into_view_if_needed()
    spot = point.bounding_box()
    assert spot is not None
    page.mouse.move(spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2)
    page.mouse.down()
    page.mouse.up()
    # The step of that point, and of a rate what counts in it.
    page.wait_for_url(f"**/features/{client.slug}/traces/?**from=**to=**")
    expect(page.get_by_role("heading", name="Traces", level=1)).to_be_visible()
