"""Settling writes everything that is read of a trace in one transaction, and no trace holds up another."""

import threading
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from features.models import Feature
from tests.traces.settled import (
    NS,
    dirty_minutes,
    document_rows,
    found_by,
    new_feature,
    new_span,
    new_trace_id,
    settle,
    store,
    trace_row,
)
from traces.models import DirtyTrace
from traces.services import settle_dirty
from traces.settling.inputs import Before
from traces.settling.rows import Settled, write
from traces.settling.turn import write_all
from traces.store import day_of, time_of
from traces.summarise import Rules, SearchText, read, search_text, summary_of
from traces.terms import term
from traces.vocabulary import Content, Document, Message, Part, Usage


def says(role: Any, text: str) -> Message:
    return Message(role=role, parts=[Part(type="text", text=text)])


def lexeme(key: str, value: str) -> str:
    return "'" + term(key, value).replace("\\", "\\\\").replace("'", "''") + "'"


def test_a_settled_trace_is_found_by_its_words_and_by_what_it_is() -> None:
    feature, trace_id = new_feature(), new_trace_id()
    chat = new_span(
        trace_id,
        2,
        kind="llm",
        calls_model=True,
        model_answered="gpt-4o-2024-08-06",
        usage=Usage(input=100, output=10),
        content=Content(
            input=[says("system", "Be kind to everyone."), says("user", "Where is my parcel?")],
            output=[says("assistant", "It is in Bern.")],
        ),
        attributes={"tenant.region": "eu-west", "long": "x" * 300},
    )
    run = new_span(
        trace_id,
        3,
        kind="tool",
        tool_name="Refund",
        status="error",
        status_message="card declined for order 4711",
        content=Content(arguments={"order_id": "A-77", "notes": ["first\nsecond"]}),
    )
    looked = new_span(
        trace_id,
        4,
        kind="retriever",
        content=Content(documents=[Document(id="KB-12", content="Parcels travel")]),
    )
    store(feature, new_span(trace_id), chat, run, looked)
    settle(feature)
    for query in (
        "'parcel'",
        "'in' <-> 'bern'",
        "'declined'",
        "'second'",
        "'travel'",
        lexeme("tool", "refund"),
        lexeme("tool_error", "refund"),
        lexeme("model", "gpt-4o") + ":*",
        lexeme("status", "ok"),
        lexeme("outcome", "unknown"),
        lexeme("doc", "kb-12"),
        lexeme("has", "tool_error"),
        lexeme("attr.tenant.region", "eu-west"),
        lexeme("span", chat.span_id.hex()),
        lexeme("error", "Refund: card declined for order #"),
        lexeme("missing", "final_output") + " | " + lexeme("name", "span 1"),
    ):
        assert found_by(feature, query) == 1, query
    assert found_by(feature, lexeme("tool", "refun")) == 0
    assert found_by(feature, "'=tool'") == 0
    row = trace_row(feature, trace_id)
    assert row["error_signature"] == "Refund: card declined for order #"
    assert (row["context_tokens"], row["budgeted_calls"], row["unknown_cost_calls"]) == (100, 0, 0)
    assert Decimal(row["cost_usd"]) == Decimal("0.00035")


def test_what_is_carried_from_call_to_call_stands_once() -> None:
    feature, trace_id = new_feature(), new_trace_id()
    history = [says("system", "You are the clerk of Zanzibar.")]
    calls = []
    for n in range(2, 8):
        history = [*history, says("user", f"Question number {n}")]
        calls.append(
            new_span(
                trace_id,
                n,
                kind="llm",
                calls_model=True,
                content=Content(
                    input=list(history),
                    input_text='{"messages": [{"role": "system", "content": "You are the clerk of Zanzibar."}]}',
                ),
            )
        )
    store(feature, new_span(trace_id), *calls)
    settle(feature)
    (found,) = document_rows(feature, trace_id)
    assert found["document"].count("Zanzibar") == 1
    assert found["document"].count("Question number 2") == 1


