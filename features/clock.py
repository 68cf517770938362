"""The one clock of transactions: the database's."""

from datetime import datetime

from django.db import connection


def clock() -> datetime:
    """The database's time at this statement, aware UTC; two processes never disagree about it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0]
    return at
