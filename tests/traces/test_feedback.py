"""Feedback: facts of a request that count once, whatever came first, and whoever says them."""

import json
import secrets
import threading
from typing import Any

import httpx
import pytest
from django.db import connection

from features.models import Feature
from features.services import create_person
from tests.conftest import make_client
from tests.support import Browser, Client, Stack, unique
from tests.traces.settled import found_by, new_feature, new_span, new_trace_id, settle, store, trace_row
from traces.feedback import Said, give_feedback, read_feedback
from traces.models import FactRow, RequestFact
from traces.terms import term
from traces.vocabulary import Claims


def post(client: Client, identity: str, body: Any) -> httpx.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(f"/api/v1/traces/{identity}/feedback", raw, "application/json")


def feature_of(client: Client) -> Feature:
    return Feature.objects.get(slug=client.slug)


def outcome(feature: Feature, trace_id: bytes) -> tuple[str, str]:
    settle(feature)
    row = trace_row(feature, trace_id)
    return row["outcome"], row["outcome_source"]


def test_feedback_by_trace_id_counts_before_and_after_the_trace_comes(client: Client) -> None:
    feature, trace_id = feature_of(client), new_trace_id()
    answer = post(client, trace_id.hex(), {"outcome": "success", "source": "desk"})
    assert answer.status_code == 200, answer.text
    store(feature, new_span(trace_id))
    assert outcome(feature, trace_id) == ("success", "feedback:desk")
    late = post(
        client, trace_id.hex(), {"violation": "no-promises", "rating": 2, "comment": "rude", "source": "qa"}
    )
    assert late.status_code == 200
    settle(feature)
    row = trace_row(feature, trace_id)
    assert (row["violations"], row["violated_rules"]) == (1, ["no-promises"])
    for flag in ("feedback", "rating", "violation"):
        assert found_by(feature, f"'{term('has', flag)}'") == 1
    assert found_by(feature, "'rude'") == 1


def test_feedback_by_request_id_counts_before_and_after_the_trace_comes(client: Client) -> None:
    feature, early, late = feature_of(client), new_trace_id(), new_trace_id()
    request_id = f"req-{secrets.token_hex(6)}"
    store(feature, new_span(early, claims=Claims(request_id=request_id)))
    settle(feature)
    answer = post(client, request_id, {"outcome": "failed", "source": "desk"})
    assert answer.json()["traces"] == [early.hex()]
    assert outcome(feature, early) == ("failed", "feedback:desk")
    store(feature, new_span(late, claims=Claims(request_id=request_id)))
    assert outcome(feature, late) == ("failed", "feedback:desk")


def test_a_request_id_that_looks_like_a_trace_id_finds_its_request(client: Client) -> None:
    feature, trace_id, request_id = feature_of(client), new_trace_id(), secrets.token_hex(16)
    assert post(client, request_id, {"escalated": True, "source": "desk"}).status_code == 200
    store(feature, new_span(trace_id, claims=Claims(request_id=request_id)))
    assert outcome(feature, trace_id)[0] == "escalated"


def test_the_same_feedback_twice_counts_once(client: Client) -> None:
    trace_id = new_trace_id().hex()
    for identity in (trace_id, "R-1"):
        body = {"violation": {"rule": "tone", "span_id": "AB" * 8, "detail": "shouted"}, "source": "qa"}
        assert post(client, identity, body).json()["new"] == 1
        assert post(client, identity, body).json()["new"] == 0
    feature = feature_of(client)
    assert FactRow.objects.filter(feature=feature).count() == 1
    assert RequestFact.objects.filter(feature=feature, request_id="R-1").count() == 1


def test_the_newest_outcome_wins_by_the_time_that_is_given(client: Client) -> None:
    feature, trace_id = feature_of(client), new_trace_id()
    store(feature, new_span(trace_id))
    newer = {"outcome": "success", "source": "a", "at": "2026-02-02T00:00:00Z"}
    older = {"outcome": "failed", "source": "a", "at": "2026-01-01T00:00:00Z"}
    for body in (newer, older, newer):
        assert post(client, trace_id.hex(), body).status_code == 200
    assert outcome(feature, trace_id) == ("success", "feedback:a")


def test_feedback_is_redacted_before_it_is_stored(client: Client) -> None:
    trace_id = new_trace_id().hex()
    body = {
        "comment": "call anna@example.com",
        "violation": {"rule": "leak", "detail": "card 4111 1111 1111 1111"},
        "rating": 4111111111111111,
        "source": "bob@example.com",
    }
    assert post(client, trace_id, body).status_code == 200
    kept = json.dumps([[row.source, row.value] for row in FactRow.objects.filter(feature=feature_of(client))])
    assert "example.com" not in kept
    assert "1111" not in kept
    assert "[email:" in kept
    assert "[card:" in kept


