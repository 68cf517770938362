"""Tokens: `[email:7f3a1c9e2b4d6f8090ab]`, a kind and 80 bits of a keyed digest of the canonical value."""

import hashlib
import hmac
import re

# Fixed lengths and one class each: linear.
TOKEN_PATTERN = re.compile(r"\[([a-z][a-z0-9_]{0,31}):([0-9a-f]{20})\]")
# What a token's colon becomes in text that only looks like one: a ratio sign, visibly not a colon.
_ESCAPED = "\u2236"


class TokenMaker:
    """Makes a feature's tokens with its secret."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("a redaction secret has at least 16 bytes")
        self._secret = secret

    def make(self, kind: str, canonical: str) -> str:
        """The token of a value: HMAC-SHA256 (RFC 2104) over kind, NUL, canonical value, cut to 80 bits."""
        message = f"{kind}\0{canonical}".encode()
        return f"[{kind}:{hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:20]}]"

    @staticmethod
    def escape_lookalikes(text: str) -> str:
        """Text in which nothing has the form of a token: someone else's text must not pass for our
        finding.
        """
        return TOKEN_PATTERN.sub(lambda found: f"[{found[1]}{_ESCAPED}{found[2]}]", text)


def is_token(text: str) -> bool:
    """Whether the whole text is one token."""
    return TOKEN_PATTERN.fullmatch(text) is not None


def short(token: str) -> str:
    """The token as people read it: `[email:7f3a]`."""
    found = TOKEN_PATTERN.fullmatch(token)
    return f"[{found[1]}:{found[2][:4]}]" if found else token
