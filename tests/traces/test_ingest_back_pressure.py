"""Back-pressure instead of memory: what is too much at once is answered 429 and nothing else suffers."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import Client, Stack
from tests.traces.test_ingest_answers import export


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Client]:
    """A product that holds 300 kB of bodies in its one web process."""
    stack = Stack(
        tmp_path / "var",
        extra={"CLEARANCE_INGEST_MAX_WAITING_BYTES": "300000", "CLEARANCE_WEB_PROCESSES": "1"},
    )
    try:
        stack.start()
        assert stack.manage("feature", "create", "narrow-agent").returncode == 0
        key = stack.manage(
            "key", "create", "narrow-agent", "--scope", "ingest", "--scope", "read"
        ).stdout.strip()
        yield Client(stack, "narrow-agent", key)
    finally:
        stack.stop()


def test_more_bytes_than_may_wait_are_told_to_come_back_and_room_is_given_back(narrow: Client) -> None:
    large = export({"name": "x" * 400_000}).SerializeToString()
    for _ in range(5):
        answer = narrow.post("/v1/traces", large)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert narrow.post("/v1/traces", export({}).SerializeToString()).status_code == 200


def test_many_at_once_are_all_taken_in_the_end(narrow: Client) -> None:
    bodies = [export({"name": "x" * 100_000}) for _ in range(24)]

    def until_taken(request: object) -> list[int]:
        answers: list[int] = []
        while not answers or answers[-1] != 200:
            answer = narrow.post("/v1/traces", request.SerializeToString())  # type: ignore[attr-defined]
            answers.append(answer.status_code)
            assert answer.status_code in {200, 429}
            if answer.status_code == 429:
                time.sleep(float(answer.headers["retry-after"]))
        return answers

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(until_taken, bodies))
    for request in bodies:
        trace_id = request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
        assert narrow.trace(trace_id)["span_count"] == 1
