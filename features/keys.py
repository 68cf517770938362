"""How an API key looks and how one is recognised.

`clr_<prefix>_<secret>`: the prefix (8 characters) names the row and may be shown, the secret is 32 random
bytes. A digest without salt or stretching is enough for 256 random bits: there is nothing to guess (OWASP
Password Storage Cheat Sheet speaks of passwords, which people choose).
"""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime

from features.models import ApiKey

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


def new_key() -> tuple[str, str, bytes]:
    """(clear key, its visible prefix, its digest)."""
    prefix = "clr_" + "".join(secrets.choice(_ALPHABET) for _ in range(8))
    clear = f"{prefix}_{secrets.token_urlsafe(32)}"
    return clear, prefix, digest_of(clear)


def digest_of(clear: str) -> bytes:
    return hashlib.sha256(clear.encode("utf-8", "surrogatepass")).digest()


def find_key(clear: str, at: datetime | None = None) -> ApiKey | None:
    """The usable key that `clear` is, with its feature; None when unknown, expired or revoked."""
    prefix = clear[:12]
    if len(clear) > 128 or not prefix.startswith("clr_") or "\x00" in prefix or not prefix.isascii():
        return None
    key = ApiKey.objects.select_related("feature").filter(prefix=prefix).first()
    # Compared even when absent, so that the answer takes the same time for both.
    known = bytes(key.digest) if key else b"\x00" * 32
    if not hmac.compare_digest(known, digest_of(clear)) or key is None:
        return None
    return key if key.is_usable(at or datetime.now(UTC)) else None
