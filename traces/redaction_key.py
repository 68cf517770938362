"""Each feature's redactor: its policy's patterns, and an HMAC key of its own derived from the installation's,
so that nothing secret is in the database.
"""

from functools import lru_cache
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from features.policy import PolicyDocument, active_policy
from traces.redact import KINDS, SECRET, Redactor


def redactor_for(feature_id: UUID) -> Redactor:
    """The feature's redactor, as its policy in force says."""
    return redactor_by(feature_id, active_policy(feature_id))


def redactor_by(feature_id: UUID, policy: PolicyDocument | None) -> Redactor:
    """The feature's redactor by a policy. Where personal data is kept, secrets and the policy's own patterns
    are still replaced.
    """
    if policy is None:
        return _redactor(feature_id, (), KINDS)
    kinds = frozenset({SECRET}) if policy.traces.pii == "keep" else KINDS
    return _redactor(feature_id, tuple(sorted(policy.traces.patterns.items())), kinds)


@lru_cache(maxsize=1024)
def _redactor(feature_id: UUID, patterns: tuple[tuple[str, str], ...], kinds: frozenset[str]) -> Redactor:
    """Key: HKDF-SHA256 (RFC 5869) of the installation's redaction key and the feature's ID."""
    root = settings.REDACTION_KEY.encode()
    key = HKDF(
        algorithm=SHA256(), length=32, salt=None, info=b"clearance redaction " + feature_id.bytes
    ).derive(root)
    return Redactor(key, dict(patterns), kinds)
