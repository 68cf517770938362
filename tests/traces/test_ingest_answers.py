"""The answers of the OTLP door, each case of its table (OTLP/HTTP specification)."""

import gzip
import json
import os
import time
from collections.abc import Callable

import httpx
import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.conftest import make_client
from tests.support import Client, Stack

NS = 10**9
DAY = 86_400 * NS


def export(*spans: dict[str, object]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    now = time.time_ns()
    for values in spans:
        span = scope.spans.add()
        span.trace_id = os.urandom(16)
        span.span_id = os.urandom(8)
        span.name = "handle"
        span.start_time_unix_nano = now - NS
        span.end_time_unix_nano = now
        for name, value in values.items():
            setattr(span, name, value)
    return request


def test_what_is_stored_is_answered_in_the_requests_encoding(client: Client) -> None:
    request = export({})
    answer = client.post("/v1/traces", request.SerializeToString())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert not ExportTraceServiceResponse.FromString(answer.content).HasField("partial_success")
    trace_id = request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
    assert client.trace(trace_id)["span_count"] == 1


def test_json_is_answered_with_json(client: Client) -> None:
    span = {
        "traceId": os.urandom(16).hex(),
        "spanId": os.urandom(8).hex(),
        "name": "handle",
        "startTimeUnixNano": str(time.time_ns() - NS),
        "endTimeUnixNano": str(time.time_ns()),
    }
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    answer = client.post("/v1/traces", body, "application/json; charset=utf-8")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert Parse(answer.content, ExportTraceServiceResponse()) == ExportTraceServiceResponse()
    assert client.trace(span["traceId"])["name"] == "handle"


@pytest.mark.parametrize(
    "encode", [gzip.compress, lambda body: gzip.compress(body[:10]) + gzip.compress(body[10:])]
)
def test_gzip_is_taken(client: Client, encode: Callable[[bytes], bytes]) -> None:
    body = encode(export({}).SerializeToString())
    assert client.post("/v1/traces", body, **{"Content-Encoding": "gzip"}).status_code == 200


UNUSABLE: dict[str, dict[str, object]] = {
    "trace ID too short": {"trace_id": b"\x01" * 15},
    "trace ID of zeros": {"trace_id": bytes(16)},
    "no span ID": {"span_id": b""},
    "span ID too long": {"span_id": b"\x01" * 9},
    "ends before it starts": {"end_time_unix_nano": time.time_ns() - 100 * NS},
    "older than retention": {"start_time_unix_nano": time.time_ns() - 91 * DAY},
    "more than a day ahead": {
        "start_time_unix_nano": time.time_ns() + DAY + 3600 * NS,
        "end_time_unix_nano": time.time_ns() + DAY + 3601 * NS,
    },
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_span_is_counted_with_its_reason_and_the_rest_is_stored(
    client: Client, case: str
) -> None:
    request = export({}, UNUSABLE[case], {})
    answer = client.post("/v1/traces", request.SerializeToString())
    assert answer.status_code == 200
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 1
    assert partial.error_message
    spans = request.resource_spans[0].scope_spans[0].spans
    for kept in (spans[0], spans[2]):
        assert client.trace(kept.trace_id.hex())["span_count"] == 1


def test_a_log_without_a_trace_is_counted_and_the_rest_is_stored(client: Client) -> None:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for trace_id in (b"", os.urandom(16)):
        record = records.add()
        record.trace_id = trace_id
        record.observed_time_unix_nano = time.time_ns()
        record.event_name = "gen_ai.user.message"
        record.body.string_value = "hello"
    answer = client.post("/v1/logs", request.SerializeToString())
    assert answer.status_code == 200
    assert b"trace" in answer.content


@pytest.mark.parametrize("content_type", ["application/x-protobuf", "application/json"])
@pytest.mark.parametrize(
    "body", [b"\xff\xff\xff\xff", b"{", b"[]", b'{"resourceSpans": 3}', b"\x0a\xff\xff\xff\x7f"]
)
def test_what_cannot_be_decoded_is_refused_for_good(client: Client, body: bytes, content_type: str) -> None:
    answer = client.post("/v1/traces", body, content_type)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == content_type
    assert "retry-after" not in answer.headers


def test_lone_surrogates_show_as_what_they_are_and_cost_no_export(client: Client) -> None:
    trace_id, half, now = os.urandom(16).hex(), "half \ud800 \udfff \x00", time.time_ns()
    said = {"key": f"key {half}", "value": {"stringValue": half}}
    span = {
        "traceId": trace_id,
        "spanId": os.urandom(8).hex(),
        "name": f"name {half}",
        "startTimeUnixNano": str(now - 10**9),
        "endTimeUnixNano": str(now),
        "status": {"code": 2, "message": half},
        "attributes": [
            said,
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.input.messages", "value": {"stringValue": half}},
            {"key": "clearance.request_id", "value": {"stringValue": f"req {half}"}},
        ],
        "events": [{"name": half, "timeUnixNano": str(now), "attributes": [said]}],
        "links": [{"traceId": trace_id, "spanId": os.urandom(8).hex(), "attributes": [said]}],
    }
    resource = {"attributes": [said]}
    scoped = [{"scope": {"name": half}, "spans": [span]}]
    body = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scoped}]}).encode()
    answer = client.post("/v1/traces", body, "application/json")
    assert answer.status_code == 200, answer.text
    assert "partialSuccess" not in answer.json()
    found = client.trace(trace_id)
    assert "\ufffd" in found["spans"][0]["name"]
    assert "\ufffd" in found["request_id"]


