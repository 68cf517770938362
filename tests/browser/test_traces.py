"""The list and the trace page, by mouse and by keyboard alone."""

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from playwright.sync_api import Dialog, Page, expect

from tests.browser.conftest import Visit, send_capture
from tests.support import Client
from tests.traces.test_ingest_answers import export


def attributes(request: ExportTraceServiceRequest, **values: str) -> ExportTraceServiceRequest:
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for name, value in values.items():
        span.attributes.add(key=name.replace("__", ".")).value.string_value = value
    return request


def chosen(page: Page) -> str:
    return page.locator(".trace-tree tr[aria-selected=true]").inner_text()


def test_a_filter_stands_in_the_url_and_back_undoes_it(visit: Visit, client: Client) -> None:
    for outcome in ("success", "failed"):
        request = attributes(export({"name": f"ends in {outcome}"}), task__outcome=outcome)
        assert client.post("/v1/traces", request.SerializeToString()).status_code == 200
    visitor = visit(client.slug)
    visitor.sign_in()
    assert client.stack.manage("settle", "--wait").returncode == 0
    visitor.go(f"/features/{client.slug}/traces/")
    page = visitor.page
    expect(page.get_by_role("link", name="ends in success")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("outcome:failed")
    visitor.submit()
    expect(page.get_by_role("link", name="ends in success")).to_have_count(0)
    expect(page.get_by_role("link", name="ends in failed")).to_be_visible()
    assert "q=outcome%3Afailed" in page.url
    page.reload()
    expect(page.get_by_role("link", name="ends in success")).to_have_count(0)
    page.goto(f"{client.stack.url}/features/{client.slug}/traces/?outcome=escalated")
    expect(page.get_by_role("heading", name="No request matches")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("link", name="ends in failed")).to_be_visible()


def test_an_unknown_filter_value_is_an_error_that_says_so(visit: Visit, client: Client) -> None:
    visitor = visit(client.slug)
    visitor.sign_in()
    for query in ("outcome=wonderful", "q=outcome:wonderful", "cursor=zzz", "window=9y", "order=best"):
        assert visitor.go(f"/features/{client.slug}/traces/?{query}") in {200, 400}, query


def test_an_id_typed_into_search_opens_its_request(visit: Visit, client: Client) -> None:
    request = attributes(export({"name": "find me"}), clearance__request_id="req-8f3c-77a1")
    assert client.post("/v1/traces", request.SerializeToString()).status_code == 200
    trace_id = request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
    client.trace(trace_id)
    visitor = visit(client.slug)
    visitor.sign_in()
    page = visitor.page
    for identity in (trace_id, "req-8f3c-77a1"):
        visitor.go("/")
        page.keyboard.press("/")
        page.keyboard.type(identity)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="find me").first).to_be_visible()
    visitor.go("/")
    page.keyboard.press("/")
    page.keyboard.type("req-none-0000")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No request with the ID")).to_be_visible()


def test_a_trace_is_read_by_keyboard_alone(visit: Visit, client: Client) -> None:
    trace_id = send_capture(client, "pydantic-ai-otel")
    visitor = visit(client.slug)
    visitor.sign_in()
    visitor.go(f"/features/{client.slug}/traces/")
    page = visitor.page
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{trace_id}/**")
    page.wait_for_load_state("networkidle")
    expect(page.locator("#span-panel")).to_contain_text("refund")  # the first error is shown at once
    page.locator(".trace-tree tr[tabindex='0']").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.locator("#span-panel")).to_contain_text("invoke_agent")
    assert "span=" in page.url
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#span-panel")).to_contain_text("gpt-4o-2024-08-06")
    page.keyboard.press("x")
    expect(page.locator("#span-panel")).to_contain_text("payment gateway timeout")
    assert "refund" in chosen(page)
    link = page.url
    page.goto(link)
    expect(page.locator("#span-panel")).to_contain_text("payment gateway timeout")
    page.keyboard.press("r")
    expect(page.get_by_text("gen_ai", exact=False).first).to_be_visible()


def test_the_conversation_shows_whom_each_text_came_from(visit: Visit, client: Client) -> None:
    trace_id = send_capture(client, "openinference-langgraph")
    visitor = visit(client.slug)
    visitor.sign_in()
    visitor.go(f"/features/{client.slug}/traces/{trace_id}/")
    page = visitor.page
    for words in ("Retrieved documents", "System", "User", "Tool result", "untrusted"):
        expect(page.get_by_text(words, exact=True).first).to_be_visible()
    expect(page.get_by_text("https://kb.example/refund/0").first).to_be_visible()
    assert "jane.roe@example.com" not in page.content()
    expect(page.get_by_text("[email:", exact=False).first).to_be_visible()


def test_a_call_that_is_told_twice_says_that_it_counts_once(visit: Visit, client: Client) -> None:
    trace_id = send_capture(client, "openllmetry-anthropic")
    visitor = visit(client.slug)
    visitor.sign_in()
    visitor.go(f"/features/{client.slug}/traces/{trace_id}/")
    expect(visitor.page.locator(".trace-tree")).to_contain_text("counted once")


def test_stored_text_is_never_markup_and_hides_nothing(visit: Visit, client: Client) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)> \u202egnp.exe\u202c [click](https://evil.example)"
    request = attributes(
        export({"name": f"<b>bold</b> {hostile}"}),
        openinference__span__kind="LLM",
        llm__model_name="m",
        llm__input_messages__0__message__role="user",
        llm__input_messages__0__message__content=hostile,
        task__outcome="failed",
        session__id=hostile,
    )
    assert client.post("/v1/traces", request.SerializeToString()).status_code == 200
    trace_id = request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
    client.trace(trace_id)
    visitor = visit(client.slug)
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    visitor.page.on("dialog", note)
    visitor.sign_in()
    for path in (f"traces/{trace_id}/", "traces/", "", "start/"):
        assert visitor.go(f"/features/{client.slug}/{path}") == 200
        assert (
            visitor.page.locator("main script:not([type='application/json']), main img[src='x']").count() == 0
        )
        assert visitor.page.locator("a[href^='https://evil']").count() == 0
    visitor.go(f"/features/{client.slug}/traces/{trace_id}/")
    expect(visitor.page.get_by_text("U+202E", exact=False).first).to_be_visible()
    assert dialogs == []


def test_a_trace_that_has_just_arrived_shows_itself_when_it_is_settled(visit: Visit, client: Client) -> None:
    visitor = visit(client.slug)
    visitor.sign_in()
    request = export({"name": "fresh"})
    trace_id = request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
    assert client.post("/v1/traces", request.SerializeToString()).status_code == 200
    visitor.page.goto(f"{client.stack.url}/features/{client.slug}/traces/{trace_id}/")
    expect(visitor.page.get_by_role("heading", name="fresh").first).to_be_visible(timeout=20_000)


def test_a_trace_of_two_thousand_spans_is_sent_in_parts(visit: Visit, client: Client) -> None:
    changes: list[dict[str, object]] = [{"name": f"step {n % 7}"} for n in range(2000)]
    request = export(*changes)
    spans = request.resource_spans[0].scope_spans[0].spans
    for n, span in enumerate(spans):
        span.trace_id = spans[0].trace_id
        if n:
            span.parent_span_id = spans[0].span_id
    assert client.post("/v1/traces", request.SerializeToString()).status_code == 200
    client.trace(spans[0].trace_id.hex())
    visitor = visit(client.slug)
    visitor.sign_in()
    visitor.go(f"/features/{client.slug}/traces/{spans[0].trace_id.hex()}/")
    assert 0 < visitor.page.locator(".trace-tree tbody tr").count() <= 300
