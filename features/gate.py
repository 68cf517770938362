"""The gate of a feature: its epoch, which of its tools are off, and the locks by which stopping waits for starting.

Every start of a tool holds the feature's lock shared, and the house's. Who raises an epoch takes the feature's lock
alone: when it has it, no start is under way that has not seen what was committed before.
"""

from collections.abc import Sequence
from uuid import UUID

from django.db import connection
from django.db.models import F, Q, QuerySet

from features.models import Feature, Gate, ToolStop

# The first of the two numbers of an advisory lock: "gate" in ASCII.
LOCKS = 0x67617465
HOUSE = 0


def lock_of(feature_id: UUID) -> int:
    """The second number of a feature's advisory lock; two features may share one, and then only wait for each
    other."""
    return int.from_bytes(feature_id.bytes[-4:], signed=True) or 1


def hold_gate(feature_id: UUID) -> None:
    """Hold the gate with others until the transaction ends: nobody stops tools or raises the epoch meanwhile. The
    first of all locks.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock_shared(%s, %s), pg_advisory_xact_lock_shared(%s, %s)",
            [LOCKS, HOUSE, LOCKS, lock_of(feature_id)],
        )


def close_gate(feature_id: UUID | None) -> None:
    """Hold the gate alone until the transaction ends; None: that of every feature."""
    with connection.cursor() as cursor:
        number = HOUSE if feature_id is None else lock_of(feature_id)
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCKS, number])


def raise_epoch(feature: Feature) -> int:
    """Make everything that was permitted until now open nothing; returns the new epoch. In the caller's transaction,
    before its other locks.
    """
    close_gate(feature.pk)
    Gate.objects.get_or_create(feature=feature)
    Gate.objects.filter(feature=feature).update(epoch=F("epoch") + 1)
    return Gate.objects.values_list("epoch", flat=True).get(feature=feature)


def stops_in_force() -> QuerySet[ToolStop]:
    """What is off now."""
    return ToolStop.objects.filter(restored_at__isnull=True)


def stops_of(features: Sequence[Feature]) -> list[ToolStop]:
    """What is off now of these features, and of all of them; the latest first."""
    mine = stops_in_force().filter(Q(feature=None) | Q(feature__in=list(features)))
    return list(mine.select_related("feature", "stopped_by", "stopped_by_key").order_by("-stopped_at"))


def doubt_over_everything() -> str:
    """Why the console itself keeps every tool off; empty where it does not."""
    stop = stops_in_force().filter(feature=None).exclude(cause="").first()
    return stop.doubt if stop else ""
