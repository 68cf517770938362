"""Each feature's redactor, with an HMAC key of its own derived from the installation's: nothing secret in the
database.
"""

from functools import lru_cache
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from traces.redact import Redactor


@lru_cache(maxsize=1024)
def redactor_for(feature_id: UUID) -> Redactor:
    """The feature's redactor. Key: HKDF-SHA256 (RFC 5869) of the installation's redaction key and the
    feature's ID.
    """
    root = settings.REDACTION_KEY.encode()
    key = HKDF(
        algorithm=SHA256(), length=32, salt=None, info=b"clearance redaction " + feature_id.bytes
    ).derive(root)
    return Redactor(key)
