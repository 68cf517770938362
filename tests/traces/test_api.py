"""The machine interface of traces and metrics, to the letter; numbers recomputed here from what was sent."""

import json
import os
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.conftest import make_client
from tests.support import Client, Stack, load_capture
from traces.statistics import rate_of

NS = 10**9


def body(*traces: dict[str, Any]) -> bytes:
    """One OTLP/JSON export: for each trace a root, a model call and its tools."""
    spans = []
    for one in traces:
        trace_id = one.get("trace_id") or os.urandom(16).hex()
        start = one.get("start", time.time_ns() - 60 * NS)
        end = start + int(one.get("seconds", 1.0) * NS)
        root = os.urandom(8).hex()
        claims = {name: value for name, value in one.items() if "." in name}
        spans.append(
            _span(
                trace_id, root, None, one.get("name", "handle"), start, end, claims, one.get("error", False)
            )
        )
        call = {
            "gen_ai.operation.name": "chat",
            "gen_ai.response.model": one.get("model", "m-1"),
            "gen_ai.usage.input_tokens": one.get("tokens", 100),
            "gen_ai.usage.output_tokens": 10,
        }
        spans.append(_span(trace_id, os.urandom(8).hex(), root, "chat", start, end, call, False))
        for name, failed in one.get("tools", ()):
            run = {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": name,
                "gen_ai.tool.call.arguments": "{}",
            }
            spans.append(_span(trace_id, os.urandom(8).hex(), root, name, start, end, run, failed))
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


def _span(
    trace_id: str,
    span_id: str,
    parent: str | None,
    name: str,
    start: int,
    end: int,
    values: dict[str, Any],
    failed: bool,
) -> dict[str, Any]:
    return {
        "traceId": trace_id,
        "spanId": span_id,
        **({"parentSpanId": parent} if parent else {}),
        "name": name,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(end),
        "status": {"code": 2 if failed else 0},
        "attributes": [
            {
                "key": key,
                "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value},
            }
            for key, value in values.items()
        ],
    }


def send(client: Client, *traces: dict[str, Any]) -> None:
    assert client.post("/v1/traces", body(*traces), "application/json").status_code == 200
    assert client.stack.manage("settle", "--wait").returncode == 0


TRACE_FIELDS = set(
    "trace_id request_id feature session_id user_id variant also started_at duration_ms waiting_ms "
    "status outcome outcome_source llm_calls llm_errors embeddings models input_tokens output_tokens "
    "cached_input_tokens cost_usd tool_calls retrieved_ids final_output violations completeness redactions "
    "span_count".split()
)
SPAN_FIELDS = set("span_id parent_span_id name kind counted started_at duration_ms status".split())


def test_a_trace_has_every_field_of_the_interface(client: Client) -> None:
    exports, _, trace_id = load_capture("pydantic-ai-otel")
    for export in exports:
        client.post(export.path, export.body, export.content_type, **export.headers())
    found = client.trace(trace_id)
    assert TRACE_FIELDS | {"spans"} <= set(found)
    assert found["feature"] == client.slug
    assert isinstance(found["cost_usd"], str)
    assert Decimal(found["cost_usd"]) > 0
    assert found["also"] == []
    for span in found["spans"]:
        assert set(span) >= SPAN_FIELDS
    for call in found["tool_calls"]:
        assert {"name", "status", "arguments", "result", "span_id", "decision"} <= set(call)
    assert datetime.fromisoformat(found["started_at"]).tzinfo is not None
    assert found["started_at"].endswith("Z")


def test_a_request_id_finds_its_newest_trace_and_names_the_others(client: Client) -> None:
    request_id = f"req-{os.urandom(4).hex()}"
    older, newer = os.urandom(16).hex(), os.urandom(16).hex()
    now = time.time_ns()
    send(
        client,
        {"trace_id": newer, "start": now - 60 * NS, "clearance.request_id": request_id},
        {"trace_id": older, "start": now - 600 * NS, "clearance.request_id": request_id},
    )
    found = client.trace(request_id)
    assert (found["trace_id"], found["also"], found["request_id"]) == (newer, [older], request_id)
    assert client.trace(older)["also"] == [newer]


