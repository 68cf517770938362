"""Celery's way to the services; thin."""

from celery import shared_task

from audit.services import make_checkpoint


@shared_task(name="audit.checkpoint", ignore_result=True)
def checkpoint() -> None:
    """Sign what came since the newest checkpoint."""
    make_checkpoint()
