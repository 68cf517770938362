"""Which policy is in force: the newest version. Versions never change, so what was read once is kept."""

from functools import lru_cache
from uuid import UUID

from django.db import connection

from features.models import PolicyVersion
from features.policy.document import PolicyDocument

_NEWEST = "SELECT id FROM features_policyversion WHERE feature_id = %s ORDER BY number DESC LIMIT 1"


def active_version(feature_id: UUID) -> PolicyVersion | None:
    """The version in force; None: the feature has no policy yet."""
    return PolicyVersion.objects.filter(feature_id=feature_id).order_by("-number").first()


def active_policy(feature_id: UUID) -> PolicyDocument | None:
    """The document in force; one small query, whatever the document's size, and by hand: ingest asks for each
    body.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, [feature_id])
        found = cursor.fetchone()
    return policy_of(found[0]) if found is not None else None


@lru_cache(maxsize=4096)
def number_of(pk: UUID) -> int:
    """The number of a version; it never changes."""
    return PolicyVersion.objects.values_list("number", flat=True).get(pk=pk)


@lru_cache(maxsize=512)
def policy_of(pk: UUID) -> PolicyDocument:
    """The document of a version; it never changes."""
    return PolicyDocument.model_validate(PolicyVersion.objects.values_list("document", flat=True).get(pk=pk))
