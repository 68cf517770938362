"""What a search line finds, in what order, how many, and what it says when it finds nothing."""

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from features.models import Feature
from tests.conftest import make_client
from tests.support import Client, Stack
from tests.traces.test_api import NS, send
from traces.search import execute
from traces.search.cursors import Order
from traces.search.searching import prepare, read_line, scope_of, search, total

ORDERS_WITH_VALUES: tuple[Order, ...] = ("newest", "slowest")


def words(text: str) -> dict[str, str]:
    """A model call's input, said as an attribute that every reader leaves alone."""
    return {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": text, "input.value": text}


TRACES: list[dict[str, Any]] = [
    {
        "name": "a",
        "task.outcome": "failed",
        "tools": [("refund", True)],
        "user.id": "cust-55",
        "session.id": "s-1",
        "seconds": 8.0,
        **words("The card declined for order A-4711 twice."),
    },
    {
        "name": "b",
        "task.outcome": "success",
        "tools": [("lookup order", False)],
        "clearance.variant": "canary",
        "clearance.segment.tier": "Gold",
        "clearance.feature_version": "2026-11",
        "tokens": 20_000,
        "seconds": 2.0,
        **words("card was not declined, order B-4712"),
    },
    {"name": "c", "error": True, "model": "gpt-4o-mini", "clearance.request_id": "req-8f3c", "seconds": 0.3},
]


@pytest.fixture(scope="module")
def scene(stack: Stack) -> Client:
    """Three traces that differ in everything a line can ask."""
    client = make_client(stack)
    send(client, *TRACES)
    return client


def names(client: Client, line: str, **params: str) -> str:
    answer = client.get("/api/v1/traces", q=line, **params)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["total"] == len(found["results"])
    return "".join(sorted(trace["name"] for trace in found["results"]))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("status:error", "c"),
        ("-status:error", "ab"),
        ("outcome:success OR status:error", "bc"),
        ("tool:refund", "a"),
        ('tool:"lookup order"', "b"),
        ("tool:LOOK*", "b"),
        ("tool:*", "ab"),
        ("tool:l*order", "b"),
        ("tool_error:refund", "a"),
        ("tool-error:*", "a"),
        ("has:tool_error", "a"),
        ("model:gpt-4*", "c"),
        ("model:gpt*mini", "c"),
        ("model:gpt*maxi", ""),
        ("latency:>5s", "a"),
        ("latency:1s..3s", "b"),
        ("-latency:>1s", "c"),
        ("latency:2s", "b"),
        ("tokens:>10k", "b"),
        ("tokens:<=110", "ac"),
        ("(tokens:>10k OR tool:refund) -status:error", "ab"),
        ("variant:canary", "b"),
        ("segment.tier:gold", "b"),
        ("version:2026-11", "b"),
        ("user:cust-55", "a"),
        ("session:s-1", "a"),
        ("name:b", "b"),
        ("card", "ab"),
        ("CARD", "ab"),
        ('"card declined"', "a"),
        ("declin*", "ab"),
        ("4711", "a"),
        ("A-4711", "a"),
        ("card -A-4711", "b"),
        ('~"-471"', "ab"),
        ('~"471" tool:refund', "a"),
        ('-~"471"', "c"),
        ('~"4711-A"', ""),
        ("unheard", ""),
        ("feature:none", ""),
        ("feature:*", "abc"),
        ("(card OR model:gpt-4*) -variant:canary", "ac"),
    ],
)
def test_a_line_finds_what_it_asks(scene: Client, line: str, found: str) -> None:
    assert names(scene, line) == found


def test_every_kind_of_id_opens_its_trace_whatever_the_time(scene: Client) -> None:
    trace = scene.get("/api/v1/traces", q="name:c").json()["results"][0]
    span_id = scene.trace(trace["trace_id"])["spans"][0]["span_id"]
    for identity in (trace["trace_id"], "req-8f3c", span_id):
        long_ago = {"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"}
        assert names(scene, identity, **long_ago) == "c", identity
    assert names(scene, "s-1", **long_ago) == "a"


def test_no_key_finds_what_another_feature_has(scene: Client, client: Client) -> None:
    for line in ("", "card", "tool:refund", "req-8f3c", f"feature:{scene.slug}", "-status:none", '~"471"'):
        answer = client.get("/api/v1/traces", q=line)
        if answer.status_code == 200:
            assert answer.json()["results"] == [], line


