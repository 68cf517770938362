"""One spelling for what is proposed: RFC 8785, and the digest that every side computes for itself."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import rfc8785

from clearance.errors import NotCanonical

__all__ = ["JsonObject", "canonical", "digest_of", "key_of", "parse_object", "same_digest"]

JsonObject = dict[str, Any]
_LONGEST_KEY = 200
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def canonical(value: object) -> bytes:
    """The bytes of RFC 8785. Raises NotCanonical for what JSON cannot say in one way."""
    try:
        found = rfc8785.dumps(value)  # type: ignore[arg-type]  # it checks the types itself
        # 2.0**53 is spelled like an integer that no reader may trust: what is read back must have the same spelling.
        rfc8785.dumps(json.loads(found))
        return found
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise NotCanonical(f"the arguments have no canonical JSON: {error}") from error


def digest_of(action: str, args: Mapping[str, Any]) -> str:
    """`sha256:<hex>` over the canonical {"action", "args"}: what an approval, a grant and a receipt are bound to."""
    return "sha256:" + hashlib.sha256(canonical({"action": action, "args": dict(args)})).hexdigest()


def same_digest(one: object, other: str) -> bool:
    """Whether `one` is a digest at all, and this one."""
    return isinstance(one, str) and _DIGEST.fullmatch(one) is not None and one == other


def key_of(run: str, call: str) -> str:
    """The idempotency key of one tool call in one run: the same after a resume, another for any other pair."""
    if not run or not call:
        raise ValueError("an idempotency key needs the run and the tool call's ID")
    key = f"{quote(run, safe='')}/{quote(call, safe='')}"
    return key if len(key) <= _LONGEST_KEY else "sha256-" + hashlib.sha256(key.encode()).hexdigest()


def parse_object(body: bytes) -> JsonObject:
    """A JSON object without doubled keys and without NaN. Raises ValueError."""
    value = json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
