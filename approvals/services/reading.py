"""What a transition must know at one moment: time, epoch, policy in force and what is off, in one statement."""

from datetime import datetime
from uuid import UUID

import msgspec
from django.db import connection

_FACTS = """
SELECT clock_timestamp(),
       coalesce((SELECT epoch FROM features_gate WHERE feature_id = %(feature)s), 1),
       (SELECT id FROM features_policyversion WHERE feature_id = %(feature)s ORDER BY number DESC LIMIT 1),
       (SELECT id FROM features_toolstop
        WHERE restored_at IS NULL AND (feature_id IS NULL OR feature_id = %(feature)s)
          AND action IN ('', %(action)s) LIMIT 1)
"""


class Facts(msgspec.Struct, frozen=True):
    """The feature as one statement saw it."""

    now: datetime
    epoch: int
    policy: UUID | None
    stop: UUID | None


def facts_of(feature_id: UUID, action: str) -> Facts:
    """As committed when the statement begins: asked after the locks are held."""
    with connection.cursor() as cursor:
        cursor.execute(_FACTS, {"feature": feature_id, "action": action})
        row = cursor.fetchone()
    return Facts(*row)
