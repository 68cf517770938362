"""Receipts: a signed word, good for a minute, that exactly these arguments may run now, once. The gateway that holds a
tool's real credential verifies it before it acts.

A JWS in its compact form (RFC 7515) with EdDSA over Ed25519 (RFC 8037); the public keys are a JWK Set (RFC 7517).
"""

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from approvals.services.executing import Started
from audit.verifier import key_id

__all__ = ["SECONDS", "TYPE", "jwks", "receipt_of"]

SECONDS = 60
TYPE = "receipt+jwt"


@lru_cache(maxsize=4)
def _key(seed: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))


def receipt_of(started: Started, feature: str) -> str:
    """The receipt of an execution that was just handed out."""
    key = _key(settings.RECEIPT_SIGNING_KEYS[0])
    at = int(datetime.now(UTC).timestamp())
    claims = {
        "iss": settings.CLEARANCE_URL,
        "jti": str(started.execution.pk),
        "iat": at,
        "exp": at + SECONDS,
        "feature": feature,
        "action": started.action,
        "digest": f"sha256:{started.digest.hex()}",
        "record": {"number": started.record.number, "hash": started.record.hash},
    }
    return jwt.encode(claims, key, "EdDSA", headers={"kid": key_id(key.public_key()), "typ": TYPE})


def jwks() -> dict[str, Any]:
    """The public keys, the newest first; older ones stay until no receipt of theirs is good any more."""
    keys = []
    for seed in settings.RECEIPT_SIGNING_KEYS:
        public = _key(seed).public_key()
        keys.append(
            {
                **json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(public)),
                "kid": key_id(public),
                "alg": "EdDSA",
                "use": "sig",
            }
        )
    return {"keys": keys}
