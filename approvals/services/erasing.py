"""What was proposed, claimed and reported may be personal: it is erased after the feature's retention. Digests, marks
and the record stay.
"""

from datetime import timedelta

from django.db import connection, transaction

from audit.services import Actor, append
from features.clock import clock
from features.models import Feature
from features.policy import active_policy

_BATCH = 2_000
# What still waits, may still run, or is not settled yet is read before it ends.
_ERASE = """
WITH due AS (
    SELECT d.id FROM approvals_decision d
    WHERE d.feature_id = %(feature)s AND d.created_at < %(before)s AND d.sealed IS NOT NULL
      AND NOT EXISTS (SELECT FROM approvals_approvalrequest r WHERE r.decision_id = d.id AND r.state = 'pending')
      AND NOT EXISTS (SELECT FROM approvals_grant g WHERE g.decision_id = d.id AND g.state = 'ready')
      AND NOT EXISTS (SELECT FROM approvals_execution e WHERE e.decision_id = d.id
                      AND e.state IN ('started', 'unknown') AND e.settled_at IS NULL)
    ORDER BY d.created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), results AS (
    UPDATE approvals_execution SET result = NULL FROM due WHERE decision_id = due.id AND result IS NOT NULL
), questions AS (
    UPDATE approvals_question SET sealed = NULL, salt = NULL, answer_sealed = NULL, answer_salt = NULL
    FROM due JOIN approvals_approvalrequest r ON r.decision_id = due.id WHERE request_id = r.id
)
UPDATE approvals_decision SET sealed = NULL, salt = NULL FROM due WHERE approvals_decision.id = due.id
"""


def erase_old() -> int:
    """Erase what is past retention, feature by feature and in batches; returns how many decisions."""
    erased = 0
    for feature in Feature.objects.all():
        policy = active_policy(feature.pk)
        if policy is not None:
            erased += _erase(feature, policy.traces.retention_days)
    return erased


def _erase(feature: Feature, days: int) -> int:
    before = clock() - timedelta(days=days)
    total: int = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_ERASE, {"feature": feature.pk, "before": before, "limit": _BATCH})
            done = int(cursor.rowcount)
            if done:
                append(
                    Actor("system", "retention"),
                    "decisions.erased",
                    feature=str(feature.pk),
                    subject=("feature", str(feature.pk)),
                    before=before.date().isoformat(),
                    decisions=done,
                )
        total += done
        if done < _BATCH:
            return total
