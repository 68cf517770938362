"""Celery's way to the services; thin."""

from celery import shared_task

from approvals.services.ending import expire_due
from approvals.services.erasing import erase_old
from approvals.services.executing import overdue
from approvals.services.reminding import remind_due
from approvals.services.standing import check_record
from approvals.services.stopping import finish_stops


@shared_task(name="approvals.sweep", ignore_result=True)
def sweep() -> None:
    """End what is over, remind, escalate, and record stops that are not yet in the record."""
    finish_stops()
    expire_due()
    overdue()
    remind_due()


@shared_task(name="approvals.erase", ignore_result=True)
def erase() -> None:
    """Erase what was proposed longer ago than it is kept."""
    erase_old()


@shared_task(name="approvals.standing", ignore_result=True)
def standing() -> None:
    """Compare the record with what is kept outside: a database may be set back under a running product."""
    check_record(at_start=False)