def test_a_broken_gzip_body_is_refused_for_good(client: Client) -> None:
    answer = client.post("/v1/traces", gzip.compress(b"x" * 99)[:-9], **{"Content-Encoding": "gzip"})
    assert answer.status_code == 400


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_refused(client: Client, content_type: str) -> None:
    assert client.post("/v1/traces", b"", content_type).status_code == 415


def test_without_a_key_or_with_a_wrong_one_nothing_is_taken(stack: Stack, client: Client) -> None:
    body = export({}).SerializeToString()
    kind = {"Content-Type": "application/x-protobuf"}
    assert httpx.post(f"{stack.url}/v1/traces", content=body, headers=kind).status_code == 401
    for wrong in ("x", client.key + "x", client.key[:-1], "clr_" + "a" * 300, "clr_aaaaaaaa_\u00e9"):
        headers = {**kind, "Authorization": f"Bearer {wrong}".encode()}
        assert httpx.post(f"{stack.url}/v1/traces", content=body, headers=headers).status_code == 401  # type: ignore[arg-type]


def test_the_key_may_come_as_x_api_key(stack: Stack, client: Client) -> None:
    headers = {"Content-Type": "application/x-protobuf", "x-api-key": client.key}
    body = export({}).SerializeToString()
    assert httpx.post(f"{stack.url}/v1/traces", content=body, headers=headers).status_code == 200


def test_a_key_without_the_scope_is_forbidden(stack: Stack) -> None:
    answer = make_client(stack, "read").post("/v1/traces", export({}).SerializeToString())
    assert answer.status_code == 403
    assert b"insufficient_scope" in answer.content


def test_a_revoked_key_is_refused_at_once(client: Client) -> None:
    from features.keys import find_key
    from features.services import revoke_key

    body = export({}).SerializeToString()
    assert client.post("/v1/traces", body).status_code == 200
    key = find_key(client.key)
    assert key is not None
    revoke_key(key=key)
    assert client.post("/v1/traces", body).status_code == 401


def test_a_body_over_the_limit_is_refused(client: Client) -> None:
    assert client.post("/v1/traces", b"x" * (16 * 1024 * 1024 + 1)).status_code == 413


def test_a_body_that_unpacks_over_the_limit_is_refused(client: Client) -> None:
    bomb = gzip.compress(b"\0" * (65 * 1024 * 1024))
    assert client.post("/v1/traces", bomb, **{"Content-Encoding": "gzip"}).status_code == 413


def test_only_post_is_answered(stack: Stack, client: Client) -> None:
    assert httpx.get(f"{stack.url}/v1/traces", headers={"x-api-key": client.key}).status_code == 405


def test_a_span_of_another_body_under_a_known_id_is_kept_apart_whichever_came_first(
    stack: Stack, client: Client
) -> None:
    other = make_client(stack)
    request = export({"name": "first"})
    span = request.resource_spans[0].scope_spans[0].spans[0]
    first = request.SerializeToString()
    span.name = "second"
    second = request.SerializeToString()
    for agent, bodies in ((client, (first, second)), (other, (second, first))):
        for body in bodies:
            assert agent.post("/v1/traces", body).status_code == 200
        assert agent.stack.manage("settle", "--wait").returncode == 0
    found = [agent.trace(span.trace_id.hex()) for agent in (client, other)]
    assert found[0]["name"] == found[1]["name"]
    assert found[0]["name"] in {"first", "second"}
    assert [one["conflicts"] for one in found] == [[span.span_id.hex()]] * 2


def test_two_features_under_one_trace_id_keep_their_own_spans(stack: Stack, client: Client) -> None:
    other = make_client(stack)
    request = export({"name": "mine"})
    span = request.resource_spans[0].scope_spans[0].spans[0]
    assert client.post("/v1/traces", request.SerializeToString()).status_code == 200
    span.name = "theirs"
    assert other.post("/v1/traces", request.SerializeToString()).status_code == 200
    assert client.trace(span.trace_id.hex())["name"] == "mine"
    assert other.trace(span.trace_id.hex())["name"] == "theirs"
    assert client.trace(span.trace_id.hex())["conflicts"] == []


def test_another_features_trace_is_the_same_404_as_none(stack: Stack, client: Client) -> None:
    request = export({})
    trace_id = request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
    assert client.post("/v1/traces", request.SerializeToString()).status_code == 200
    client.trace(trace_id)
    other = make_client(stack)
    seen = other.get(f"/api/v1/traces/{trace_id}")
    absent = other.get(f"/api/v1/traces/{os.urandom(16).hex()}")
    assert seen.status_code == absent.status_code == 404
    assert seen.json() == absent.json()
    assert seen.headers["content-type"] == "application/problem+json"
