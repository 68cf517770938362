"""The lag of settling is said, and alarmed once an occasion."""

from datetime import UTC, datetime, timedelta

import httpx

from features.models import Notice
from features.services import create_person
from tests.support import Stack, unique
from tests.traces.settled import new_feature, new_trace_id
from traces.lag import lag_of, watch_lag
from traces.models import DirtyTrace


def test_who_must_know_is_told_once_and_once_when_it_is_over() -> None:
    feature, trace_id = new_feature(), new_trace_id()
    create_person(name=unique("lead"), roles=[(feature.slug, "lead")])
    # Waiting for another try keeps the worker from it; the age counts the first tries only.
    DirtyTrace.objects.create(
        feature=feature,
        trace_id=trace_id,
        since=datetime.now(UTC) - timedelta(minutes=5),
        retry_at=datetime.now(UTC) + timedelta(hours=1),
    )
    assert lag_of(feature).is_long
    assert lag_of(feature).waiting == 1
    for _ in range(3):
        watch_lag()
    assert Notice.objects.filter(feature=feature, kind="settle.late").count() == 1
    DirtyTrace.objects.filter(feature=feature).delete()
    for _ in range(3):
        watch_lag()
    assert Notice.objects.filter(feature=feature, kind="settle.caught_up").count() == 1
    assert not lag_of(feature).is_long


def test_probes_learn_how_far_settling_is_behind(stack: Stack) -> None:
    said = httpx.get(f"{stack.url}/readyz", timeout=30).json()
    assert set(said["settling"]) == {"waiting", "oldest_seconds", "stuck"}
