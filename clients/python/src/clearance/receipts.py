"""For the gateway that holds a tool's real credential: act only on a receipt, exactly, in time and once."""

from __future__ import annotations

import base64
import binascii
import json
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from clearance.canonical import JsonObject, digest_of, parse_object, same_digest
from clearance.errors import ReceiptInvalid, ReceiptReplayed, Unavailable

__all__ = ["FileSeen", "Jwks", "JwksUrl", "MemorySeen", "Receipt", "Seen", "verify_receipt"]

TYPE = "receipt+jwt"
_LEEWAY = 5.0  # seconds that two clocks may differ
_LONGEST_LIFE = 300.0
_LONGEST_TOKEN = 8_192
_REMEMBER = 3_600.0
Jwks = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt that holds, and is used up now."""

    execution: str
    feature: str
    action: str
    digest: str
    issued_at: int
    expires_at: int
    claims: JsonObject = field(repr=False)


class Seen(Protocol):
    """Remembers which executions were acted on; shared by all processes that hold the same credential."""

    def add(self, execution: str, until: float) -> bool:
        """Whether it was not there yet, in one indivisible step. It may be forgotten after `until` (Unix time)."""


class MemorySeen:
    """For a gateway of one process, whose restart takes longer than receipts live (60 s)."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, execution: str, until: float) -> bool:
        with self._lock:
            now = time.time()
            for old in [one for one, end in self._until.items() if end + _REMEMBER < now]:
                del self._until[old]
            if execution in self._until:
                return False
            self._until[execution] = until
            return True


class FileSeen:
    """In an SQLite file on a local disk: of any number of processes, one gets True. Durable before it answers."""

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        with self._open() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS seen (execution TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID"
            )
        connection.close()

    def add(self, execution: str, until: float) -> bool:
        connection = self._open()
        try:
            # One statement, one transaction: the primary key decides between processes.
            cursor = connection.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (execution, until))
            new = cursor.rowcount == 1
            if new:
                connection.execute("DELETE FROM seen WHERE until < ?", (time.time() - _REMEMBER,))
            return new
        finally:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        # A connection for each use: none is carried over a fork or into another thread.
        connection = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        return connection


class JwksUrl:
    """The key set at Clearance's own address, fetched once, and again (at most once a minute) for an unknown key.

    The address is pinned by you and must be https but for this machine; a receipt never says where to look.
    """

    def __init__(self, url: str, *, timeout: float = 5.0) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("keys are fetched over https only")
        self._url = url
        self._timeout = timeout
        self._keys: JsonObject = {}
        self._fetched = float("-inf")
        self._lock = threading.Lock()

    def keys(self, kid: str) -> Jwks:
        """The key set, looked at anew where it does not know `kid`. Raises Unavailable."""
        with self._lock:
            known = any(isinstance(one, dict) and one.get("kid") == kid for one in self._keys.get("keys", []))
            if not known and time.monotonic() - self._fetched >= 60:
                self._keys = self._fetch()
                self._fetched = time.monotonic()
            return self._keys

    def _fetch(self) -> JsonObject:
        try:
            reply = httpx.get(self._url, timeout=self._timeout, follow_redirects=False)
            reply.raise_for_status()
            found = parse_object(reply.content)
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable(f"the keys of receipts could not be had: {error}") from error
        if not isinstance(found.get("keys"), list):
            raise Unavailable("the keys of receipts could not be had: it is no key set")
        return found


def verify_receipt(
    token: str,
    jwks: Jwks | JwksUrl | str,
    *,
    feature: str,
    action: str,
    args: Mapping[str, Any],
    seen: Seen,
    issuer: str | None = None,
) -> Receipt:
    """The receipt, when it permits just this: signed by a pinned key (EdDSA, RFC 8037), in time, of this feature and
    action, over exactly these arguments, and not used before. Call it as the last thing before the real call.

    `jwks` is a key set (RFC 7517), a JwksUrl or the key set's address. Raises ReceiptInvalid, ReceiptReplayed, or
    Unavailable where the keys cannot be had.
    """
    head, body, signed, signature = _taken_apart(token)
    if head.get("alg") != "EdDSA" or head.get("typ") != TYPE or "crit" in head:
        raise ReceiptInvalid("it is no receipt: wrong algorithm or type")
    kid = head.get("kid")
    if not isinstance(kid, str):
        raise ReceiptInvalid("it names no key")
    keys = _shared(jwks) if isinstance(jwks, str) else jwks
    key = _key(keys.keys(kid) if isinstance(keys, JwksUrl) else keys, kid)
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        raise ReceiptInvalid("the signature is not that of the key it names") from None
    receipt = _read(body)
    now = time.time()
    if now > receipt.expires_at + _LEEWAY:
        raise ReceiptInvalid("it has expired")
    if receipt.issued_at > now + _LEEWAY or not 0 < receipt.expires_at - receipt.issued_at <= _LONGEST_LIFE:
        raise ReceiptInvalid("its times cannot be right")
    if issuer is not None and body.get("iss") != issuer:
        raise ReceiptInvalid("another Clearance made it")
    if receipt.feature != feature or receipt.action != action:
        raise ReceiptInvalid("it is for another feature or action")
    if not same_digest(receipt.digest, digest_of(action, args)):
        raise ReceiptInvalid("it is for other arguments")
    if not seen.add(receipt.execution, receipt.expires_at + _LEEWAY):
        raise ReceiptReplayed("it was used before")
    return receipt


_urls: dict[str, JwksUrl] = {}


def _shared(url: str) -> JwksUrl:
    return _urls.setdefault(url, JwksUrl(url))


def _taken_apart(token: str) -> tuple[JsonObject, JsonObject, bytes, bytes]:
    parts = token.split(".") if isinstance(token, str) and len(token) <= _LONGEST_TOKEN else []
    if len(parts) != 3 or not token.isascii():
        raise ReceiptInvalid("it is no compact JWS")
    try:
        head, body, signature = (_decoded(part) for part in parts)
        return parse_object(head), parse_object(body), f"{parts[0]}.{parts[1]}".encode(), signature
    except (ValueError, RecursionError) as error:
        raise ReceiptInvalid("it is no compact JWS") from error


def _decoded(part: str) -> bytes:
    """Base64url without padding, in its one spelling."""
    found = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != part:
        raise binascii.Error("not the one spelling")
    return found


def _key(jwks: Jwks, kid: str) -> Ed25519PublicKey:
    found = [one for one in jwks.get("keys", ()) if isinstance(one, Mapping) and one.get("kid") == kid]
    if len(found) != 1 or found[0].get("kty") != "OKP" or found[0].get("crv") != "Ed25519":
        raise ReceiptInvalid("it names no key of the set")
    try:
        return Ed25519PublicKey.from_public_bytes(_decoded(found[0]["x"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ReceiptInvalid("the key in the set is no Ed25519 key") from error


def _read(body: JsonObject) -> Receipt:
    texts = [body.get(name) for name in ("jti", "feature", "action", "digest")]
    times = [body.get(name) for name in ("iat", "exp")]
    if not all(isinstance(one, str) and one for one in texts) or not all(type(one) is int for one in times):
        raise ReceiptInvalid("a claim is missing or of another type")
    execution, feature, action, digest = map(str, texts)
    issued_at, expires_at = (int(json.dumps(one)) for one in times)
    return Receipt(execution, feature, action, digest, issued_at, expires_at, body)
