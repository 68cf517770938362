"""How far settling is behind what was stored: shown, told to probes, and alarmed once an occasion."""

from datetime import UTC, datetime

import msgspec
from django.conf import settings
from django.db import connection, transaction

from features.models import Feature, Person
from features.outbox import notify
from features.queries import holders
from traces.models import DirtyTrace, LagAlarm

__all__ = ["SHOWN_OVER_SECONDS", "Lag", "lag_of", "readiness", "watch_lag", "work_left"]

SHOWN_OVER_SECONDS = 10.0
_MOST_COUNTED = 100_000


class Lag(msgspec.Struct, frozen=True):
    """Traces that wait to be settled, and for how long the oldest has. `stuck`: those that could not be, which wait
    for another try and count in neither.
    """

    waiting: int
    seconds: float
    stuck: int = 0

    @property
    def is_long(self) -> bool:
        """Whether pages should say it."""
        return self.seconds > SHOWN_OVER_SECONDS


def lag_of(feature: Feature | None = None) -> Lag:
    """The lag of a feature, or of all; counts up to 100,000."""
    rows = DirtyTrace.objects.all() if feature is None else DirtyTrace.objects.filter(feature=feature)
    fresh = rows.filter(attempts=0)
    oldest = fresh.order_by("since").values_list("since", flat=True).first()
    seconds = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
    return Lag(
        fresh[:_MOST_COUNTED].count(), max(0.0, seconds), rows.filter(attempts__gt=0)[:_MOST_COUNTED].count()
    )


def work_left(most: int) -> int:
    """How many traces wait, counted up to `most`."""
    return DirtyTrace.objects.all()[:most].count()


def readiness() -> dict[str, object]:
    """What /readyz says of settling."""
    lag = lag_of()
    return {"waiting": lag.waiting, "oldest_seconds": round(lag.seconds, 1), "stuck": lag.stuck}


def watch_lag() -> int:
    """Tell the leads and on-call of each feature whose traces wait longer than CLEARANCE_SETTLE_LAG_ALARM_SECONDS,
    once an occasion, and once more when it is over; returns how many alarms began or ended.
    """
    limit = settings.SETTLE_LAG_ALARM_SECONDS
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT feature_id, extract(epoch FROM clock_timestamp() - min(since)) "
            "FROM dirty_trace WHERE attempts = 0 GROUP BY feature_id"
        )
        ages = {feature_id: float(seconds) for feature_id, seconds in cursor.fetchall()}
    open_ones = {alarm.feature_id: alarm for alarm in LagAlarm.objects.filter(over_at__isnull=True)}
    changed = 0
    for feature in Feature.objects.filter(pk__in={*ages, *open_ones}):
        age, alarm = ages.get(feature.pk, 0.0), open_ones.get(feature.pk)
        if alarm is None and age > limit:
            changed += _begin(feature, age)
        # Half way back, so that an alarm at its limit does not flutter.
        elif alarm is not None and age < limit / 2:
            changed += _end(feature, alarm)
    return changed


@transaction.atomic
def _begin(feature: Feature, age: float) -> int:
    alarm, new = LagAlarm.objects.get_or_create(feature=feature, over_at=None)
    if new:
        notify("settle.late", _who(feature), once=str(alarm.pk), feature=feature, seconds=round(age))
    return new


@transaction.atomic
def _end(feature: Feature, alarm: LagAlarm) -> int:
    ended = LagAlarm.objects.filter(pk=alarm.pk, over_at__isnull=True).update(over_at=datetime.now(UTC))
    if ended:
        notify("settle.caught_up", _who(feature), once=str(alarm.pk), feature=feature)
    return ended


def _who(feature: Feature) -> list[Person]:
    found = holders(feature)
    return [*found["lead"], *found["on_call"]]
