"""The time that people have: a reminder when half of it is over, other people at four fifths, then the expiry."""

from collections.abc import Callable

from django.db import connection, transaction

from approvals.models import ApprovalRequest
from approvals.telling import escalate, remind
from features.clock import clock

_REMIND_AT = 0.5
_ESCALATE_AT = 0.8
_DUE = """
SELECT id FROM approvals_approvalrequest
WHERE state = 'pending' AND {column} IS NULL
  AND clock_timestamp() >= created_at + (expires_at - created_at) * %s AND clock_timestamp() < expires_at
LIMIT 200
"""


def remind_due() -> int:
    """Remind and escalate what is due, each once; returns how many."""
    return _each("reminded_at", _REMIND_AT, remind) + _each("escalated_at", _ESCALATE_AT, escalate)


def _each(column: str, share: float, tell: Callable[[ApprovalRequest], None]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_DUE.format(column=column), [share])
        due = [row[0] for row in cursor.fetchall()]
    done = 0
    for pk in due:
        with transaction.atomic():
            request = (
                ApprovalRequest.objects.select_for_update(of=("self",), skip_locked=True)
                .filter(pk=pk, state="pending", **{f"{column}__isnull": True})
                .select_related("feature")
                .first()
            )
            if request is not None:
                setattr(request, column, clock())
                request.save(update_fields=[column])
                tell(request)
                done += 1
    return done
