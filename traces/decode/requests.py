"""Decode an export request, protobuf or JSON, into raw spans or log records, each judged by itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from traces.decode import otlp_json, otlp_protobuf
from traces.decode.errors import UnsupportedMediaType
from traces.vocabulary import RawLog, RawSpan

T = TypeVar("T", RawSpan, RawLog)
_DAY = 86_400 * 10**9


@dataclass(slots=True)
class Decoded(Generic[T]):
    """What a request holds: the usable items, and for each other one the reason why it is not."""

    items: list[T] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)


def decode_traces(body: bytes, content_type: str, *, earliest: int, latest: int) -> Decoded[RawSpan]:
    """The spans of an ExportTraceServiceRequest that started between `earliest` and `latest` (nanoseconds).

    Raises DecodeError, UnsupportedMediaType.
    """
    decoded: Decoded[RawSpan] = Decoded()
    for span in _spans(body, content_type):
        reason = span if isinstance(span, str) else _span_trouble(span, earliest, latest)
        if reason:
            decoded.rejected.append(reason)
        elif isinstance(span, RawSpan):
            decoded.items.append(span)
    return decoded


def decode_logs(
    body: bytes, content_type: str, *, earliest: int, latest: int, received_at: int
) -> Decoded[RawLog]:
    """The records of an ExportLogsServiceRequest that belong to a trace.

    Raises DecodeError, UnsupportedMediaType. A record without times gets `received_at` (nanoseconds).
    """
    decoded: Decoded[RawLog] = Decoded()
    for record in _logs(body, content_type, received_at):
        reason = record if isinstance(record, str) else _log_trouble(record, earliest, latest)
        if reason:
            decoded.rejected.append(reason)
        elif isinstance(record, RawLog):
            decoded.items.append(record)
    return decoded


def _media(content_type: str) -> str:
    media = content_type.partition(";")[0].strip().lower()
    if media not in {"application/x-protobuf", "application/json"}:
        raise UnsupportedMediaType("The content type must be application/x-protobuf or application/json.")
    return media


def _spans(body: bytes, content_type: str) -> Iterator[RawSpan | str]:
    return otlp_json.spans(body) if _media(content_type) == "application/json" else otlp_protobuf.spans(body)


def _logs(body: bytes, content_type: str, received_at: int) -> Iterator[RawLog | str]:
    if _media(content_type) == "application/json":
        return otlp_json.logs(body, received_at)
    return otlp_protobuf.logs(body, received_at)


def _id_trouble(name: str, value: bytes, size: int) -> str | None:
    if len(value) != size:
        return f"{name} has {len(value)} bytes, {size} needed"
    return f"{name} is all zeros" if not any(value) else None


def _time_trouble(name: str, at: int, earliest: int, latest: int) -> str | None:
    if at < earliest:
        return f"{name} is older than retention ({(latest - _DAY - earliest) // _DAY} days)"
    return f"{name} is more than a day ahead" if at > latest else None


def _span_trouble(span: RawSpan, earliest: int, latest: int) -> str | None:
    """Why a span cannot be stored; None: it can."""
    return (
        _id_trouble("trace_id", span.trace_id, 16)
        or _id_trouble("span_id", span.span_id, 8)
        or (_id_trouble("parent_span_id", span.parent_span_id, 8) if span.parent_span_id else None)
        or ("the span ends before it starts" if span.ended_at < span.started_at else None)
        or _time_trouble("the start", span.started_at, earliest, latest)
        # Durations are stored in 64 bits; no real span ends years from now.
        or _time_trouble("the end", span.ended_at, earliest, latest + 365 * _DAY)
    )


def _log_trouble(record: RawLog, earliest: int, latest: int) -> str | None:
    return (
        ("the record has no trace_id" if not record.trace_id else None)
        or _id_trouble("trace_id", record.trace_id, 16)
        or (_id_trouble("span_id", record.span_id, 8) if record.span_id else None)
        or _time_trouble("the observed time", record.observed_at, earliest, latest)
    )
