"""What unmodified SDKs send, posted over real HTTP, comes out right: every fact, whatever the dialect."""

import gzip
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support import Client, capture_names, load_capture

STATES = {True: {"present"}, False: {"missing"}, "none": {"not_applicable"}}


def assert_facts(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for fact in (
        "llm_calls",
        "llm_errors",
        "embeddings",
        "input_tokens",
        "output_tokens",
        "cached_input_tokens",
    ):
        assert found[fact] == expected[fact], fact
    assert sorted(found["models"]) == sorted(expected["models"])
    assert found["user_id"] == expected["user_id"]
    if expected["session_id"] == "any":
        assert found["session_id"]
    else:
        assert found["session_id"] == expected["session_id"]
    calls = sorted([call["name"], call["status"]] for call in found["tool_calls"])
    assert calls == sorted(expected["tool_calls"])
    assert found["retrieved_ids"] == expected["retrieved_ids"]
    assert found["final_output"] == expected["final_output"]
    for field, state in expected["completeness"].items():
        if state != "either":
            assert found["completeness"][field] in STATES[state], field


def comparable(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "settled_at"}


@pytest.mark.parametrize("name", capture_names())
def test_every_fact_of_a_captured_export_comes_out(client: Client, name: str) -> None:
    exports, expected, trace_id = load_capture(name)
    for export in exports:
        assert (
            client.post(export.path, export.body, export.content_type, **export.headers()).status_code == 200
        )
    assert client.stack.manage("settle", "--wait").returncode == 0
    assert_facts(client.trace(trace_id), expected)


@pytest.mark.parametrize("name", capture_names())
def test_the_same_export_twice_changes_nothing(client: Client, name: str) -> None:
    exports, expected, trace_id = load_capture(name)
    seen = []
    for _ in range(2):
        for export in exports:
            assert (
                client.post(export.path, export.body, export.content_type, **export.headers()).status_code
                == 200
            )
        assert client.stack.manage("settle", "--wait").returncode == 0
        seen.append(comparable(client.trace(trace_id)))
    assert seen[0] == seen[1]
    assert seen[1]["conflicts"] == []
    assert_facts(seen[1], expected)


@pytest.mark.parametrize("name", [name for name in capture_names() if len(load_capture(name)[0]) > 1])
def test_logs_that_come_before_their_spans_join_them(client: Client, name: str) -> None:
    exports, expected, trace_id = load_capture(name)
    for export in reversed(exports):
        assert (
            client.post(export.path, export.body, export.content_type, **export.headers()).status_code == 200
        )
        assert client.stack.manage("settle", "--wait").returncode == 0
    assert_facts(client.trace(trace_id), expected)


def halves(body: bytes, encoding: str | None) -> list[bytes]:
    whole = ExportTraceServiceRequest.FromString(gzip.decompress(body) if encoding == "gzip" else body)
    parts = []
    for kept in (0, 1):
        part = ExportTraceServiceRequest()
        part.CopyFrom(whole)
        n = 0
        for group in part.resource_spans:
            for scope in group.scope_spans:
                spans = list(scope.spans)
                del scope.spans[:]
                for span in spans:
                    if n % 2 == kept:
                        scope.spans.append(span)
                    n += 1
        parts.append(part.SerializeToString())
    return parts


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("name", ["langfuse-langgraph", "pydantic-ai-otel", "openllmetry-anthropic"])
def test_halves_in_either_order_end_in_the_same_facts(
    client: Client, name: str, order: tuple[int, int]
) -> None:
    exports, expected, trace_id = load_capture(name)
    parts = halves(exports[0].body, exports[0].encoding)
    for which in order:
        assert client.post("/v1/traces", parts[which]).status_code == 200
        assert client.stack.manage("settle", "--wait").returncode == 0
    assert_facts(client.trace(trace_id), expected)
