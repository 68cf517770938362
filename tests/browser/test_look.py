"""Every page: axe-core without violations, no sideways scrolling down to 320 px, light and dark, keys and
themes.
"""

import pytest
from playwright.sync_api import expect

from features.policy import read_policy
from features.policy.activation import apply_policy
from tests.browser.conftest import Visit, send_capture
from tests.features.test_policy import POLICY
from tests.support import Client


def give_policy(client: Client) -> None:
    """The policy with every field, and a second version of it."""
    text = POLICY.replace("SLUG", client.slug)
    for version in (text, text.replace("quorum = 1", "quorum = 2")):
        apply_policy(read_policy(version).document, version)


def pages(client: Client, trace_id: str) -> list[str]:
    feature = f"/features/{client.slug}/"
    return [
        "/",
        feature,
        f"{feature}?window=24h&by=hour",
        f"{feature}traces/",
        f"{feature}traces/?outcome=failed",
        f"{feature}traces/?q=refund&columns=when,outcome,user,session,error,cost",
        f"{feature}traces/?q=outcome:sucess",
        f"{feature}export/?q=refund",
        "/searches/",
        f"{feature}traces/{trace_id}/",
        f"{feature}settings/",
        f"{feature}people/",
        f"{feature}policy/",
        f"{feature}settings/erase/",
        f"{feature}traces/{trace_id}/reveal/",
        f"{feature}traces/{trace_id}/hold/",
        f"{feature}storage/",
        "/storage/",
        "/notices/",
        "/accounts/2fa/",
        "/accounts/password/",
        "/accounts/sessions/",
        "/accounts/links/",
        "/accounts/reauthenticate/",
        f"{feature}start/",
        "/traces/",
        "/traces/?q=none",
        "/audit/",
        "/features/none/",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_violates_accessibility_rules(visit: Visit, client: Client, scheme: str) -> None:
    trace_id = send_capture(client, "openinference-langgraph")
    give_policy(client)
    visitor = visit(client.slug, color_scheme=scheme)
    visitor.go("/accounts/login/")
    found = {"login": visitor.violations()}
    visitor.sign_in()
    for path in pages(client, trace_id):
        visitor.go(path)
        found[path] = visitor.violations()
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


def test_no_empty_page_violates_accessibility_rules(visit: Visit, client: Client) -> None:
    visitor = visit(client.slug, administrator=True)
    visitor.sign_in()
    found = {}
    for path in ("/", f"/features/{client.slug}/", f"/features/{client.slug}/traces/", "/features/new/"):
        visitor.go(path)
        found[path] = visitor.violations()
    nobody = visit()
    nobody.sign_in()
    nobody.go("/")
    found["nobody"] = nobody.violations()
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("width", [360, 320])
def test_no_page_scrolls_sideways_on_a_phone(visit: Visit, client: Client, width: int) -> None:
    trace_id = send_capture(client, "openinference-langgraph")
    visitor = visit(client.slug, viewport={"width": width, "height": 740}, has_touch=True)
    visitor.go("/accounts/login/")
    assert visitor.sideways() == 0
    visitor.sign_in()
    for path in pages(client, trace_id):
        visitor.go(path)
        assert visitor.sideways() == 0, path
    assert visitor.violations() == []


def test_dark_mode_follows_the_system_and_the_switch_wins(visit: Visit, client: Client) -> None:
    visitor = visit(client.slug, color_scheme="dark")
    visitor.sign_in()
    page = visitor.page

    def background() -> list[int]:
        colour: str = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        return [int(float(part)) for part in colour.strip("rgba()").split(",")[:3]]

    visitor.go("/")
    assert max(background()) < 80
    page.locator(".top details[data-drop] summary").click()
    page.locator("[data-setting=theme] input[value=light]").check(force=True)
    assert min(background()) > 200
    page.reload()
    assert min(background()) > 200


def test_keys_are_shown_dead_in_fields_and_can_be_switched_off(visit: Visit, client: Client) -> None:
    visitor = visit(client.slug)
    visitor.sign_in()
    page = visitor.page
    page.keyboard.press("?")
    expect(page.locator("#keys-help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys-help")).to_be_hidden()
    page.keyboard.press("/")
    page.keyboard.type("gf?")
    assert page.locator("[data-focus-key='/']").input_value() == "gf?"
    page.wait_for_load_state(
        "networkidle"
    )  # suggestions: leaving now would abort them, which the console tells
    visitor.go(f"/features/{client.slug}/")
    page.keyboard.press("g")
    page.keyboard.press("t")
    page.wait_for_url("**/traces/")
    page.locator(".top details[data-drop] summary").click()
    page.locator("[data-keys-switch]").uncheck(force=True)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#keys-help")).to_be_hidden()


def test_a_plot_has_a_table_and_draws_under_the_content_security_policy(visit: Visit, client: Client) -> None:
    send_capture(client, "vercel-ai")
    visitor = visit(client.slug)
    visitor.sign_in()
    visitor.go(f"/features/{client.slug}/")
    plots = visitor.page.locator(".plot[data-figure]")
    assert plots.count() >= 4
    expect(visitor.page.locator(".plot .main-svg").first).to_be_visible()
    assert visitor.page.locator("details table").count() >= plots.count()
    headers = visitor.page.goto(visitor.page.url)
    assert headers is not None
    policy = headers.headers["content-security-policy"]
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy


def test_a_page_without_plots_is_small(visit: Visit, client: Client) -> None:
    visitor = visit(client.slug)
    visitor.sign_in()
    session = visitor.page.context.new_cdp_session(visitor.page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    received: list[float] = []
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    visitor.go("/")
    assert 0 < sum(received) < 100_000
