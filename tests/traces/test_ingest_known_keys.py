"""What is sent again, with or without what is new, and in whatever order over days, is stored once and nothing is
lost.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import connection
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support import Client
from tests.traces.test_ingest_answers import DAY, NS, export
from tests.traces.test_ingest_durability import stored


def joined(*requests: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    whole = ExportTraceServiceRequest()
    for request in requests:
        whole.MergeFrom(request)
    return whole


def ids(request: ExportTraceServiceRequest) -> set[str]:
    return {
        span.span_id.hex()
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    }


def send(client: Client, request: ExportTraceServiceRequest | ExportLogsServiceRequest) -> None:
    path = "/v1/traces" if isinstance(request, ExportTraceServiceRequest) else "/v1/logs"
    answer = client.post(path, request.SerializeToString())
    assert (answer.status_code, answer.content) == (200, b"")


def test_known_and_new_spans_in_one_body_are_each_there_once(client: Client) -> None:
    known, new = export({}, {}), export({}, {}, {})
    send(client, known)
    send(client, joined(new, known))
    found = stored(client.slug)
    assert set(found) == ids(known) | ids(new)
    assert set(found.values()) == {1}


def test_a_span_that_stands_twice_in_a_body_is_stored_once(client: Client) -> None:
    request = export({}, {})
    send(client, joined(request, request))
    found = stored(client.slug)
    assert set(found) == ids(request)
    assert set(found.values()) == {1}


def test_two_bodies_under_one_id_in_one_export_are_kept_apart(client: Client) -> None:
    one = export({"name": "one"})
    other = ExportTraceServiceRequest()
    other.CopyFrom(one)
    span = other.resource_spans[0].scope_spans[0].spans[0]
    span.name = "other"
    send(client, joined(one, other))
    found = client.trace(span.trace_id.hex())
    assert found["span_count"] == 1
    assert found["conflicts"] == [span.span_id.hex()]


def test_racing_exports_that_share_spans_lose_none(client: Client) -> None:
    shared = export(*({} for _ in range(40)))
    own = [export(*({} for _ in range(40))) for _ in range(12)]
    bodies = [joined(*((one, shared) if n % 2 else (shared, one))) for n, one in enumerate(own)]

    def until_taken(request: ExportTraceServiceRequest) -> None:
        for _ in range(40):
            answer = client.post("/v1/traces", request.SerializeToString())
            if answer.status_code == 200:
                return
            assert answer.status_code in {429, 503}
            time.sleep(float(answer.headers["retry-after"]))
        raise AssertionError("never taken")

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(until_taken, bodies))
    found = stored(client.slug)
    assert set(found) == ids(joined(shared, *own))
    assert set(found.values()) == {1}


def a_log(trace_id: bytes, span_id: bytes, at: int, text: str) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.trace_id, record.span_id = trace_id, span_id
    record.event_name = "gen_ai.user.message"
    record.observed_time_unix_nano = at
    record.body.kvlist_value.values.add(key="content").value.string_value = text
    return request


def log_events(trace_id: bytes) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM log_event WHERE trace_id = %s", [trace_id])
        count = int(cursor.fetchone()[0])
    connection.close()
    return count


def test_logs_and_spans_days_apart_and_out_of_order_meet_in_their_trace(client: Client) -> None:
    trace_id, now = os.urandom(16), time.time_ns()
    call = export(
        {
            "trace_id": trace_id,
            "name": "chat",
            "start_time_unix_nano": now - 40 * DAY,
            "end_time_unix_nano": now - 40 * DAY + NS,
        }
    )
    span = call.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
    span.attributes.add(key="gen_ai.response.model").value.string_value = "m"
    late = export({"trace_id": trace_id, "parent_span_id": span.span_id, "name": "tidy up"})
    # Two days before its span, half a day ahead, and the same again.
    for at in (now - 42 * DAY, now + DAY // 2, now - 42 * DAY):
        send(client, a_log(trace_id, span.span_id, at, f"asked at {at}"))
    send(client, late)
    send(client, call)
    assert log_events(trace_id) == 2
    until = time.monotonic() + 30
    while (found := client.trace(trace_id.hex()))["span_count"] < 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert found["span_count"] == 2
    assert found["completeness"]["prompt"] == "present"
