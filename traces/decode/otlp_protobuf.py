"""OTLP in protobuf. Field access only: `json_format` would be several times slower."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator

from google.protobuf.message import DecodeError as ProtobufError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from traces.decode.errors import DecodeError
from traces.vocabulary import Json, RawLog, RawSpan

_STATUS = {0: "unset", 1: "ok", 2: "error"}
DEPTH = 64
TOO_DEEP = "\u2026 [too deep]"


def payload(data: bytes) -> dict[str, Json]:
    """What is kept of bytes: their size and hash."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def finite(number: float) -> Json:
    """The number, or its name where JSON has no number for it."""
    return number if math.isfinite(number) else str(number)


def spans(body: bytes) -> Iterator[RawSpan | str]:
    """The spans of an ExportTraceServiceRequest. DecodeError when the bytes are none."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except ProtobufError as error:
        raise DecodeError("The body is no ExportTraceServiceRequest in protobuf.") from error
    for group in request.resource_spans:
        resource = _map(group.resource.attributes)
        for scoped in group.scope_spans:
            scope, version = scoped.scope.name, scoped.scope.version
            for span in scoped.spans:
                yield _span(span, scope, version, resource)


def logs(body: bytes, received_at: int) -> Iterator[RawLog | str]:
    """The records of an ExportLogsServiceRequest. DecodeError when the bytes are none."""
    try:
        request = ExportLogsServiceRequest.FromString(body)
    except ProtobufError as error:
        raise DecodeError("The body is no ExportLogsServiceRequest in protobuf.") from error
    for group in request.resource_logs:
        resource = _map(group.resource.attributes)
        for scoped in group.scope_logs:
            for record in scoped.log_records:
                yield _log(record, scoped.scope.name, resource, received_at)


def _span(span: OtlpSpan, scope: str, version: str, resource: dict[str, Json]) -> RawSpan:
    parent_span_id = span.parent_span_id
    # Most spans have neither a status nor events nor links: the fields are looked at once.
    status = span.status if span.HasField("status") else None
    return RawSpan(
        trace_id=span.trace_id,
        span_id=span.span_id,
        # Some exporters write "no parent" as eight zero bytes.
        parent_span_id=parent_span_id if any(parent_span_id) else None,
        name=span.name,
        started_at=span.start_time_unix_nano,
        ended_at=span.end_time_unix_nano,
        status=_STATUS.get(status.code, "unset") if status else "unset",  # type: ignore[arg-type]
        status_message=status.message if status else "",
        attributes=_map(span.attributes),
        events=[
            {"name": event.name, "time": event.time_unix_nano, "attributes": _map(event.attributes)}
            for event in span.events
        ],
        links=[
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "attributes": _map(link.attributes),
            }
            for link in span.links
        ],
        scope=scope,
        scope_version=version,
        resource=resource,
    )


def _log(record: LogRecord, scope: str, resource: dict[str, Json], received_at: int) -> RawLog:
    attributes = _map(record.attributes)
    named = attributes.get("event.name")
    return RawLog(
        trace_id=record.trace_id if any(record.trace_id) else b"",
        span_id=record.span_id if any(record.span_id) else None,
        event_name=record.event_name or (named if isinstance(named, str) else ""),
        time=record.time_unix_nano or None,
        observed_at=record.observed_time_unix_nano or record.time_unix_nano or received_at,
        body=_value(record.body, 0),
        attributes=attributes,
        scope=scope,
        resource=resource,
    )


def _map(pairs: Iterable[KeyValue], depth: int = 0) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for pair in pairs:
        value = pair.value
        # A text that says something is one: asking which field is set takes longer.
        found[pair.key] = value.string_value or _value(value, depth)
    return found


_PLAIN: dict[str, Callable[[AnyValue], Json]] = {
    "string_value": lambda value: value.string_value,
    "bool_value": lambda value: value.bool_value,
    "int_value": lambda value: value.int_value,
    "double_value": lambda value: finite(value.double_value),
    "bytes_value": lambda value: payload(value.bytes_value),
}


def _value(value: AnyValue, depth: int) -> Json:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    plain = _PLAIN.get(kind)
    if plain is not None:
        return plain(value)
    if depth >= DEPTH:
        return TOO_DEEP
    if kind == "array_value":
        return [_value(item, depth + 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _map(value.kvlist_value.values, depth + 1)
    return None
