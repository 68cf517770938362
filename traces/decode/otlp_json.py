"""OTLP in JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): IDs in hexadecimal, 64-bit
integers as strings or numbers, names in lowerCamelCase; names as in the protobuf files and enums by name are
taken too.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from traces.decode.errors import DecodeError
from traces.decode.otlp_protobuf import DEPTH, TOO_DEEP, finite, payload
from traces.vocabulary import Json, RawLog, RawSpan

_STATUS: dict[Any, Any] = {
    1: "ok",
    2: "error",
    "1": "ok",
    "2": "error",
    "STATUS_CODE_OK": "ok",
    "STATUS_CODE_ERROR": "error",
}
_MAX_64 = 2**64
_decode = msgspec.json.Decoder().decode


def spans(body: bytes) -> Iterator[RawSpan | str]:
    """The spans of an ExportTraceServiceRequest; a string is the reason why one is unusable. DecodeError."""
    for group in _list(_request(body), "resourceSpans"):
        resource = _map(_get(_object(group, "resource"), "attributes"))
        for scoped in _list(group, "scopeSpans"):
            scope = _object(scoped, "scope")
            for span in _list(scoped, "spans"):
                try:
                    yield _span(span, _text(scope, "name"), _text(scope, "version"), resource)
                except _Unusable as error:
                    yield str(error)


def logs(body: bytes, received_at: int) -> Iterator[RawLog | str]:
    """The records of an ExportLogsServiceRequest; a string is the reason why one is unusable. DecodeError."""
    for group in _list(_request(body), "resourceLogs"):
        resource = _map(_get(_object(group, "resource"), "attributes"))
        for scoped in _list(group, "scopeLogs"):
            scope = _text(_object(scoped, "scope"), "name")
            for record in _list(scoped, "logRecords"):
                try:
                    yield _log(record, scope, resource, received_at)
                except _Unusable as error:
                    yield str(error)


class _Unusable(ValueError):
    """One item cannot be stored, and why."""


def _request(body: bytes) -> dict[str, Json]:
    try:
        request = _decoded(body)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"The body is no JSON: {error}.") from error
    if not isinstance(request, dict):
        raise DecodeError("The body must be a JSON object.")
    return request


def _decoded(body: bytes) -> Json:
    """The body's JSON. What the strict decoder refuses is read again by the standard library's: it takes a lone
    surrogate, which then shows as what it is instead of costing a whole export.
    """
    try:
        return _decode(body)
    except msgspec.DecodeError:
        if b"\\u" not in body:
            raise
    return json.loads(body, parse_constant=_no_constant)


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON")


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _get(holder: dict[str, Json], name: str) -> Json:
    return holder[name] if name in holder else holder.get(_snake(name))


def _list(holder: dict[str, Json], name: str) -> list[dict[str, Json]]:
    found = _get(holder, name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise DecodeError(f"{name} must be a list of objects.")
    return found


def _object(holder: dict[str, Json], name: str) -> dict[str, Json]:
    found = _get(holder, name)
    if found is not None and not isinstance(found, dict):
        raise DecodeError(f"{name} must be an object.")
    return found or {}


def _text(holder: dict[str, Json], name: str) -> str:
    found = _get(holder, name)
    if found is not None and not isinstance(found, str):
        raise _Unusable(f"{name} is no string")
    return found or ""


def _id(holder: dict[str, Json], name: str) -> bytes:
    try:
        return bytes.fromhex(_text(holder, name))
    except ValueError:
        raise _Unusable(f"{_snake(name)} is not hexadecimal") from None


def _optional_id(holder: dict[str, Json], name: str) -> bytes | None:
    found = _id(holder, name)
    return found if any(found) else None


def _time(holder: dict[str, Json], name: str) -> int:
    found = _get(holder, name)
    try:
        # A plain int() would take "1_000", and "१" too.
        at = int(found) if isinstance(found, str) and found.isascii() and found.isdigit() else found
    except ValueError:
        at = None
    if at is None and found is None:
        return 0
    if isinstance(at, float) and at.is_integer():
        at = int(at)
    if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < _MAX_64:
        raise _Unusable(f"{_snake(name)} is no time in nanoseconds")
    return at


def _span(span: dict[str, Json], scope: str, version: str, resource: dict[str, Json]) -> RawSpan:
    status = _object(span, "status")
    code = _get(status, "code")
    return RawSpan(
        trace_id=_id(span, "traceId"),
        span_id=_id(span, "spanId"),
        parent_span_id=_optional_id(span, "parentSpanId"),
        name=_text(span, "name"),
        started_at=_time(span, "startTimeUnixNano"),
        ended_at=_time(span, "endTimeUnixNano"),
        status=_STATUS.get(code, "unset") if isinstance(code, int | str) else "unset",
        status_message=_text(status, "message"),
        attributes=_map(_get(span, "attributes")),
        events=[
            {
                "name": _text(event, "name"),
                "time": _time(event, "timeUnixNano"),
                "attributes": _map(_get(event, "attributes")),
            }
            for event in _list(span, "events")
        ],
        links=[
            {
                "trace_id": _id(link, "traceId").hex(),
                "span_id": _id(link, "spanId").hex(),
                "attributes": _map(_get(link, "attributes")),
            }
            for link in _list(span, "links")
        ],
        scope=scope,
        scope_version=version,
        resource=resource,
    )


def _log(record: dict[str, Json], scope: str, resource: dict[str, Json], received_at: int) -> RawLog:
    attributes = _map(_get(record, "attributes"))
    named = attributes.get("event.name")
    time = _time(record, "timeUnixNano") or None
    return RawLog(
        trace_id=_optional_id(record, "traceId") or b"",
        span_id=_optional_id(record, "spanId"),
        event_name=_text(record, "eventName") or (named if isinstance(named, str) else ""),
        time=time,
        observed_at=_time(record, "observedTimeUnixNano") or time or received_at,
        body=_value(_get(record, "body"), 0),
        attributes=attributes,
        scope=scope,
        resource=resource,
    )


def _map(pairs: Json, depth: int = 0) -> dict[str, Json]:
    if not isinstance(pairs, list):
        return {}
    return {
        pair["key"]: _value(_get(pair, "value"), depth)
        for pair in pairs
        if isinstance(pair, dict) and isinstance(pair.get("key"), str)
    }


def _value(value: Json, depth: int) -> Json:
    """A JSON AnyValue as plain Python; what is no AnyValue is kept as None, so that its span is not lost."""
    if not isinstance(value, dict):
        return None
    if depth >= DEPTH:
        return TOO_DEEP
    for kind, inner in value.items():
        if inner is None:
            continue
        match kind:
            case "stringValue" | "string_value":
                return inner if isinstance(inner, str) else None
            case "boolValue" | "bool_value":
                return inner if isinstance(inner, bool) else None
            case "intValue" | "int_value":
                return _integer(inner)
            case "doubleValue" | "double_value":
                return _double(inner)
            case "bytesValue" | "bytes_value":
                return _payload(inner)
            case "arrayValue" | "array_value":
                values = inner.get("values") if isinstance(inner, dict) else None
                return [_value(item, depth + 1) for item in values] if isinstance(values, list) else []
            case "kvlistValue" | "kvlist_value":
                return _map(inner.get("values") if isinstance(inner, dict) else None, depth + 1)
    return None


def _integer(inner: Json) -> Json:
    if isinstance(inner, str):
        try:
            return int(inner[:24])
        except ValueError:
            return inner
    return inner if isinstance(inner, int | float) and not isinstance(inner, bool) else None


def _double(inner: Json) -> Json:
    if isinstance(inner, str):  # "NaN", "Infinity", or a number in quotes
        try:
            return finite(float(inner))
        except ValueError:
            return inner
    return inner if isinstance(inner, int | float) and not isinstance(inner, bool) else None


def _payload(inner: Json) -> Json:
    if not isinstance(inner, str):
        return None
    try:
        return payload(
            base64.b64decode(
                inner + "=" * (-len(inner) % 4), altchars=b"-_" if "-" in inner or "_" in inner else None
            )
        )
    except (binascii.Error, ValueError):
        return payload(inner.encode("utf-8", "replace"))
