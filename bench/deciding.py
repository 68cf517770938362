"""Approvals: what a decision costs beside an empty call, races for grants, the kill switch under load, and the inbox
with few and with many requests.
"""

import http.client
import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from statistics import median
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from django.db import connection

from approvals.models import ApprovalRequest, Decision, Execution
from approvals.proposal import Proposal
from approvals.services import Ask, decide
from audit.queries import Seen, Wanted, search
from bench.racing import run, set_up
from features.models import ApiKey, Feature, FeatureRole, Person
from features.services import create_feature, create_key, create_person, give_role
from tests.approvals.support import apply
from tests.support import Browser, Stack

__all__ = ["report"]

Answer = TypeVar("Answer")
_CALLS = 300
_GRANTS = 1_000
_PROCESSES = 4
_CLIENTS = 8


def report(stack: Stack, say: Callable[[str], object]) -> str:
    """The figures in Markdown. `RACES` executes race (default 20,000), `KILLS` kills are measured (default 10)."""
    parts = [_calls(stack)]
    say("measured calls")
    parts.append(_races(int(os.environ.get("RACES", "20000"))))
    say("measured races")
    parts.append(_kills(stack, int(os.environ.get("KILLS", "10"))))
    say("measured kills")
    parts.append(_inbox(stack))
    return "\n\n".join(["## Approvals", *parts])


def _feature() -> tuple[Feature, ApiKey, str]:
    feature = create_feature(slug=f"bench-{secrets.token_hex(4)}", task="Decide and be measured.")
    key, clear = create_key(feature=feature, scopes=["decide"])
    apply(feature.slug, limit="999999999")
    return feature, key, clear


def _args(amount: str = "1.00") -> dict[str, Any]:
    return {"order_id": secrets.token_hex(8), "amount": amount, "currency": "USD"}


class _Agent:
    """One connection of an agent."""

    def __init__(self, url: str, key: str) -> None:
        self._link = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._key = key

    def send(self, path: str, body: Any, idempotent: bool = True) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        if idempotent:
            headers["Idempotency-Key"] = secrets.token_hex(8)
        self._link.request("POST", path, json.dumps(body), headers)
        answer = self._link.getresponse()
        return answer.status, json.loads(answer.read())

    def ask(self) -> tuple[int, dict[str, Any]]:
        return self.send("/api/v1/decisions", {"action": "refund", "args": _args()})


def _timed(act: Callable[[], Answer]) -> tuple[float, Answer]:
    """(milliseconds, what came of it)."""
    started = time.perf_counter()
    answer = act()
    return (time.perf_counter() - started) * 1000, answer


def _calls(stack: Stack) -> str:
    _, _, clear = _feature()
    agent = _Agent(stack.url, clear)
    body = {"action": "refund", "args": _args()}
    for _ in range(20):
        agent.ask()
    empty, allow, started = [], [], []
    for _ in range(_CALLS):
        # Known, read and refused at the door: nothing is decided.
        empty.append(_timed(partial(agent.send, "/api/v1/decisions", body, idempotent=False))[0])
        took, (_, decided) = _timed(agent.ask)
        allow.append(took)
        started.append(_timed(partial(agent.send, f"/api/v1/decisions/{decided['id']}/execute", {}))[0])
    base = median(empty)
    rows = [("refused at the door", base), ("decide, allow", median(allow)), ("execute", median(started))]
    lines = [f"| {name} | {ms:.1f} | {ms / base:.2f} |" for name, ms in rows]
    return "\n".join(
        [
            f"{_CALLS} calls each over HTTP, one after the other.",
            "",
            "| call | median ms | ratio |",
            "| --- | ---: | ---: |",
            *lines,
        ]
    )


