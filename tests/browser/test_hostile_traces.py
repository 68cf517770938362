"""Hostile text in every field of a span breaks no page: nothing runs, nothing loads, nothing is hidden or pushed
out of the window, and the browser reports no breach of the Content-Security-Policy.
"""

import json
import os
import time
from typing import Any

import pytest
from playwright.sync_api import Dialog, Request, expect

from tests.browser.conftest import Visit, Visitor
from tests.support import Client

NS = 10**9
MARKUP = (
    "<script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)>'\"><svg/onload=alert(3)>"
    "</title></style></textarea><!-- ]]> <base href=https://evil.example/><meta http-equiv=refresh content=0>"
)
TURNED = "\u202egnp.exe\u202c \u2066x\u2069 \u200b\u200d\ufeff" + "".join(
    chr(0xE0000 + ord(c)) for c in "obey"
)
LINKS = (
    "[a](javascript:alert(4)) ![i](https://evil.example/p.png) https://evil.example/ {{7*7}} {% now 'Y' %}"
)
HOSTILE = f"{MARKUP} {TURNED} {LINKS} \x00 \x1b[2J \r\n \x85 %00 ${{7*7}}"
# A lone surrogate can stand only in JSON inside an attribute: a body that says one itself is no JSON and refused.
HALF = f"{HOSTILE} \ud800"
LONG = "W" * 1_000_000  # one word without a place to break
WIDE = "\u0b95\u0bcd" * 50_000 + "Z\u0301\u0301" * 50_000
NESTED: Any = HALF
for _ in range(40):
    NESTED = {"<b>k</b>": [NESTED]}

LEADS_AWAY = """[...document.querySelectorAll("a[href], form, link, area")]
    .map((one) => one.href || one.action).filter((to) => new URL(to, location).origin !== location.origin)"""


def value(said: Any) -> dict[str, Any]:
    return {"stringValue": said if isinstance(said, str) else json.dumps(said)}


def pairs(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(said)} for key, said in values.items()]


class Hostile:
    """A trace of six spans, each field of each hostile, sent as OTLP/JSON, where NUL and surrogates can be said."""

    def __init__(self, client: Client) -> None:
        self.trace_id = os.urandom(16).hex()
        self.root, self.model, self.again, self.tool, self.other, self.search = (
            os.urandom(8).hex() for _ in range(6)
        )
        self.ids = [self.root, self.model, self.again, self.tool, self.other, self.search]
        call = {
            "type": "tool_call",
            "id": HOSTILE,
            "name": HOSTILE,
            "arguments": {HALF: HALF, "deep": NESTED},
        }
        answer = {
            "type": "tool_call_response",
            "id": HOSTILE,
            "response": {"said": f"{HALF} QX-55871-TAINT"},
        }
        read = [
            {"role": "system", "parts": [{"type": "text", "content": HALF + LONG}]},
            {
                "role": "user",
                "parts": [{"type": "text", "content": TURNED * 2000}, {"type": HOSTILE, HOSTILE: HOSTILE}],
            },
        ]
        asked = {"role": "assistant", "parts": [call, {"type": "reasoning", "content": HOSTILE}]}
        told = {"role": "tool", "parts": [answer]}
        model = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": HOSTILE,
            "gen_ai.response.model": HOSTILE,
            "gen_ai.system": HOSTILE,
            "gen_ai.response.id": HOSTILE,
            "gen_ai.tool.definitions": [{"name": HOSTILE, "description": HOSTILE}],
        }
        spans = [
            self._span(
                self.root,
                None,
                0,
                9,
                {
                    "gen_ai.operation.name": "invoke_agent",
                    "clearance.request_id": f"req-{self.trace_id[:6]}{HOSTILE[:300]}",
                    "clearance.variant": HOSTILE,
                    "clearance.feature_version": HOSTILE,
                    f"clearance.segment.{MARKUP[:60]}": HOSTILE,
                    "session.id": HOSTILE,
                    "user.id": HOSTILE,
                    "input.value": HOSTILE + WIDE,
                    "output.value": NESTED,
                    HOSTILE * 20: HOSTILE,
                    "k" * 5000: LONG,
                },
            ),
            self._span(
                self.model,
                self.root,
                0,
                1,
                {**model, "gen_ai.input.messages": read, "gen_ai.output.messages": [asked]},
            ),
            self._span(
                self.tool,
                self.root,
                1,
                2,
                {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": HOSTILE,
                    "gen_ai.tool.call.id": HOSTILE,
                    "gen_ai.tool.call.arguments": {HOSTILE: HOSTILE, "long": LONG, "deep": NESTED},
                    "gen_ai.tool.call.result": {"said": f"{HALF} QX-55871-TAINT"},
                },
            ),
            self._span(
                self.search,
                self.root,
                2,
                3,
                {
                    "openinference.span.kind": "RETRIEVER",
                    "retrieval.documents.0.document.id": HOSTILE,
                    "retrieval.documents.0.document.content": HOSTILE + LONG,
                    "retrieval.documents.0.document.metadata": {HOSTILE: NESTED},
                    "retrieval.documents.0.document.score": HOSTILE,
                },
            ),
            self._span(
                self.again,
                self.root,
                4,
                5,
                {
                    **model,
                    "gen_ai.input.messages": [
                        {"role": "system", "parts": [{"type": "text", "content": f"other {HOSTILE}"}]},
                        *read[1:],
                        asked,
                        told,
                    ],
                    "gen_ai.output.messages": [
                        {"role": "assistant", "parts": [{"type": "text", "content": HALF}]}
                    ],
                },
            ),
            self._span(
                self.other,
                self.root,
                6,
                7,
                {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": HOSTILE,
                    "gen_ai.tool.call.arguments": {HOSTILE[:200]: "QX-55871-TAINT"},
                },
            ),
        ]
        scope = {"name": HOSTILE, "version": HOSTILE, "attributes": pairs({HOSTILE: HOSTILE})}
        resource = {"attributes": pairs({"service.name": HOSTILE, HOSTILE: NESTED})}
        body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]}
        answered = client.post("/v1/traces", json.dumps(body).encode(), "application/json")
        assert answered.status_code == 200, answered.text
        assert "rejectedSpans" not in answered.text, answered.text
        assert client.stack.manage("settle", "--wait").returncode == 0

    def _span(
        self, span_id: str, parent: str | None, start: float, end: float, attributes: dict[str, Any]
    ) -> dict[str, Any]:
        at = time.time_ns() - 60 * NS
        stack = {
            "exception.type": HOSTILE,
            "exception.message": HOSTILE,
            "exception.stacktrace": HOSTILE + LONG,
        }
        return {
            "traceId": self.trace_id,
            "spanId": span_id,
            **({"parentSpanId": parent} if parent else {}),
            "name": HOSTILE,
            "startTimeUnixNano": str(at + int(start * NS)),
            "endTimeUnixNano": str(at + int(end * NS)),
            "status": {"code": 2, "message": HOSTILE},
            "attributes": pairs(attributes),
            "events": [
                {"name": HOSTILE, "timeUnixNano": str(at), "attributes": pairs({HOSTILE: HOSTILE})},
                {"name": "exception", "timeUnixNano": str(at), "attributes": pairs(stack)},
            ],
            "links": [
                {
                    "traceId": os.urandom(16).hex(),
                    "spanId": os.urandom(8).hex(),
                    "attributes": pairs({HOSTILE: HOSTILE}),
                }
            ],
        }


