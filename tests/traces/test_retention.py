"""What is past retention goes, what is held stays, and ingest goes on meanwhile."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from django.db import ProgrammingError, connection, transaction
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from audit.queries import records
from features.models import Feature
from features.policy import read_policy
from features.policy.activation import apply_policy
from features.services import create_feature
from tests.support import ROOT, Client, Stack, unique
from tests.traces.test_api import body
from tests.traces.test_ingest_answers import export
from tests.traces.test_ingest_durability import stored
from traces import retention
from traces.holds import hold_trace, release_hold
from traces.ingest import ingest_traces
from traces.metrics import metrics
from traces.models import DirtyTrace, Hold, RetentionRun, Trace
from traces.queries import find_trace
from traces.retention import due, existing_days, first_kept_day, kept_from, run_retention
from traces.rollups import roll_up
from traces.services import add_facts, settle_dirty

NS = 10**9
WHY = "a customer's claim is open"


def at(days_ago: float) -> int:
    """Noon of a day so long ago, in nanoseconds: far from every border."""
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)
    return int(noon.timestamp()) * NS


def days_from(first: int, last: int) -> None:
    """Make the partitions of `first` to `last` days ago."""
    today = datetime.now(UTC).date()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ensure_partitions(%s, %s)", [today - timedelta(days=first), today - timedelta(days=last)]
        )


def send(feature: Feature, *days_ago: float, **fields: Any) -> list[bytes]:
    """One settled trace for each of the days, however old; their IDs."""
    ids = [os.urandom(16) for _ in days_ago]
    for trace_id, ago in zip(ids, days_ago, strict=True):
        days_from(int(ago) + 1, int(ago) - 1)
        with override_settings(RETENTION_DAYS=1000):
            sent = body(
                {"trace_id": trace_id.hex(), "start": at(ago), "tools": [("lookup", False)], **fields}
            )
            assert ingest_traces(feature, sent, "application/json").rejected == 0
    settled(feature, ids)
    return ids


def settled(feature: Feature, ids: Sequence[bytes]) -> None:
    until = time.monotonic() + 30
    while Trace.objects.filter(feature=feature, trace_id__in=ids).count() < len(ids):
        settle_dirty()
        assert time.monotonic() < until


def rows(table: str, feature: Feature, trace_id: bytes) -> list[tuple[Any, ...]]:
    """All that a table holds of a trace, to the byte."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT t::text FROM {table} t WHERE trace_id = %s AND feature_id = %s ORDER BY 1",
            [trace_id, feature.pk],
        )
        return list(cursor.fetchall())


def whole(feature: Feature, trace_id: bytes) -> tuple[object, ...]:
    """A trace as its page and the API have it, and each stored byte of it."""
    found = find_trace([feature], trace_id.hex())
    assert found is not None
    return (
        found.summary,
        found.spans,
        rows("all_span", feature, trace_id),
        rows("all_log_event", feature, trace_id),
    )