def _races(races: int) -> str:
    feature, key, _ = _feature()
    decisions = []
    for n in range(_GRANTS):
        ask = Ask(Proposal("refund", _args()), f"race-{n}", b"race")
        decisions.append(decide(key, ask).pk)
    # Every process walks all grants in the same order: they meet at each.
    turns = max(races // (_GRANTS * _PROCESSES), 1)
    work = (key.pk, decisions * turns)
    connection.close()
    started = time.perf_counter()
    with ProcessPoolExecutor(_PROCESSES, get_context("spawn"), set_up) as pool:
        found = list(pool.map(run, [work] * _PROCESSES))
    took = time.perf_counter() - started
    won, refused = sum(one for one, _ in found), sum(one for _, one in found)
    kept = Execution.objects.filter(feature=feature).count()
    recorded = search(Seen(True), Wanted(action="execution.started", feature=str(feature.pk)))[1]
    return (
        f"{won + refused:,} racing executes on {_GRANTS:,} grants by {_PROCESSES} processes of 4 threads: {won:,} won, "
        f"{kept:,} executions, {recorded:,} audit records; {(won + refused) / took:,.0f}/s."
    )


def _kills(stack: Stack, runs: int) -> str:
    times, late, gaps, out = [], 0, [], 0
    for _ in range(runs):
        took, after, gap, started = _kill_once(stack)
        times.append(took)
        late += after
        gaps.append(gap)
        out += started
    return (
        f"Kill under load from {_CLIENTS} clients, {runs} runs, {out:,} executions before: "
        f"median {median(times):.0f} ms, most {max(times):.0f} ms; {late} starts after it returned; the last start was "
        f"{min(gaps):.1f} ms or more before its return."
    )


def _kill_once(stack: Stack) -> tuple[float, int, float, int]:
    """(ms of the call, executions handed out after it returned, ms from the last start to its return, executions)."""
    feature, _, clear = _feature()
    over = threading.Event()

    def work() -> int:
        agent, after = _Agent(stack.url, clear), 0
        while True:
            late = over.is_set()
            _, asked = agent.ask()
            if asked["decision"] == "allow":
                status, _ = agent.send(f"/api/v1/decisions/{asked['id']}/execute", {})
                after += late and status == 200
            if late:
                return after

    with ThreadPoolExecutor(_CLIENTS) as pool:
        workers = [pool.submit(work) for _ in range(_CLIENTS)]
        while Execution.objects.filter(feature=feature).count() < 4 * _CLIENTS:
            time.sleep(0.01)
        killer = _Agent(stack.url, clear)
        path = f"/api/v1/features/{feature.slug}/kill"
        took, _ = _timed(partial(killer.send, path, {"reason": "bench"}))
        returned = datetime.now(UTC)
        over.set()
        after = sum(worker.result() for worker in workers)
    started = list(Execution.objects.filter(feature=feature).values_list("started_at", flat=True))
    after += sum(one > returned for one in started)
    return took, after, (returned - max(started)).total_seconds() * 1000, len(started)


def _inbox(stack: Stack) -> str:
    person, _ = create_person(name=f"bench-{secrets.token_hex(4)}")
    _pending(person, 10)
    browser = Browser(stack, person)
    few = _page(browser)
    feature = _pending(person, 10_000)
    many = _page(browser)
    waiting = ApprovalRequest.objects.filter(state="pending", feature=feature).count()
    return (
        f"The inbox's first page, server median of 15: {few:.0f} ms with 10 requests, {many:.0f} ms with "
        f"{waiting + 10:,}, ratio {many / few:.2f}."
    )


def _page(browser: Browser) -> float:
    times = []
    for _ in range(15):
        answer = browser.get("/approvals/")
        answer.raise_for_status()
        times.append(float(answer.headers["Server-Timing"].partition("dur=")[2].partition(",")[0]))
    return median(times)


def _pending(person: Person, number: int) -> Feature:
    """A feature with so many requests that wait for the person: one asked, the others copied from it in SQL."""
    feature, key, _ = _feature()
    give_role(feature=feature, person=person, role="approver")
    FeatureRole.objects.filter(user=person).update(given_at=datetime.now(UTC) - timedelta(days=1))
    one = decide(key, Ask(Proposal("refund", _args("90.00")), "one", b"one"))
    columns = {
        model: [str(field.column) for field in model._meta.concrete_fields]
        for model in (Decision, ApprovalRequest)
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE copies AS SELECT gen_random_uuid() AS id, n FROM generate_series(2, %s) n",
            [number],
        )
        chosen = {"id": "copies.id", "idempotency_key": "'copy-' || copies.n"}
        _copy(cursor, "approvals_decision", columns[Decision], chosen, "source.id = %s", one.pk)
        chosen = {"id": "gen_random_uuid()", "decision_id": "copies.id"}
        _copy(
            cursor,
            "approvals_approvalrequest",
            columns[ApprovalRequest],
            chosen,
            "source.decision_id = %s",
            one.pk,
        )
        cursor.execute("DROP TABLE copies")
    return feature


def _copy(
    cursor: Any, table: str, columns: list[str], chosen: dict[str, str], where: str, value: UUID
) -> None:
    picked = ", ".join(chosen.get(column, f"source.{column}") for column in columns)
    cursor.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {picked} FROM {table} source, copies WHERE {where}",
        [value],
    )
