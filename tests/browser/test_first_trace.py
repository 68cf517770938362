"""The first trace: a key is made, and what the agent sends appears while one watches."""

import os
import threading
import time

import httpx

from tests.browser.conftest import Visit
from tests.support import Client, unique
from tests.traces.test_ingest_answers import export

# More than the pooled connections of all web processes of the test stack (two of twelve each).
WAITING = 40


def test_the_first_span_arrives_live(visit: Visit, client: Client) -> None:
    visitor = visit(client.slug)
    visitor.sign_in()
    visitor.go(f"/features/{client.slug}/")
    visitor.page.goto(f"{client.stack.url}/features/{client.slug}/start/")
    visitor.page.get_by_role("button", name="Make a key").click()
    key = visitor.page.locator("#key").inner_text()
    assert key.startswith("clr_")
    assert f"Bearer%20{key}" in visitor.page.locator("#environment").inner_text()
    visitor.page.get_by_text("Waiting for the first span").wait_for()
    loads = visitor.page.evaluate("performance.timeOrigin")
    request = export({"name": "greet the customer"})
    sender = Client(client.stack, client.slug, key)
    assert sender.post("/v1/traces", request.SerializeToString()).status_code == 200
    visitor.page.get_by_role("link", name="greet the customer").wait_for(timeout=20_000)
    assert visitor.page.evaluate("performance.timeOrigin") == loads
    visitor.page.get_by_role("link", name="greet the customer").click()
    visitor.page.get_by_role("heading", name="greet the customer").first.wait_for()


def test_a_refused_body_is_shown_with_its_reason_while_waiting(visit: Visit, client: Client) -> None:
    visitor = visit(client.slug)
    visitor.sign_in()
    visitor.page.goto(f"{client.stack.url}/features/{client.slug}/start/")
    visitor.page.get_by_text("Waiting for the first span").wait_for()
    assert client.post("/v1/traces", b"no protobuf").status_code == 400
    visitor.page.get_by_text("refused").first.wait_for(timeout=20_000)
    assert "no ExportTraceServiceRequest" in visitor.page.locator("#wait").inner_text()


def test_an_administrator_registers_a_feature_and_is_led_to_its_first_trace(
    visit: Visit, client: Client
) -> None:
    visitor = visit(administrator=True)
    visitor.sign_in()
    visitor.go("/features/new/")
    slug = unique("new-agent")
    visitor.page.locator("[name=name]").fill("Telephone agent")
    visitor.page.locator("[name=task]").fill("Answer the phone.")
    visitor.page.locator("[name=slug]").fill(client.slug)
    visitor.submit()
    assert visitor.page.locator("[name=task]").input_value() == "Answer the phone."
    assert "taken" in visitor.page.locator("main").inner_text()
    visitor.page.locator("[name=slug]").fill(slug)
    visitor.page.locator("[name=slug]").press("Enter")
    visitor.page.wait_for_url(f"**/features/{slug}/start/")


def test_waiting_pages_hold_no_database_connection(visit: Visit, client: Client) -> None:
    """More pages wait than there are pooled connections: held ones would leave none for others."""
    visitor = visit(client.slug)
    visitor.sign_in()
    url = f"{client.stack.url}/features/{client.slug}/start/"
    visitor.page.goto(url)
    waiting = visitor.page.locator("[hx-get*='wait/']").first.get_attribute("hx-get")
    cookies = visitor.page.context.cookies()
    held = {cookie["name"]: cookie["value"] for cookie in cookies}
    waited: list[int] = []

    def wait() -> None:
        with httpx.Client(cookies=held, timeout=60) as session:
            waited.append(session.get(f"{client.stack.url}{waiting}").status_code)

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(WAITING)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    assert not waited, "the pages must still wait while the others are asked"
    with httpx.Client(cookies=held, timeout=30) as session:
        others = [session.get(url).status_code for _ in range(10)]
    assert others == [200] * 10
    span = export({"trace_id": os.urandom(16)})
    assert client.post("/v1/traces", span.SerializeToString()).status_code == 200
    for thread in threads:
        thread.join(40)
    assert waited == [200] * WAITING