def add_document(feature: Feature, trace_id: bytes) -> None:
    """A search document, where settling has not written one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO search_document SELECT trace_id, feature_id, (started_at AT TIME ZONE 'UTC')::date, "
            "started_at, 0, 0, NULL, '', 'what was said' FROM trace WHERE trace_id = %s AND feature_id = %s "
            "ON CONFLICT DO NOTHING",
            [trace_id, feature.pk],
        )


def keep_days(feature: Feature, days: int) -> None:
    text = (
        f'[feature]\nslug = "{feature.slug}"\ntask = "Resolve billing tickets."\n'
        f'[[action]]\nname = "lookup"\neffect = "read"\n[traces]\nretention_days = {days}\n'
    )
    apply_policy(read_policy(text).document, text)


def run_records(feature: str) -> list[dict[str, Any]]:
    found = (one for one in records() if one["action"] == "retention.run" and one["feature"] == feature)
    return [json.loads(one["payload"]) for one in found]


@pytest.fixture
def feature() -> Feature:
    return create_feature(slug=unique("agent"))


# --- the border ------------------------------------------------------------------------------------------------


@given(
    now=st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
    days=st.integers(1, 3650),
    longest=st.integers(1, 3650),
    late=st.timedeltas(timedelta(0), timedelta(hours=20)),
)
def test_no_body_is_taken_for_a_day_that_may_be_dropped(
    now: datetime, days: int, longest: int, late: timedelta
) -> None:
    with override_settings(RETENTION_DAYS=longest):
        earliest = now - timedelta(days=min(days, longest))  # as ingest has it
        assert earliest.date() >= first_kept_day(min(days, longest), now.date())
        # Whole days are dropped only when a body that is hours under way cannot belong to them.
        dropped_later = first_kept_day(longest, (now + late).date())
        assert (now - timedelta(days=longest)).date() >= dropped_later


def test_the_border_moves_at_midnight_utc(feature: Feature) -> None:
    keep_days(feature, 7)
    before = kept_from(feature.pk, datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))
    after = kept_from(feature.pk, datetime(2026, 3, 2, tzinfo=UTC))
    assert (before, after) == (datetime(2026, 2, 22, tzinfo=UTC), datetime(2026, 2, 23, tzinfo=UTC))


def test_a_trace_goes_when_its_day_is_past_and_not_a_moment_earlier(feature: Feature) -> None:
    keep_days(feature, 7)
    (trace_id,) = send(feature, 5)
    started = datetime.fromtimestamp(at(5) / NS, UTC)
    last = datetime(started.year, started.month, started.day, tzinfo=UTC) + timedelta(days=8)
    run_retention(last - timedelta(seconds=1))
    assert find_trace([feature], trace_id.hex()) is not None
    run_retention(last)
    assert find_trace([feature], trace_id.hex()) is None
    assert rows("span", feature, trace_id) == []


# --- whole days ------------------------------------------------------------------------------------------------


def test_days_past_the_installations_retention_are_dropped_with_what_hangs_on_them(feature: Feature) -> None:
    old, young = send(feature, 120, 3)
    for trace_id in (old, young):
        add_document(feature, trace_id)
        add_facts(feature, trace_id, [("comment", "test", "looked at")])
    settled(feature, [old, young])
    report = run_retention()
    assert report.finished
    day = date.fromtimestamp(at(120) / NS)
    with connection.cursor() as cursor:
        left = existing_days(cursor)
    assert min(left)[0] == datetime.now(UTC).date() - timedelta(days=91)
    for table in ("all_span", "trace", "search_document", "fact"):
        assert rows(table, feature, old) == []
        assert rows(table, feature, young) != []
    dropped = [days for run in run_records("") for days in run["days"]]
    assert {f"{table} {day}" for table in ("span", "log_event", "search_document")} <= set(dropped)
    assert run_records(str(feature.pk))[0]["traces"] == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('search_document', 'SELECT')")
        assert cursor.fetchone() == (True,)


def test_the_database_refuses_to_drop_a_day_that_is_kept() -> None:
    today = datetime.now(UTC).date()
    with connection.cursor() as cursor:
        for ago in (91, 90, 5, 0, -3):
            with pytest.raises(ProgrammingError, match="is kept"):
                cursor.execute("SELECT drop_partition('span', %s)", [today - timedelta(days=ago)])
        for statement in (
            "UPDATE retention_floor SET days = 1",
            "DELETE FROM retention_floor",
            "INSERT INTO retention_floor (one, days) VALUES (true, 1)",
            "DROP TABLE span_20200101",
            "TRUNCATE span",
        ):
            with pytest.raises(ProgrammingError):
                cursor.execute(statement)
        with pytest.raises(ProgrammingError):
            cursor.execute("SELECT drop_partition('audit.record', '2020-01-01')")


def test_a_day_that_is_not_there_is_nothing_to_drop() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM drop_partition('span', '2020-01-01')")
        assert cursor.fetchone() == (None, None, None)


# --- holds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days_ago", "kept"), [(120, None), (20, 7)])
def test_a_held_trace_stays_to_the_byte_while_the_others_of_its_day_go(
    feature: Feature, days_ago: int, kept: int | None
) -> None:
    held, other = send(feature, days_ago, days_ago, **{"clearance.request_id": unique("ticket")})
    for trace_id in (held, other):
        add_document(feature, trace_id)
    before = whole(feature, held)
    document = rows("search_document", feature, held)
    hold_trace(feature=feature, trace_id=held, kind="legal", reason=WHY)
    if kept:
        keep_days(feature, kept)
    run_retention()
    run_retention()
    assert whole(feature, held)[1:] == before[1:]
    assert rows("search_document", feature, held) == document
    assert find_trace([feature], other.hex()) is None
    assert rows("all_span", feature, other) == []
    assert rows("span", feature, held) == []
    assert len(rows("held_span", feature, held)) == 3


def test_late_feedback_settles_a_held_trace_from_its_held_spans(feature: Feature) -> None:
    (held,) = send(feature, 120)
    hold_trace(feature=feature, trace_id=held, kind="incident", reference="i-1", reason=WHY, room="rollouts")
    run_retention()
    add_facts(feature, held, [("outcome", "test", "failed")])
    until = time.monotonic() + 30
    while Trace.objects.get(feature=feature, trace_id=held).outcome != "failed":
        settle_dirty()
        assert time.monotonic() < until
    found = find_trace([feature], held.hex())
    assert found is not None
    assert len(found.spans) == found.trace.span_count == 3
    day = date.fromtimestamp(at(120) / NS)
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [f"span_{day:%Y%m%d}"])
        assert cursor.fetchone() == (None,)


def test_what_comes_later_for_a_held_trace_is_held_too(feature: Feature) -> None:
    trace_id = os.urandom(16)
    hold_trace(
        feature=feature, trace_id=trace_id, kind="approval", reference="a-1", reason=WHY, room="approvals"
    )
    days_from(21, 19)
    sent = body({"trace_id": trace_id.hex(), "start": at(20)})
    assert ingest_traces(feature, sent, "application/json").stored == 2
    settled(feature, [trace_id])
    keep_days(feature, 7)
    run_retention()
    assert len(rows("held_span", feature, trace_id)) == 2


def test_a_trace_goes_when_its_last_hold_is_released(feature: Feature) -> None:
    (trace_id,) = send(feature, 120)
    add_document(feature, trace_id)
    first = hold_trace(feature=feature, trace_id=trace_id, kind="legal", reason=WHY)
    second = hold_trace(
        feature=feature, trace_id=trace_id, kind="case", reference="c-1", reason=WHY, room="evals"
    )
    run_retention()
    release_hold(hold=first, reason="the claim is settled")
    run_retention()
    assert find_trace([feature], trace_id.hex()) is not None
    release_hold(hold=second, reason="the case was dropped", room="evals")
    run_retention()
    for table in ("all_span", "trace", "search_document"):
        assert rows(table, feature, trace_id) == []
    assert sum(run["released"] for run in run_records(str(feature.pk))) == 3


def test_a_hold_is_placed_and_released_once_and_recorded_without_its_words(feature: Feature) -> None:
    trace_id = os.urandom(16)
    holds = {hold_trace(feature=feature, trace_id=trace_id, kind="legal", reason=WHY).pk for _ in range(3)}
    assert len(holds) == 1
    hold = Hold.objects.get(pk=holds.pop())
    for _ in range(2):
        release_hold(hold=hold, reason="the claim is settled")
    again = hold_trace(feature=feature, trace_id=trace_id, kind="legal", reason=WHY)
    assert again.pk != hold.pk
    mine = [
        one for one in records() if one["feature"] == str(feature.pk) and one["action"].startswith("hold.")
    ]
    assert [one["action"] for one in mine] == ["hold.placed", "hold.released", "hold.placed"]
    assert all(WHY not in one["payload"] for one in mine)


def test_racing_holds_place_one(feature: Feature) -> None:
    trace_id = os.urandom(16)

    def place(_: int) -> str:
        try:
            return str(hold_trace(feature=feature, trace_id=trace_id, kind="legal", reason=WHY).pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(place, range(16)))) == 1
    assert Hold.objects.filter(feature=feature, trace_id=trace_id).count() == 1


def test_a_hold_that_races_with_the_deletion_keeps_all_or_comes_too_late(
    feature: Feature, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 5)
    monkeypatch.setattr(retention, "_BATCH_TRACES", 3)
    ids = send(feature, *[20.0] * 30)
    keep_days(feature, 7)
    early = ids[:5]
    for trace_id in early:
        hold_trace(feature=feature, trace_id=trace_id, kind="legal", reason=WHY)

    def place() -> None:
        for trace_id in ids[5:]:
            hold_trace(feature=feature, trace_id=trace_id, kind="legal", reason=WHY)
        connection.close()

    racing = threading.Thread(target=place)
    racing.start()
    run_retention()
    racing.join()
    run_retention()
    for trace_id in ids:
        kept = len(rows("all_span", feature, trace_id))
        assert kept in ({3} if trace_id in early else {0, 3})
        if Trace.objects.filter(feature=feature, trace_id=trace_id).exists():
            assert kept == 3


def test_held_copies_have_the_columns_of_their_originals() -> None:
    def columns(table: str) -> list[tuple[str, str]]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
                "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                [table],
            )
            return list(cursor.fetchall())

    for table in ("span", "log_event"):
        assert columns(table) == columns(f"held_{table}") == columns(f"all_{table}")


def test_a_longer_retention_takes_held_documents_back_into_their_day(feature: Feature) -> None:
    (held,) = send(feature, 120)
    add_document(feature, held)
    hold_trace(feature=feature, trace_id=held, kind="legal", reason=WHY)
    document = rows("search_document", feature, held)
    run_retention()
    assert rows("search_document_held", feature, held) == document
    days_from(121, 119)
    assert rows("search_document_held", feature, held) == []
    assert rows("search_document", feature, held) == document


# --- a feature's shorter retention ---------------------------------------------------------------------------------


def test_a_shorter_retention_deletes_the_features_rows_alone(
    feature: Feature, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 4)
    monkeypatch.setattr(retention, "_BATCH_TRACES", 2)
    other = create_feature(slug=unique("agent"))
    mine, theirs = send(feature, 20, 20, 20, 15, 3), send(other, 20, 20)
    keep_days(feature, 7)
    assert next(one for one in due() if one.feature == feature).traces == 4
    run_retention()
    assert [len(rows("span", feature, one)) for one in mine] == [0, 0, 0, 0, 3]
    assert [find_trace([feature], one.hex()) is not None for one in mine] == [False] * 4 + [True]
    assert [len(rows("span", other, one)) for one in theirs] == [3, 3]
    (run,) = run_records(str(feature.pk))
    assert (run["traces"], run["spans"], run["before"]) == (
        4,
        12,
        (datetime.now(UTC).date() - timedelta(days=7)).isoformat(),
    )
    assert next(one for one in due() if one.feature == feature).traces == 0


def test_a_policy_that_kept_longer_for_a_while_leaves_nothing_behind(feature: Feature) -> None:
    keep_days(feature, 7)
    run_retention()
    keep_days(feature, 60)
    (old,) = send(feature, 30)
    keep_days(feature, 7)
    run_retention()
    assert rows("span", feature, old) == []


def test_a_trace_that_crosses_the_border_keeps_its_summary_until_its_end_is_past(feature: Feature) -> None:
    keep_days(feature, 7)
    (trace_id,) = send(feature, 5, seconds=20 * 3600)  # from noon to the next morning
    started = datetime.fromtimestamp(at(5) / NS, UTC).replace(hour=0)
    settled_so = Trace.objects.get(feature=feature, trace_id=trace_id)
    run_retention(started + timedelta(days=8))
    kept = Trace.objects.get(feature=feature, trace_id=trace_id)
    assert (kept.started_at, kept.span_count) == (settled_so.started_at, settled_so.span_count)
    run_retention(started + timedelta(days=9))
    assert not Trace.objects.filter(feature=feature, trace_id=trace_id).exists()


def test_a_fact_about_a_trace_past_retention_changes_nothing(feature: Feature) -> None:
    (trace_id,) = send(feature, 20)
    before = Trace.objects.get(feature=feature, trace_id=trace_id)
    keep_days(feature, 7)
    add_facts(feature, trace_id, [("outcome", "test", "failed")])
    until = time.monotonic() + 30
    while rows("dirty_trace", feature, trace_id):
        settle_dirty()
        assert time.monotonic() < until
    after = Trace.objects.get(feature=feature, trace_id=trace_id)
    assert (after.outcome, after.settled_at) == (before.outcome, before.settled_at)


def test_sums_of_days_that_are_gone_go_and_the_others_stay(feature: Feature) -> None:
    send(feature, 20, 3)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO dirty_minute (feature_id, minute) SELECT feature_id, date_trunc('minute', started_at) "
            "FROM trace WHERE feature_id = %s ON CONFLICT DO NOTHING",
            [feature.pk],
        )
    keep_days(feature, 7)
    run_retention()
    border = kept_from(feature.pk)
    with connection.cursor() as cursor:
        for table in ("dirty_minute", "rollup_minute"):
            cursor.execute(
                f"SELECT count(*) FROM {table} WHERE feature_id = %s AND minute < %s", [feature.pk, border]
            )
            assert cursor.fetchone() == (0,)


def test_a_held_trace_is_no_figure_of_days_that_are_gone(feature: Feature) -> None:
    held, _, _ = send(feature, 20, 20, 3)
    window = (datetime.now(UTC) - timedelta(days=60), datetime.now(UTC))
    assert metrics(feature, *window)[0].requests == 3
    hold_trace(feature=feature, trace_id=held, kind="legal", reason=WHY)
    keep_days(feature, 7)
    run_retention()
    add_facts(feature, held, [("outcome", "test", "failed")])
    until = time.monotonic() + 30
    while rows("dirty_trace", feature, held):
        settle_dirty()
        assert time.monotonic() < until
    roll_up(at_once=True)
    assert metrics(feature, *window)[0].requests == 1
    assert find_trace([feature], held.hex()) is not None


# --- killed, and while ingest goes on --------------------------------------------------------------------------------


def many_old_traces(feature: Feature, count: int, days_ago: int) -> None:
    """Settled traces of one span each, written as rows: settling so many would take a test's time."""
    template = send(feature, days_ago)[0]
    with transaction.atomic(), connection.cursor() as cursor:
        for table in ("span", "trace"):
            cursor.execute(
                "SELECT string_agg(CASE WHEN attname = 'trace_id' "
                "THEN format('decode(md5(n || %%L), ''hex'')', %s::text) "
                "ELSE 't.' || quote_ident(attname) END, ', ' ORDER BY attnum) FROM pg_attribute "
                "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                [template.hex(), table],
            )
            columns = cursor.fetchone()[0]
            cursor.execute(
                f"INSERT INTO {table} SELECT {columns} FROM {table} t, generate_series(1, {count}) n "
                "WHERE t.trace_id = %s AND t.feature_id = %s",
                [template, feature.pk],
            )


