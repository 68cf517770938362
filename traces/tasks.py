"""What the worker does when it is woken or by the clock. Thin: all work is in services."""

import time

from celery import shared_task

from traces.retention import ensure_partitions, forget_old_receipts, run_retention
from traces.rollups import roll_up
from traces.services import settle_dirty

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
    """Take away what is past retention, a turn at a time, so that settling never waits long for a worker;
    returns how many traces went.
    """
    report = run_retention(seconds=_TURN_SECONDS)
    if not report.finished:
        retention.delay()
    return report.traces