def test_a_stored_trace_that_is_not_settled_yet_says_so(client: Client) -> None:
    trace_id = os.urandom(16).hex()
    assert client.post("/v1/traces", body({"trace_id": trace_id}), "application/json").status_code == 200
    seen = set()
    for _ in range(200):
        answer = client.get(f"/api/v1/traces/{trace_id}")
        seen.add((answer.status_code, answer.json().get("code")))
        if answer.status_code == 200:
            break
        assert answer.headers["retry-after"] == "1"
        time.sleep(0.02)
    assert seen <= {(200, None), (404, "not_settled")}
    assert (200, None) in seen
    absent = client.get(f"/api/v1/traces/{os.urandom(16).hex()}")
    assert (absent.status_code, absent.json()["code"]) == (404, "not_found")


def test_a_list_is_paged_without_loss_or_repetition_newest_first(client: Client) -> None:
    now = time.time_ns()
    send(client, *({"start": now - (60 + n // 2) * NS, "name": f"n{n}"} for n in range(23)))
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/api/v1/traces", limit="5", **cursor).json()
        assert page["total"] == 23
        assert len(page["results"]) <= 5
        seen += page["results"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len({trace["trace_id"] for trace in seen}) == len(seen) == 23
    starts = [trace["started_at"] for trace in seen]
    assert starts == sorted(starts, reverse=True)
    assert "spans" not in seen[0]
    assert set(seen[0]) >= TRACE_FIELDS


def test_terms_of_the_query_line_narrow_the_list(client: Client) -> None:
    send(
        client,
        {"name": "a", "task.outcome": "failed", "tools": [("refund", True)], "user.id": "u1"},
        {"name": "b", "task.outcome": "success", "tools": [("lookup", False)], "clearance.variant": "canary"},
        {"name": "c", "error": True, "model": "m-2"},
    )

    def count(query: str) -> int:
        found = client.get("/api/v1/traces", q=query).json()
        assert found["total"] == len(found["results"])
        return len(found["results"])

    assert count("outcome:success") == 1
    assert count("outcome:failed") == 2
    assert count("status:error") == 1
    assert count("tool:refund outcome:failed") == 1
    assert count("tool:refund outcome:success") == 0
    assert count("variant:canary") == 1
    assert count("model:m-2") == 1
    assert count("user:u1") == 1
    assert count("tool-error:*") == 1


def test_an_id_ignores_the_time_window(client: Client) -> None:
    trace_id = os.urandom(16).hex()
    send(client, {"trace_id": trace_id, "start": time.time_ns() - 30 * 86_400 * NS})
    assert client.get("/api/v1/traces").json()["total"] == 0
    assert client.get("/api/v1/traces", q=trace_id).json()["total"] == 1


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("traces", {"q": "nonsense:1"}, "position"),
        ("traces", {"cursor": "zzz"}, "cursor"),
        ("traces", {"limit": "0"}, "limit"),
        ("traces", {"limit": "501"}, "limit"),
        ("traces", {"limit": "ten"}, "limit"),
        ("traces", {"from": "yesterday"}, "from"),
        ("traces", {"to": "2026-11-24T09:00:00"}, "to"),
        ("features/{slug}/metrics", {"by": "colour"}, "by"),
        ("features/{slug}/metrics", {"from": "2026-11-24T09:00:00Z", "to": "2026-11-24T09:00:00Z"}, "to"),
    ],
)
def test_a_bad_parameter_is_400_and_says_which(
    client: Client, path: str, params: dict[str, str], field: str
) -> None:
    answer = client.get("/api/v1/" + path.format(slug=client.slug), **params)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail", "code", "errors"} <= set(problem)
    named = problem["errors"][0]
    assert field in named or named.get("field") == field
    assert named["detail"]


def test_keys_open_what_their_scopes_and_feature_allow(stack: Stack, client: Client) -> None:
    other = make_client(stack)
    sender = make_client(stack, "ingest")
    paths = ["/api/v1/traces", f"/api/v1/features/{sender.slug}/metrics", "/api/v1/traces/" + "ab" * 16]
    for path in paths:
        refused = sender.get(path)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
        nobody = httpx.get(stack.url + path)
        assert nobody.status_code == 401
        assert nobody.headers["content-type"] == "application/problem+json"
        assert "bearer" in nobody.headers["www-authenticate"].lower()
    for slug in (other.slug, "no-such-feature"):
        for answer in (
            client.get(f"/api/v1/features/{slug}/metrics"),
            client.get("/api/v1/traces", feature=slug),
        ):
            assert answer.status_code == 404
            assert answer.json()["code"] == "not_found"
    same = [client.get(f"/api/v1/features/{slug}/metrics").json() for slug in (other.slug, "no-such-feature")]
    assert same[0] == same[1]


def test_metrics_are_what_was_sent_with_n_and_interval(client: Client) -> None:
    send(
        client,
        {"task.outcome": "success", "seconds": 1.0, "tools": [("a", False), ("b", True)]},
        {"task.outcome": "success", "seconds": 2.0, "clearance.variant": "canary", "model": "m-2"},
        {"task.outcome": "escalated", "seconds": 3.0, "tools": [("a", False)]},
        {"seconds": 4.0},
    )
    answer = client.get(f"/api/v1/features/{client.slug}/metrics")
    assert answer.status_code == 200
    (group,) = answer.json()["groups"]
    assert (group["by"], group["requests"]) == ({}, 4)

    def same(found: dict[str, Any], k: int, n: int) -> None:
        rate = rate_of(k, n)
        assert (found["k"], found["n"], found["rate"]) == (k, n, rate.rate)
        assert (found["low"], found["high"]) == (rate.low, rate.high)

    same(group["task_success"], 2, 3)
    same(group["unknown_outcome"], 1, 4)
    same(group["tool_failure"], 1, 3)
    same(group["escalation"], 1, 4)
    same(group["policy_violation"], 0, 4)
    same(group["over_context_budget"], 0, 0)
    assert group["over_context_budget"]["rate"] is None
    assert group["latency_seconds"]["n"] == 4
    assert group["latency_seconds"]["p50"] == pytest.approx(2.0, rel=0.0101)
    assert group["latency_seconds"]["p95"] == pytest.approx(4.0, rel=0.0101)
    assert group["tokens_per_success"] == {"value": 220.0, "n": 2}
    assert group["cost_per_success_usd"]["n"] == 2
    assert set(group["cost_per_success_usd"]) >= {"value", "n", "unknown"}
    by_variant = client.get(f"/api/v1/features/{client.slug}/metrics", by="variant,model").json()["groups"]
    assert {(one["by"]["variant"], one["by"]["model"]): one["requests"] for one in by_variant} == {
        ("baseline", "m-1"): 3,
        ("canary", "m-2"): 1,
    }
    by_tool = client.get(f"/api/v1/features/{client.slug}/metrics", by="tool").json()["groups"]
    assert {one["by"]["tool"]: (one["requests"], one["tool_failure"]["k"]) for one in by_tool} == {
        "a": (2, 0),
        "b": (1, 1),
    }


def test_metrics_of_a_window_hold_what_started_in_it(client: Client) -> None:
    now = datetime.now(UTC)
    send(client, *({"start": int((now - timedelta(hours=hours)).timestamp() * NS)} for hours in (1, 3, 5)))

    def requests(start: int, end: int) -> int:
        window = {
            "from": (now - timedelta(hours=start)).isoformat(),
            "to": (now - timedelta(hours=end)).isoformat(),
        }
        groups = client.get(f"/api/v1/features/{client.slug}/metrics", **window).json()["groups"]
        return sum(group["requests"] for group in groups)

    assert requests(4, 0) == 2
    assert requests(6, 4) == 1
    assert requests(2, 0) + requests(6, 2) == 3
    assert requests(20, 10) == 0


def test_an_empty_feature_has_no_rates(client: Client) -> None:
    (group,) = client.get(f"/api/v1/features/{client.slug}/metrics").json()["groups"]
    assert group["requests"] == 0
    assert group["task_success"] == {"rate": None, "k": 0, "n": 0, "low": None, "high": None}
    assert group["latency_seconds"] == {"p50": None, "p95": None, "n": 0}


def test_the_openapi_document_names_the_calls(stack: Stack) -> None:
    answer = httpx.get(f"{stack.url}/api/v1/schema/?format=json")
    assert answer.status_code == 200
    paths = answer.json()["paths"] if "json" in answer.headers["content-type"] else answer.text
    for path in ("/api/v1/traces", "/api/v1/features/{slug}/metrics"):
        assert path in paths