def test_a_killed_run_loses_nothing_held_and_the_next_one_goes_on(stack: Stack, feature: Feature) -> None:
    many_old_traces(feature, 8000, 20)
    held = send(feature, *[20.0] * 5)
    for trace_id in held:
        hold_trace(feature=feature, trace_id=trace_id, kind="legal", reason=WHY)
    before = [whole(feature, trace_id) for trace_id in held]
    keep_days(feature, 7)
    running = subprocess.Popen([sys.executable, "manage.py", "retention", "run"], cwd=ROOT, env=stack.env)
    until = time.monotonic() + 60
    while not RetentionRun.objects.filter(feature=feature, traces__gt=500).exists():
        assert running.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    time.sleep(0.5)  # the database notes that its client is gone
    assert [whole(feature, trace_id) for trace_id in held] == before
    left = Trace.objects.filter(feature=feature).count()
    assert left > 5
    RetentionRun.objects.filter(feature=feature).update(updated_at=datetime.now(UTC) - timedelta(hours=1))
    run_retention()
    assert [whole(feature, trace_id) for trace_id in held] == before
    assert Trace.objects.filter(feature=feature).count() == 5
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM span WHERE feature_id = %s", [feature.pk])
        assert cursor.fetchone() == (0,)
    states = (
        RetentionRun.objects.filter(feature=feature).order_by("started_at").values_list("state", flat=True)
    )
    assert list(states) == ["interrupted", "done"]
    assert sum(run["traces"] for run in run_records(str(feature.pk))) == 8001


