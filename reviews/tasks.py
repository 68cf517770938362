"""Celery's way to the services; thin."""

from celery import shared_task

from reviews.services.closing import close_due
from reviews.services.drawing import draw_due


@shared_task(name="reviews.weekly", ignore_result=True)
def weekly() -> None:
    """Close what is over, remind of what soon will be, draw the week that has ended."""
    close_due()
    draw_due()
