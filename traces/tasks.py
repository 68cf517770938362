"""What the worker does when it is woken or by the clock. Thin: all work is in services."""

import time

from celery import shared_task

from traces.lag import watch_lag, work_left
from traces.prices import mark_priced
from traces.retention import ensure_partitions, forget_old_receipts, run_retention
from traces.rollups import roll_up
from traces.services import settle_dirty

_TURN_SECONDS = 30.0
_ENOUGH_WORK = 10_000


@shared_task(name="traces.settle")
def settle() -> int:
    """Settle dirty traces until none is left or the turn is over; returns how many."""
    until = time.monotonic() + _TURN_SECONDS
    settled = 0
    while (done := settle_dirty()) and time.monotonic() < until:
        settled += done
    return settled


@shared_task(name="traces.reprice")
def reprice() -> int:
    """Put the traces that changed prices touch on the work list, as long as that is short; returns how many were
    looked at.
    """
    until = time.monotonic() + _TURN_SECONDS
    seen = 0
    while time.monotonic() < until and work_left(_ENOUGH_WORK) < _ENOUGH_WORK and (done := mark_priced()):
        seen += done
    return seen


@shared_task(name="traces.lag")
def lag() -> int:
    """Tell who must know that traces wait too long, or no longer do."""
    return watch_lag()


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
