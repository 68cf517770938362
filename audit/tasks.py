"""Celery's way to the services; thin."""

from celery import shared_task

from audit.models import Verification
from audit.services import deliver_checkpoints, make_checkpoint, verify_all


@shared_task(name="audit.checkpoint", ignore_result=True)
def checkpoint() -> None:
    """Sign what came since the newest checkpoint, and hand over what is due."""
    make_checkpoint()
    deliver_checkpoints()
    if not Verification.objects.exists():
        verify_all()


@shared_task(name="audit.verify", ignore_result=True)
def verify() -> None:
    """Verify the whole record, for the page."""
    verify_all()