def test_an_error_of_the_line_says_where_it_is(scene: Client) -> None:
    answer = scene.get("/api/v1/traces", q="tool:refund outcome:sucess")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["position"] == len("tool:refund outcome:")
    assert "success" in answer.json()["errors"][0]["detail"]


def test_a_value_in_the_clear_is_refused_by_key_and_its_token_finds(client: Client) -> None:
    send(client, {"name": "p", "user.id": "jane.roe@example.com", **words("write to jane.roe@example.com")})
    trace = client.get("/api/v1/traces").json()["results"][0]
    token = trace["user_id"]
    assert token.startswith("[email:")
    refused = client.get("/api/v1/traces", q="mail jane.roe@example.com")
    assert refused.status_code == 400
    assert "jane" not in refused.text
    assert names(client, f'user:"{token}"') == "p"
    assert names(client, token) == "p"


def test_many_matches_are_paged_without_loss_in_every_order(client: Client) -> None:
    now = time.time_ns()
    send(
        client,
        *(
            {
                "start": now - (60 + n // 2) * NS - n % 5 * 86_400 * NS,
                "name": f"n{n}",
                "seconds": 1 + n % 7,
                **words("ping"),
            }
            for n in range(23)
        ),
    )
    feature = Feature.objects.get(slug=client.slug)
    for line in ("", "ping", "-pong", '~"ping"'):
        for order in ORDERS_WITH_VALUES:
            seen: list[tuple[Any, str]] = []
            cursor = None
            while True:
                page = search([feature], read_line(line), order=order, limit=4, cursor=cursor)
                seen += [
                    (one.started_at if order == "newest" else one.duration_ns, bytes(one.trace_id).hex())
                    for one in page.traces
                ]
                cursor = page.next
                if cursor is None:
                    break
            assert len(seen) == len(set(seen)) == 23, (line, order)
            assert seen == sorted(seen, reverse=True), (line, order)


def test_a_total_is_exact_up_to_a_bound_and_then_at_least(client: Client) -> None:
    send(client, *({"name": f"n{n}"} for n in range(6)))
    feature = Feature.objects.get(slug=client.slug)
    assert search([feature], None, limit=2).total.body == 6
    query, scope = prepare([feature], None), scope_of([feature], None, None)
    assert total(scope, query, up_to=4).body == {"at_least": 4}
    assert total(scope, query, up_to=6).body == 6


def test_a_search_by_characters_says_how_far_it_looked_and_goes_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns()
    send(client, *({"start": now - (60 + n) * NS, "name": f"n{n}", **words(f"x{n}y")} for n in range(9)))
    feature = Feature.objects.get(slug=client.slug)
    monkeypatch.setattr(execute, "SUBSTRING_ROWS", 4)
    found, cursor, looked = [], None, []
    for _ in range(4):
        page = search([feature], read_line('~"x7y"'), limit=2, cursor=cursor)
        assert page.looked is not None
        looked.append(page.looked.documents)
        found += [one.name for one in page.traces]
        cursor = page.next
        if cursor is None:
            break
    assert found == ["n7"]
    assert looked == [4, 4, 1]


def test_a_search_that_takes_too_long_is_given_up_with_a_word() -> None:
    with pytest.raises(execute.TooBroad, match="Narrow the time"), execute.bounded(20) as database:
        database.execute("SELECT pg_sleep(1)")


@pytest.mark.parametrize(
    "line", ["", "status:error", "tool:refund", "unheard", '"card declined"', "user:u -x"]
)
def test_no_hot_page_reads_a_partition_from_end_to_end(scene: Client, line: str) -> None:
    feature = Feature.objects.get(slug=scene.slug)
    scope = scope_of([feature], datetime.now(UTC) - timedelta(days=30), None)
    plans: list[str] = []

    def explained(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "search_document" in sql and not sql.startswith("EXPLAIN"):
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {sql}", params)
                plans.append("\n".join(row[0] for row in cursor.fetchall()))
        return run(sql, params, many, context)

    with connection.execute_wrapper(explained):
        execute.find(scope, prepare([feature], read_line(line)), "newest", 50, None)
        execute.count(scope, prepare([feature], read_line(line)))
    assert plans
    for plan in plans:
        assert "Seq Scan" not in plan, plan


def test_random_ids_are_unknown(scene: Client) -> None:
    found = scene.get("/api/v1/traces", q=os.urandom(16).hex()).json()
    assert (found["results"], found["total"]) == ([], 0)