def test_ingest_at_full_speed_never_fails_while_days_are_dropped(client: Client) -> None:
    feature = Feature.objects.get(slug=client.slug)
    over, answers, slowest = threading.Event(), [], [0.0]
    acknowledged: set[str] = set()

    def send_on() -> None:
        with httpx.Client(timeout=60) as session:
            while not over.is_set():
                request = export(*({} for _ in range(50)))
                began = time.monotonic()
                answer = session.post(
                    f"{client.stack.url}/v1/traces",
                    content=request.SerializeToString(),
                    headers={
                        "Content-Type": "application/x-protobuf",
                        "Authorization": f"Bearer {client.key}",
                    },
                )
                slowest[0] = max(slowest[0], time.monotonic() - began)
                answers.append(answer.status_code)
                if answer.status_code == 200:
                    spans = request.resource_spans[0].scope_spans[0].spans
                    acknowledged.update(span.span_id.hex() for span in spans)

    many_old_traces(feature, 500, 120)
    senders = [threading.Thread(target=send_on) for _ in range(4)]
    for sender in senders:
        sender.start()
    try:
        for _ in range(3):
            days_from(121, 119)
            assert run_retention().days
    finally:
        over.set()
        for sender in senders:
            sender.join()
    assert set(answers) == {200}
    assert slowest[0] < 15  # the statement's time limit
    assert acknowledged <= set(stored(client.slug))
    DirtyTrace.objects.filter(feature=feature).delete()  # the other tests need not wait until all are settled


def test_a_run_that_is_out_of_time_goes_on_next_time(feature: Feature) -> None:
    send(feature, 20)
    keep_days(feature, 7)
    assert not run_retention(seconds=-1).finished
    assert run_retention(seconds=600).finished
    assert not Trace.objects.filter(feature=feature).exists()


@pytest.fixture(autouse=True)
def _nothing_left_over() -> Iterator[None]:
    """The other tests see no day but those that the installation keeps."""
    yield
    run_retention()
