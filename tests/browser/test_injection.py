"""From the line that tells of a sign to the passage itself: also where it stands in a fold."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.support import Client
from tests.traces.test_injection_page import poisoned


@pytest.mark.parametrize("width", [1440, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_sign_is_reached_by_a_click_and_is_readable(
    visit: Visit, client: Client, scheme: str, width: int
) -> None:
    trace, found, _ = poisoned(client)
    visitor = visit(client.slug, color_scheme=scheme, viewport={"width": width, "height": 900})
    visitor.sign_in()
    visitor.go(trace.path(f"?span={found}"))
    page = visitor.page
    expect(page.locator("#conversation mark.sign", has_text="Ignore all previous")).to_be_hidden()
    told = page.locator("#violations > div", has_text="Ignore all previous")
    told.get_by_role("link", name="show the passage").click()
    passage = page.locator("mark.sign:target")
    expect(passage).to_be_in_viewport()
    expect(passage).to_contain_text("sign of injection")
    expect(passage).to_contain_text("Ignore all previous instructions")
    assert visitor.violations() == []
    assert visitor.sideways() <= 0
    visitor.picture(f"injection-{scheme}-{width}")
