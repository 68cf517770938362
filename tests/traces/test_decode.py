"""Decoding is bounded and judges each item by itself; protobuf and JSON say the same."""

import contextlib
import gzip
import json
import zlib
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from traces.decode import (
    DecodeError,
    TooLarge,
    UnsupportedEncoding,
    UnsupportedMediaType,
    decode_logs,
    decode_traces,
    inflate,
)

PROTOBUF, JSON = "application/x-protobuf", "application/json"
SECOND = 10**9
WINDOW = {"earliest": 10 * SECOND, "latest": 1000 * SECOND}


@given(st.binary(max_size=5000), st.integers(0, 5000))
def test_inflating_gives_the_body_or_says_that_it_is_over_the_limit(body: bytes, limit: int) -> None:
    for encoding, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body)), (None, body)):
        if len(body) <= limit:
            assert inflate(packed, encoding, limit) == body
        else:
            with pytest.raises(TooLarge):
                inflate(packed, encoding, limit)


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_several_gzip_members_are_one_body(parts: list[bytes]) -> None:
    assert inflate(b"".join(map(gzip.compress, parts)), "gzip", 2000) == b"".join(parts)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_inflate_or_are_refused(body: bytes, encoding: str) -> None:
    with contextlib.suppress(DecodeError, TooLarge):
        assert len(inflate(body, encoding, 1000)) <= 1000


def test_a_bomb_of_many_members_is_stopped_at_the_limit() -> None:
    with pytest.raises(TooLarge):
        inflate(gzip.compress(bytes(500)) * 10_000, "gzip", 4096)


def test_a_cut_body_and_an_unknown_encoding_are_told_apart() -> None:
    with pytest.raises(DecodeError, match="ends early"):
        inflate(gzip.compress(b"x" * 99)[:-9], "gzip", 1000)
    with pytest.raises(UnsupportedEncoding):
        inflate(b"x", "br", 1000)


def any_values() -> st.SearchStrategy[dict[str, Any]]:
    """OTLP/JSON AnyValues, nested."""
    leaf: st.SearchStrategy[dict[str, Any]] = st.one_of(
        st.text(max_size=8).map(lambda value: {"stringValue": value}),
        st.booleans().map(lambda value: {"boolValue": value}),
        st.integers(-(2**63), 2**63 - 1).map(lambda value: {"intValue": str(value)}),
        st.floats(allow_nan=False, allow_infinity=False).map(lambda value: {"doubleValue": value}),
        st.just({}),
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda values: {"arrayValue": {"values": values}}),
            st.dictionaries(st.text(max_size=5), inner, max_size=3).map(
                lambda pairs: {"kvlistValue": {"values": [{"key": k, "value": v} for k, v in pairs.items()]}}
            ),
        ),
        max_leaves=8,
    )


def json_span(**changed: Any) -> dict[str, Any]:
    return {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "name": "chat",
        "startTimeUnixNano": str(20 * SECOND),
        "endTimeUnixNano": str(21 * SECOND),
        **changed,
    }


def json_request(*spans: Any) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"scope": {"name": "s"}, "spans": list(spans)}]}]}


