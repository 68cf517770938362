"""Celery's way to the services; thin."""

from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore

from features.outbox import deliver_due, forget_old_notices, tell_of_ending_keys


@shared_task(name="features.deliver", ignore_result=True)
def deliver() -> None:
    """Send what is due."""
    deliver_due()


@shared_task(name="features.daily", ignore_result=True)
def daily() -> None:
    """Tell of keys that end soon; forget old notices and sessions that are over."""
    tell_of_ending_keys()
    forget_old_notices()
    SessionStore.clear_expired()
