"""How an API key looks and how one is recognised.

`clr_<prefix>_<secret>`: the prefix (8 characters) names the row and may be shown, the secret is 32 random
bytes. A digest without salt or stretching is enough for 256 random bits: there is nothing to guess (OWASP
Password Storage Cheat Sheet speaks of passwords, which people choose).
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import connection

from features.models import ApiKey

_PREFIX = 12  # letters
_NO_DIGEST = bytes(32)
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


def new_key() -> tuple[str, str, bytes]:
    """(clear key, its visible prefix, its digest)."""
    prefix = "clr_" + "".join(secrets.choice(_ALPHABET) for _ in range(8))
    clear = f"{prefix}_{secrets.token_urlsafe(32)}"
    return clear, prefix, digest_of(clear)


def digest_of(clear: str) -> bytes:
    return hashlib.sha256(clear.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What a door must know of a usable key."""

    id: UUID
    feature_id: UUID
    scopes: tuple[str, ...]
    last_used_at: datetime | None

    def allows(self, scope: str) -> bool:
        return scope in self.scopes


_BY_PREFIX = (
    "SELECT id, feature_id, digest, scopes, expires_at, revoked_at, last_used_at FROM features_apikey "
    "WHERE prefix = %s"
)
_JUST_NOW = timedelta(minutes=1)


def known_key(clear: str) -> KnownKey | None:
    """As find_key, for a door with much traffic: one statement by hand, asked anew each time, so that a key that
    is revoked opens nothing from then on. Notes that the key was used.
    """
    if not _looks_right(clear):
        return None
    with connection.cursor() as cursor:
        cursor.execute(_BY_PREFIX, [clear[:_PREFIX]])
        row = cursor.fetchone()
    if not hmac.compare_digest(bytes(row[2]) if row else _NO_DIGEST, digest_of(clear)) or row is None:
        return None
    key_id, feature_id, _, scopes, expires_at, revoked_at, last_used_at = row
    if revoked_at is not None or (expires_at is not None and datetime.now(UTC) >= expires_at):
        return None
    note_used(key_id, last_used_at)
    return KnownKey(key_id, feature_id, tuple(scopes), last_used_at)


def note_used(key_id: UUID, last_used_at: datetime | None) -> None:
    """Keep when a key was last used, to the minute: not one write for each call."""
    now = datetime.now(UTC)
    if last_used_at is None or now - last_used_at > _JUST_NOW:
        ApiKey.objects.filter(pk=key_id).update(last_used_at=now)


def find_key(clear: str, at: datetime | None = None) -> ApiKey | None:
    """The usable key that `clear` is, with its feature; None when unknown, expired or revoked."""
    if not _looks_right(clear):
        return None
    key = ApiKey.objects.select_related("feature").filter(prefix=clear[:_PREFIX]).first()
    # Compared even when absent, so that the answer takes the same time for both.
    known = bytes(key.digest) if key else _NO_DIGEST
    if not hmac.compare_digest(known, digest_of(clear)) or key is None:
        return None
    return key if key.is_usable(at or datetime.now(UTC)) else None


def _looks_right(clear: str) -> bool:
    """Whether it can be a key at all, and be asked for."""
    prefix = clear[:_PREFIX]
    return len(clear) <= 128 and prefix.startswith("clr_") and "\x00" not in prefix and prefix.isascii()