def test_a_request_id_is_looked_up_as_redaction_spells_it(client: Client) -> None:
    feature, trace_id = feature_of(client), new_trace_id()
    assert post(client, "for-anna@example.com", {"outcome": "failed", "source": "x"}).status_code == 200
    kept = RequestFact.objects.get(feature=feature).request_id
    assert "anna" not in kept
    store(feature, new_span(trace_id, claims=Claims(request_id=kept)))
    assert outcome(feature, trace_id)[0] == "failed"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"outcome": "wonderful", "source": "x"}, "outcome"),
        ({"escalated": "yes", "source": "x"}, "escalated"),
        ({"rating": True, "source": "x"}, "rating"),
        ({"rating": [1], "source": "x"}, "rating"),
        ({"comment": 7, "source": "x"}, "comment"),
        ({"comment": "x" * 5000, "source": "x"}, "comment"),
        ({"violation": {"span_id": "ab" * 8}, "source": "x"}, "violation.rule"),
        ({"violation": {"rule": "r", "span_id": "nonsense"}, "source": "x"}, "violation.span_id"),
        ({"violation": ["r"], "source": "x"}, "violation"),
        ({"outcome": "failed"}, "source"),
        ({"outcome": "failed", "source": 3}, "source"),
        ({"outcome": "failed", "source": "x", "at": "yesterday"}, "at"),
        ({"outcome": "failed", "source": "x", "at": "2999-01-01T00:00:00Z"}, "at"),
        ({"outcomes": "failed", "source": "x"}, "outcomes"),
        ({"source": "x"}, ""),
        ([], ""),
    ],
)
def test_a_wrong_field_is_named(client: Client, body: Any, field: str) -> None:
    answer = post(client, "R-9", body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert not RequestFact.objects.filter(feature=feature_of(client)).exists()


@pytest.mark.parametrize(
    "body",
    [
        b'{"source": "x", "source": "y", "outcome": "failed"}',
        b'{"source": "x", "rating": 9007199254740993}',
        b'{"source": "x", "rating": 0.1000000000000000000001}',
        b'{"source": "x", "rating": 1e400}',
        b'{"source": "x", "comment": "\\ud800"}',
        b'{"source": "x", "comment": ' + b"[" * 65 + b"]" * 65 + b"}",
    ],
)
def test_json_of_two_meanings_is_422(client: Client, body: bytes) -> None:
    answer = post(client, "R-9", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "not_canonical")


def test_what_is_no_json_or_too_much_is_refused(client: Client) -> None:
    broken = post(client, "R-9", b'{"source": ')
    assert broken.status_code == 400
    assert broken.json()["errors"][0]["position"] == 11
    assert post(client, "R-9", b'{"rating": NaN, "source": "x"}').status_code == 400
    assert post(client, "R-9", b'{"comment": "' + b"x" * 70_000 + b'"}').status_code == 413
    assert client.post("/api/v1/traces/R-9/feedback", b"a=b", "text/plain").status_code == 415


def test_it_needs_the_scope_and_stays_in_the_feature(stack: Stack, client: Client) -> None:
    body = {"outcome": "failed", "source": "x"}
    assert post(make_client(stack, "ingest", "read"), "R-1", body).json()["code"] == "insufficient_scope"
    feature, trace_id = feature_of(client), new_trace_id()
    store(feature, new_span(trace_id))
    other = make_client(stack, "evaluate")
    assert post(other, trace_id.hex(), body).status_code == 200
    assert outcome(feature, trace_id) == ("unknown", "none")


def test_the_trace_page_shows_what_was_said_and_by_whom_as_text(stack: Stack, client: Client) -> None:
    feature, trace_id = feature_of(client), new_trace_id()
    store(feature, new_span(trace_id, claims=Claims(request_id="R-5")))
    settle(feature)
    hostile = "<script>alert(1)</script> \u202egnp.exe"
    assert post(client, "R-5", {"comment": hostile, "rating": 3, "source": "<b>desk</b>"}).status_code == 200
    settle(feature)
    viewer, _ = create_person(name=unique("viewer"), roles=[(feature.slug, "viewer")])
    page = Browser(stack, viewer).get(f"/features/{feature.slug}/traces/{trace_id.hex()}/").text
    assert "Said of it" in page
    assert "of the request" in page
    assert "&lt;b&gt;desk&lt;/b&gt;" in page
    assert "<script>alert" not in page
    assert "\u202e" not in page


def test_feedback_and_traces_that_race_always_meet() -> None:
    feature = new_feature()
    requests = [f"race-{n}-{secrets.token_hex(3)}" for n in range(40)]
    ids = [new_trace_id() for _ in requests]
    said = Said("desk", (("outcome", "failed"),), None)

    def tell() -> None:
        for request_id in requests:
            give_feedback(feature, request_id, said)
        connection.close()

    teller = threading.Thread(target=tell)
    teller.start()
    for request_id, trace_id in zip(requests, ids, strict=True):
        store(feature, new_span(trace_id, claims=Claims(request_id=request_id)))
        settle(feature)
    teller.join()
    settle(feature)
    assert [trace_row(feature, trace_id)["outcome"] for trace_id in ids] == ["failed"] * len(ids)


def test_a_null_is_a_field_left_out() -> None:
    said = read_feedback({"outcome": None, "rating": 1.5, "source": "x"})
    assert said.facts == (("rating", 1.5),)
