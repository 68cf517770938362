"""A key that asks too often is told when to come back; others are not held up."""

import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.throttle import Buckets
from tests.support import Client, Stack, unique


@settings(deadline=None)
@given(st.integers(1, 1000), st.lists(st.floats(0, 5), min_size=1, max_size=300))
def test_never_more_than_held_and_refilled_goes_through(a_minute: int, gaps: list[float]) -> None:
    buckets, key, now, passed = Buckets(a_minute), uuid4(), 0.0, 0
    for gap in gaps:
        now += gap
        passed += buckets.take(key, now) == 0
    assert passed <= a_minute + now * a_minute / 60 + 1e-6


@settings(deadline=None)
@given(st.integers(1, 1000))
def test_whoever_waits_as_told_goes_through(a_minute: int) -> None:
    buckets, key = Buckets(a_minute), uuid4()
    for _ in range(a_minute):
        assert buckets.take(key, 0.0) == 0
    wait = buckets.take(key, 0.0)
    assert wait > 0
    assert buckets.take(key, float(wait)) == 0
    assert buckets.take(uuid4(), 0.0) == 0


def test_threads_together_get_no_more_than_one_would() -> None:
    buckets, key, passed = Buckets(500), uuid4(), list[int]()

    def ask() -> None:
        passed.append(sum(buckets.take(key, 0.0) == 0 for _ in range(400)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 500


def test_what_one_process_gives_away_the_others_see(tmp_path: Path) -> None:
    shared, key = tmp_path / "buckets", uuid4()
    one, other = Buckets(5, shared), Buckets(5, shared)
    assert [buckets.take(key, 1.0) for buckets in (one, other, one, other, other)] == [0] * 5
    assert one.take(key, 1.0) == other.take(key, 1.0) == 12
    assert other.take(uuid4(), 1.0) == 0


def test_what_the_machines_last_start_left_holds_nobody_up(tmp_path: Path) -> None:
    key = uuid4()
    before = Buckets(1, tmp_path / "buckets")
    assert [before.take(key, 9_000.0) for _ in range(2)] == [0, 60]
    assert Buckets(1, tmp_path / "buckets").take(key, 3.0) == 0


@settings(deadline=None)
@given(st.integers(8, 40))
def test_more_keys_than_places_each_go_on(keys: int) -> None:
    buckets = Buckets(100)
    alike = [UUID(int=n << 64) for n in range(1, keys)]  # all of them in the same places
    for now in range(3):
        assert [buckets.take(key, float(now)) for key in alike] == [0] * len(alike)


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Stack]:
    """The product with room for five requests a key and minute."""
    stack = Stack(tmp_path / "var", extra={"CLEARANCE_KEY_REQUESTS_PER_MINUTE": "5"}).start()
    yield stack
    stack.stop()


def test_the_api_and_ingest_answer_429_with_when_to_come_back(narrow: Stack) -> None:
    slug = unique("agent")
    narrow.manage("feature", "create", slug)
    keys = [
        narrow.manage("key", "create", slug, "--scope", "read", "--scope", "ingest").stdout.strip()
        for _ in range(2)
    ]
    busy, quiet = (Client(narrow, slug, key) for key in keys)
    assert [busy.get("/api/v1/traces").status_code for _ in range(5)] == [200] * 5
    refused = busy.get("/api/v1/traces")
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert 1 <= int(refused.headers["Retry-After"]) <= 12
    sent = busy.post("/v1/traces", b"")
    assert sent.status_code == 429
    assert int(sent.headers["Retry-After"]) >= 1
    assert quiet.get("/api/v1/traces").status_code == 200