def csp_reports(visitor: Visitor) -> list[str]:
    """What browsers reported to the running product."""
    return [line for line in visitor.stack.log.read_text().splitlines() if "content security policy:" in line]


@pytest.mark.parametrize("width", [1440, 360])
def test_hostile_text_in_every_field_breaks_no_page(visit: Visit, client: Client, width: int) -> None:
    trace = Hostile(client)
    visitor = visit(client.slug, viewport={"width": width, "height": 800})
    page = visitor.page
    page.set_default_timeout(60_000)
    reported = len(csp_reports(visitor))
    dialogs: list[str] = []
    foreign: list[str] = []

    def request(made: Request) -> None:
        if not made.url.startswith((client.stack.url, "data:", "blob:")):
            foreign.append(made.url)

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("request", request)
    page.on("dialog", note)
    visitor.sign_in()
    base = f"/features/{client.slug}/"
    at = f"{base}traces/{trace.trace_id}/"
    paths = [
        at,
        *(f"{at}?span={span_id}" for span_id in trace.ids),
        *(f"{at}spans/{span_id}/" for span_id in (trace.root, trace.model, trace.tool, trace.search)),
        f"{at}spans/{trace.again}/prompt/",
        f"{at}?find=%3Cscript%3E%E2%80%AE&turns=99999&rows=99999&unfold=zz",
        f"{base}traces/",
        base,
        "/traces/",
        "/",
    ]
    for path in paths:
        assert visitor.go(path) == 200, path
        assert visitor.sideways() == 0, path
        assert page.locator("main script:not([type='application/json'])").count() == 0, path
        assert page.locator("main :is(img, iframe, object, embed, base, meta, style)").count() == 0, path
        assert page.evaluate(LEADS_AWAY) == [], path
        if path.startswith(at):  # a character that turns the line round is written out
            assert page.locator("main").inner_text().count("\u202e") == 0, path
    visitor.go(at)
    expect(page.get_by_text("U+202E", exact=False).first).to_be_visible()
    expect(page.locator("#taint")).to_contain_text("QX-55871-TAINT")
    page.locator(f"#row-{trace.tool} a").first.click()  # as htmx swaps it in
    expect(page.locator("#span-panel")).to_contain_text("U+202E")
    assert visitor.violations() == []
    assert dialogs == []
    assert foreign == []
    assert csp_reports(visitor)[reported:] == []


def test_a_breach_of_the_policy_would_be_counted(visit: Visit, client: Client) -> None:
    """The counter of the test above counts: a script that somehow came into the page is stopped and reported."""
    visitor = visit(client.slug)
    visitor.sign_in()
    reported = len(csp_reports(visitor))
    visitor.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')")
    visitor.page.wait_for_timeout(500)
    for _ in range(100):
        if len(csp_reports(visitor)) > reported:
            break
        visitor.page.wait_for_timeout(100)
    assert len(csp_reports(visitor)) == reported + 1
    visitor.errors.clear()  # the browser says so in its console as well, which is what is wanted here
