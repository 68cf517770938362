"""An acknowledged span is durable and counted once, whatever is killed and whatever is sent twice."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from django.db import connection

from tests.conftest import make_client
from tests.support import Client, Stack
from tests.traces.test_ingest_answers import export


def stored(slug: str) -> Counter[str]:
    """Each stored span ID of the feature with how often it is there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.span_id FROM span s JOIN features_feature f ON f.id = s.feature_id WHERE f.slug = %s",
            [slug],
        )
        found = Counter(bytes(row[0]).hex() for row in cursor.fetchall())
    connection.close()
    return found


def test_two_hundred_exports_at_once_from_fifty_connections_are_each_stored_once(client: Client) -> None:
    requests = [export(*({} for _ in range(20))) for _ in range(200)]
    headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {client.key}"}

    def send(request: object) -> int:
        deadline = time.monotonic() + 60
        while True:
            answer = session.post("/v1/traces", content=request.SerializeToString(), headers=headers)  # type: ignore[attr-defined]
            if answer.status_code not in {429, 503} or time.monotonic() > deadline:
                return answer.status_code
            time.sleep(float(answer.headers["retry-after"]))

    limits = httpx.Limits(max_connections=50)
    with (
        httpx.Client(base_url=client.stack.url, limits=limits, timeout=60) as session,
        ThreadPoolExecutor(50) as pool,
    ):
        answers = list(pool.map(send, requests))
    assert answers == [200] * 200
    sent = {
        span.span_id.hex() for request in requests for span in request.resource_spans[0].scope_spans[0].spans
    }
    found = stored(client.slug)
    assert set(found) == sent
    assert set(found.values()) == {1}


def test_racing_copies_of_one_export_are_stored_once(client: Client) -> None:
    body = export(*({} for _ in range(50))).SerializeToString()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/traces", body).status_code, range(32)))
    assert set(answers) <= {200, 429, 503}
    assert 200 in answers
    found = stored(client.slug)
    assert len(found) == 50
    assert set(found.values()) == {1}


class Stream:
    """An exporter that sends without a pause, tries again as SDKs do, and remembers what was acknowledged."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.acknowledged: set[str] = set()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self.over.is_set():
            request = export(*({} for _ in range(10)))
            ids = {span.span_id.hex() for span in request.resource_spans[0].scope_spans[0].spans}
            body = request.SerializeToString()
            while not self.over.is_set():
                try:
                    answer = self.client.post("/v1/traces", body)
                except httpx.HTTPError:
                    time.sleep(0.05)
                    continue
                if answer.status_code == 200:
                    self.acknowledged |= ids
                    break
                assert answer.status_code in {429, 503}, answer.text
                time.sleep(0.05)

    def __enter__(self) -> "Stream":
        self.thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.over.set()
        self.thread.join(30)


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A product of this test's own, to be killed in parts."""
    stack = Stack(tmp_path / "own var")
    try:
        yield stack.start()
    finally:
        stack.stop()


def own_client(stack: Stack) -> Client:
    assert stack.manage("feature", "create", "killed-agent").returncode == 0
    made = stack.manage("key", "create", "killed-agent", "--scope", "ingest", "--scope", "read")
    assert made.returncode == 0, made.stderr
    return Client(stack, "killed-agent", made.stdout.strip())


def total_spans(client: Client) -> int:
    """Spans over all settled traces, as the API tells them."""
    total, cursor = 0, ""
    while True:
        page = client.get("/api/v1/traces", limit="500", **({"cursor": cursor} if cursor else {})).json()
        total += sum(int(trace["span_count"]) for trace in page["results"])
        if not page["next"]:
            return total
        cursor = page["next"]


@pytest.mark.parametrize("part", ["uvicorn", "postgres -D", "celery"])
def test_every_acknowledged_span_is_there_once_after_kill_9(own_stack: Stack, part: str) -> None:
    client = own_client(own_stack)
    with Stream(client) as stream:
        for _ in range(2):
            time.sleep(1.5)
            before = len(stream.acknowledged)
            pids = own_stack.parts(part)
            assert pids, f"no process has {part!r} in its command line"
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            until = time.monotonic() + 60
            while len(stream.acknowledged) <= before + 50 and time.monotonic() < until:
                time.sleep(0.1)
            assert len(stream.acknowledged) > before + 50, own_stack.log.read_text()[-3000:]
    own_stack.wait_ready()
    waited = own_stack.manage("settle", "--wait")
    assert waited.returncode == 0, waited.stderr
    spans = total_spans(client)
    # What was stored but whose answer was lost with the killed process may be there besides.
    assert len(stream.acknowledged) <= spans <= len(stream.acknowledged) + 60


def test_after_kill_9_of_everything_the_next_start_has_every_acknowledged_span(own_stack: Stack) -> None:
    client = own_client(own_stack)
    with Stream(client) as stream:
        time.sleep(2)
        assert own_stack.process is not None
        os.killpg(own_stack.process.pid, signal.SIGKILL)
        for marker in ("uvicorn", "postgres", "celery"):
            for pid in own_stack.parts(marker):
                os.kill(pid, signal.SIGKILL)
        own_stack.process.wait()
    acknowledged = len(stream.acknowledged)
    assert acknowledged
    own_stack.start()
    assert own_stack.manage("settle", "--wait").returncode == 0
    assert acknowledged <= total_spans(client) <= acknowledged + 10


def test_losing_the_whole_queue_loses_no_work(client: Client, stack: Stack) -> None:
    requests = [export({}) for _ in range(20)]
    for request in requests:
        assert client.post("/v1/traces", request.SerializeToString()).status_code == 200
        for message in (stack.var / "queue").glob("*.msg"):
            message.unlink(missing_ok=True)
    for request in requests:
        client.trace(request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex())


def test_a_feature_made_beside_sees_none_of_it(client: Client, stack: Stack) -> None:
    assert client.post("/v1/traces", export({}).SerializeToString()).status_code == 200
    assert stack.manage("settle", "--wait").returncode == 0
    assert make_client(stack).get("/api/v1/traces").json()["total"] == 0