def as_protobuf(request: dict[str, Any]) -> bytes:
    """The same request in protobuf, whose own JSON does not know hexadecimal IDs."""
    message = ExportTraceServiceRequest()
    from google.protobuf.json_format import ParseDict

    spans = [dict(span) for span in request["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    ids = [(span.pop("traceId"), span.pop("spanId")) for span in spans]
    ParseDict(json_request(*spans), message)
    for span, (trace_id, span_id) in zip(message.resource_spans[0].scope_spans[0].spans, ids, strict=True):
        span.trace_id, span.span_id = bytes.fromhex(trace_id), bytes.fromhex(span_id)
    return message.SerializeToString()


@given(st.dictionaries(st.text(max_size=6), any_values(), max_size=4))
def test_a_span_is_the_same_in_protobuf_and_in_json(attributes: dict[str, Any]) -> None:
    pairs = [{"key": key, "value": value} for key, value in attributes.items()]
    request = json_request(json_span(attributes=pairs, status={"code": 2, "message": "no"}))
    from_json = decode_traces(json.dumps(request).encode(), JSON, **WINDOW)
    from_protobuf = decode_traces(as_protobuf(request), PROTOBUF, **WINDOW)
    assert from_json == from_protobuf
    assert from_json.rejected == []
    assert set(from_json.items[0].attributes) == set(attributes)


UNUSABLE: dict[str, dict[str, Any]] = {
    "trace_id has 15 bytes": {"traceId": "01" * 15},
    "trace_id is all zeros": {"traceId": "00" * 16},
    "trace_id is not hexadecimal": {"traceId": "xyz"},
    "span_id has 0 bytes": {"spanId": ""},
    "parent_span_id has 3 bytes": {"parentSpanId": "010203"},
    "ends before it starts": {"endTimeUnixNano": str(19 * SECOND)},
    "older than retention": {"startTimeUnixNano": str(9 * SECOND)},
    "a day ahead": {"startTimeUnixNano": str(1001 * SECOND), "endTimeUnixNano": str(1002 * SECOND)},
    "no time": {"startTimeUnixNano": "soon"},
    "name is no string": {"name": 3},
}


@pytest.mark.parametrize("reason", UNUSABLE)
def test_an_unusable_span_says_why_and_costs_no_other(reason: str) -> None:
    request = json_request(json_span(), json_span(**UNUSABLE[reason]), json_span())
    decoded = decode_traces(json.dumps(request).encode(), JSON, **WINDOW)
    assert len(decoded.items) == 2
    assert len(decoded.rejected) == 1
    assert reason in decoded.rejected[0]


@given(st.binary(max_size=300))
def test_any_bytes_decode_or_are_refused(body: bytes) -> None:
    for media in (PROTOBUF, JSON):
        for decode in (
            lambda: decode_traces(body, media, **WINDOW),  # noqa: B023
            lambda: decode_logs(body, media, **WINDOW, received_at=20 * SECOND),  # noqa: B023
        ):
            with contextlib.suppress(DecodeError):
                decode()


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)
FIELDS = [
    "traceId",
    "spanId",
    "name",
    "startTimeUnixNano",
    "attributes",
    "events",
    "links",
    "status",
    "parentSpanId",
]


@given(st.sampled_from(FIELDS), junk)
def test_any_json_in_any_field_of_a_span_is_stored_rejected_or_refused(field: str, value: Any) -> None:
    body = json.dumps(json_request(json_span(**{field: value}))).encode()
    try:
        decoded = decode_traces(body, JSON, **WINDOW)
    except DecodeError:
        return
    assert len(decoded.items) + len(decoded.rejected) == 1


def test_deep_nesting_ends_in_a_mark_not_in_a_crash() -> None:
    value: dict[str, Any] = {"stringValue": "x"}
    for _ in range(200):
        value = {"arrayValue": {"values": [value]}}
    request = json_request(json_span(attributes=[{"key": "deep", "value": value}]))
    assert "too deep" in str(decode_traces(json.dumps(request).encode(), JSON, **WINDOW).items[0].attributes)
    nested = AnyValue(string_value="x")
    for _ in range(60):
        outer = AnyValue()
        outer.array_value.values.add().CopyFrom(nested)
        nested = outer
    message = ExportTraceServiceRequest.FromString(as_protobuf(json_request(json_span())))
    message.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="deep").value.CopyFrom(nested)
    with contextlib.suppress(DecodeError):
        decode_traces(message.SerializeToString(), PROTOBUF, **WINDOW)
    with pytest.raises(DecodeError):
        decode_traces(b"[" * 100_000, JSON, **WINDOW)


def test_a_log_is_the_same_in_protobuf_and_in_json_and_needs_a_trace() -> None:
    message = ExportLogsServiceRequest()
    records = message.resource_logs.add().scope_logs.add().log_records
    for trace_id in (b"\x01" * 16, b"", bytes(16)):
        record = records.add(trace_id=trace_id, span_id=b"\x02" * 8 if trace_id else b"")
        record.event_name = "gen_ai.user.message"
        record.body.kvlist_value.values.add(key="content").value.string_value = "hello"
    document = MessageToDict(message)
    for record, source in zip(
        document["resourceLogs"][0]["scopeLogs"][0]["logRecords"], records, strict=True
    ):
        record["traceId"], record["spanId"] = source.trace_id.hex(), source.span_id.hex()
    at = 20 * SECOND
    from_protobuf = decode_logs(message.SerializeToString(), PROTOBUF, **WINDOW, received_at=at)
    from_json = decode_logs(json.dumps(document).encode(), JSON + "; charset=utf-8", **WINDOW, received_at=at)
    assert from_protobuf == from_json
    assert len(from_json.items) == 1
    assert from_json.items[0].observed_at == at
    assert from_json.items[0].body == {"content": "hello"}
    assert from_json.rejected == ["the record has no trace_id"] * 2


def test_another_media_type_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        decode_traces(b"", "text/plain", **WINDOW)
