"""What the worker does when it is woken or by the clock. Thin: all work is in services."""

import time

from celery import shared_task

from traces.rollups import roll_up
from traces.services import ensure_partitions, forget_expired, forget_old_receipts, settle_dirty

_TURN_SECONDS = 30.0


@shared_task(name="traces.settle")
def settle() -> int:
    """Settle dirty traces until none is left or the turn is over; returns how many."""
    until = time.monotonic() + _TURN_SECONDS
    settled = 0
    while (done := settle_dirty()) and time.monotonic() < until:
        settled += done
    return settled


@shared_task(name="traces.roll_up")
def roll_up_due() -> int:
    """Compute the rollups that are due until none is left or the turn is over; returns how many steps."""
    until = time.monotonic() + _TURN_SECONDS
    computed = 0
    while (done := roll_up()) and time.monotonic() < until:
        computed += done
    return computed


@shared_task(name="traces.partitions")
def partitions() -> int:
    """Make the coming days' partitions and forget receipts older than a day."""
    forget_old_receipts()
    return ensure_partitions()


@shared_task(name="traces.retention")
def retention() -> int:
    """Delete what is older than its policy keeps it; returns how many traces."""
    return forget_expired()
