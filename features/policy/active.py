"""Which policy is in force: the newest version. Versions never change, so what was read once is kept."""

from functools import lru_cache
from uuid import UUID

from features.models import PolicyVersion
from features.policy.document import PolicyDocument


def active_version(feature_id: UUID) -> PolicyVersion | None:
    """The version in force; None: the feature has no policy yet."""
    return PolicyVersion.objects.filter(feature_id=feature_id).order_by("-number").first()


def active_policy(feature_id: UUID) -> PolicyDocument | None:
    """The document in force; one small query, whatever the document's size."""
    newest = (
        PolicyVersion.objects.filter(feature_id=feature_id).order_by("-number").values_list("pk", flat=True)
    )
    pk = newest.first()
    return _document(pk) if pk is not None else None


@lru_cache(maxsize=512)
def _document(pk: UUID) -> PolicyDocument:
    return PolicyDocument.model_validate(PolicyVersion.objects.values_list("document", flat=True).get(pk=pk))