def test_a_trace_whose_start_moves_to_another_day_leaves_no_stale_document() -> None:
    feature, trace_id = new_feature(), new_trace_id()
    first = new_span(trace_id, 2)
    store(feature, first)
    settle(feature)
    earlier = new_span(trace_id, 1, started_at=first.started_at - 2 * 86_400 * NS)
    store(feature, earlier)
    settle(feature)
    (found,) = document_rows(feature, trace_id)
    assert found["day"] == day_of(earlier.started_at).isoformat()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM search_document WHERE trace_id = %s", [trace_id])
        assert cursor.fetchone()[0] == 1


def made(feature: Feature, trace_id: bytes, document: str, name: str = "agent") -> Settled:
    reading = read([new_span(trace_id, name=name)], [])
    summary = summary_of(reading, [], Rules())
    text = search_text(reading, [], summary)
    return Settled((trace_id, feature.pk), summary, SearchText(document, text.lexemes), None)


def test_a_trace_that_the_database_refuses_stops_no_other() -> None:
    feature, large, hostile, plain = new_feature(), new_trace_id(), new_trace_id(), new_trace_id()
    words = " ".join(f"word{n}" for n in range(200_000))  # more than a tsvector can hold
    with transaction.atomic(), connection.cursor() as cursor:
        refused = write_all(
            cursor,
            [made(feature, large, words), made(feature, hostile, "", "a\x00b"), made(feature, plain, "well")],
        )
    assert refused == [(hostile, feature.pk)]
    assert found_by(feature, "'well'") == 1
    assert found_by(feature, "'word7'") == 1
    assert trace_row(feature, large)["name"] == "agent"


def test_the_largest_document_is_indexed_whole() -> None:
    feature, trace_id = new_feature(), new_trace_id()
    text = " ".join(f"{n:x}.{n * 7:x}/{n * 3:x}-{n:b}" for n in range(40_000))
    texts = [text[at : at + 60_000] for at in range(0, len(text), 60_000)]
    spans = [
        new_span(trace_id, n, kind="llm", calls_model=True, content=Content(input=[says("user", text)]))
        for n, text in enumerate(texts, 2)
    ]
    store(feature, new_span(trace_id), *spans)
    settle(feature)
    (found,) = document_rows(feature, trace_id)
    assert 250 * 1024 < len(found["document"].encode()) <= 256 * 1024
    assert not DirtyTrace.objects.filter(feature=feature).exists()


def test_two_workers_settle_each_trace_and_leave_none() -> None:
    feature = new_feature()
    ids = [new_trace_id() for _ in range(60)]
    for trace_id in ids:
        store(feature, new_span(trace_id), new_span(trace_id, 2))
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            settle_dirty(7)
        connection.close()

    def send_again() -> None:
        for trace_id in ids:
            store(feature, new_span(trace_id, 3))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    sender = threading.Thread(target=send_again)
    for thread in [*threads, sender]:
        thread.start()
    sender.join()
    stop.set()
    for thread in threads:
        thread.join()
    settle(feature)
    assert [trace_row(feature, trace_id)["span_count"] for trace_id in ids] == [3] * len(ids)


def test_the_minutes_of_the_old_and_of_the_new_start_are_marked() -> None:
    feature, trace_id = new_feature(), new_trace_id()
    span = new_span(trace_id)
    reading = read([span], [])
    summary = summary_of(reading, [], Rules())
    at = time_of(span.started_at).replace(second=0, microsecond=0)
    before = Before(at - timedelta(minutes=5), None)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            write(
                cursor, [Settled((trace_id, feature.pk), summary, search_text(reading, [], summary), before)]
            )
            marked = dirty_minutes(feature)
            raise InterruptedError  # before anyone adds them up
    except InterruptedError:
        pass
    assert [minute.astimezone(UTC) for minute in marked] == [at - timedelta(minutes=5), at]
