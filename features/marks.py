"""Marks: keyed digests by which values are compared that are not kept in the clear."""

import hashlib
import hmac
import unicodedata
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
import rfc8785
from django.conf import settings

__all__ = ["args_mark", "mark", "span_mark", "written"]

_MOST_ARGUMENTS = 64 * 1024  # bytes of JSON; a decision takes no larger ones
_WRITTEN_BYTES = 16
_LETTERS = str.maketrans("0123456789", "ghijklmnop")
_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=8)
def _key(vault_key: str) -> bytes:
    return hmac.digest(bytes.fromhex(vault_key), b"clearance approvals marks", hashlib.sha256)


def _digest(message: bytes) -> bytes:
    # The oldest key: a new one that seals must not make what is known unknown.
    return hmac.digest(_key(settings.VAULT_KEYS[-1]), message, hashlib.sha256)


def mark(feature_id: UUID, kind: str, value: str) -> bytes:
    """HMAC-SHA256 (RFC 2104) of a value: equal values are found, small ones are not guessed. Texts that look alike
    by compatibility (Unicode NFKC) are one value.
    """
    text = unicodedata.normalize("NFKC", value)
    return _digest(f"{feature_id}\0{kind}\0{text}".encode("utf-8", "surrogatepass"))


def args_mark(feature_id: UUID, action: str, args: dict[str, Any]) -> bytes:
    """The mark of canonical arguments, for a tool span's to be compared with; no text is made equal to another."""
    return _digest(f"{feature_id}\0args\0{action}\0".encode() + rfc8785.dumps(args))


def written(marked: bytes) -> str:
    """A mark as spans and facts carry it: its first 128 bits, in letters alone, so that nothing takes it for a
    number.
    """
    return marked[:_WRITTEN_BYTES].hex().translate(_LETTERS)


def span_mark(feature_id: UUID, tool: str, arguments: object) -> str | None:
    """The written mark of a tool span's arguments as they came; None: they are no object that has a canonical JSON
    (RFC 8785), or too large for a decision.
    """
    if not isinstance(arguments, dict):
        return None
    try:
        if len(_encode(arguments)) > _MOST_ARGUMENTS:
            return None
        return written(args_mark(feature_id, tool, arguments))
    except (ValueError, TypeError, OverflowError, RecursionError):  # a number or a text that JSON has not
        return None
