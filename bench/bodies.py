"""Export bodies as an SDK sends them: agents' traces of six spans of about 1.3 kB, 510 spans a body. One in six
spans can hold personal data.
"""

import json
import os
import random
import time
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SPANS_A_BODY = 510
_SPANS_A_TRACE = 6
_NS = 10**9
_WORDS = (
    "order refund customer invoice shipped delayed charged twice please check the status of my last payment "
    "policy approval amount dollars carrier address received damaged replacement account plan cancel renew"
).split()


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(_WORDS, k=words))


def set_attributes(span: Span, **attributes: str | int) -> None:
    for name, value in attributes.items():
        pair = span.attributes.add(key=name.replace("__", "."))
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value


def _message(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def make_bodies(count: int, seed: int = 7, *, personal: bool = False) -> list[bytes]:
    """`count` ExportTraceServiceRequests in protobuf with fresh IDs, all within the last minutes; with `personal`,
    a customer's address and telephone number in one of six spans.
    """
    chance = random.Random(seed)
    return [_body(chance, personal=personal) for _ in range(count)]


def renewed(body: bytes) -> bytes:
    """The same body with other IDs, started now: what never sends anything twice."""
    request = ExportTraceServiceRequest.FromString(body)
    now = time.time_ns()
    ids: dict[bytes, bytes] = {b"": b""}
    for group in request.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                span.trace_id = ids.setdefault(span.trace_id, os.urandom(16))
                span.span_id = ids.setdefault(span.span_id, os.urandom(8))
                span.parent_span_id = ids[span.parent_span_id]
                lasts = span.end_time_unix_nano - span.start_time_unix_nano
                span.start_time_unix_nano, span.end_time_unix_nano = now - lasts, now
    return request.SerializeToString()


def _customer(chance: random.Random) -> str:
    number = chance.randrange(10**6)
    return f"customer{number}@mail.example, +1 202 555 01{number % 100:02d}"


def make_trace(size: int, seed: int = 7) -> tuple[bytes, bytes]:
    """(trace ID, ExportTraceServiceRequest in protobuf) of one agent's trace with so many spans."""
    request, spans = _request()
    trace_id = os.urandom(16)
    _trace(spans, random.Random(seed), trace_id, time.time_ns() - (size // 2 + 60) * _NS, size=size)
    return trace_id, request.SerializeToString()


def _request() -> tuple[ExportTraceServiceRequest, Any]:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    service = group.resource.attributes.add(key="service.name")
    service.value.string_value = "billing"
    return request, group.scope_spans.add().spans


def _body(chance: random.Random, *, personal: bool) -> bytes:
    request, spans = _request()
    now = time.time_ns() - 600 * _NS
    while len(spans) < SPANS_A_BODY:
        _trace(spans, chance, os.urandom(16), now + chance.randrange(300 * _NS), personal=personal)
    return request.SerializeToString()


def _trace(
    spans: Any,
    chance: random.Random,
    trace_id: bytes,
    start: int,
    *,
    size: int = _SPANS_A_TRACE,
    personal: bool = False,
) -> None:
    root = spans.add(
        trace_id=trace_id,
        span_id=os.urandom(8),
        name="invoke_agent billing",
        start_time_unix_nano=start,
        end_time_unix_nano=start + max(4, size // 2) * _NS,
    )
    set_attributes(root, gen_ai__operation__name="invoke_agent", session__id=f"s-{chance.randrange(999)}")
    for n in range(size - 1):
        span = spans.add(
            trace_id=trace_id,
            span_id=os.urandom(8),
            parent_span_id=root.span_id,
            start_time_unix_nano=start + n * _NS // 2,
            end_time_unix_nano=start + (n + 1) * _NS // 2,
        )
        who = _customer(chance) if personal and n == 2 else ""
        if n % 2:
            span.name = "execute_tool lookup_order"
            set_attributes(
                span,
                gen_ai__operation__name="execute_tool",
                gen_ai__tool__name="lookup_order",
                gen_ai__tool__call__arguments=json.dumps({"order_id": f"A-{chance.randrange(9999)}"}),
                gen_ai__tool__call__result=json.dumps({"note": _text(chance, 100)}),
            )
        else:
            span.name = "chat gpt-4o"
            set_attributes(
                span,
                gen_ai__operation__name="chat",
                gen_ai__request__model="gpt-4o",
                gen_ai__response__model="gpt-4o-2024-08-06",
                gen_ai__usage__input_tokens=chance.randrange(2000),
                gen_ai__usage__output_tokens=chance.randrange(200),
                gen_ai__system_instructions=json.dumps([{"type": "text", "content": _text(chance, 40)}]),
                gen_ai__input__messages=_message("user", f"{who} {_text(chance, 90)}".strip()),
                gen_ai__output__messages=_message("assistant", _text(chance, 40)),
            )
