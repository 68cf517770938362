"""What is proposed, made canonical and digested once, at the door; sealed at rest, and compared by keyed marks."""

import hashlib
import json
from typing import Any
from uuid import UUID

import msgspec
import rfc8785
from cryptography.fernet import InvalidToken

from approvals.models import Decision
from features.identity.sealing import cipher

__all__ = ["Proposal", "open_proposal", "seal_proposal"]


class Proposal(msgspec.Struct, frozen=True):
    """An action with its arguments as they will run; `context` and `claim` are the agent's own word."""

    action: str
    args: dict[str, Any]
    context: dict[str, Any] = {}
    claim: str = ""
    edited: list[dict[str, Any]] = []  # [{path, from, to}], as the agent gets them

    @property
    def canonical(self) -> bytes:
        """The arguments in their one spelling (RFC 8785)."""
        return rfc8785.dumps(self.args)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON of {"action", "args"}."""
        return hashlib.sha256(rfc8785.dumps({"action": self.action, "args": self.args})).digest()

    def edited_to(self, args: dict[str, Any]) -> "Proposal":
        """The same with other arguments, and with what a person changed."""
        edited = [*self.edited, *differences(self.args, args)]
        return msgspec.structs.replace(self, args=args, edited=edited)


def canonical_object(value: dict[str, Any]) -> dict[str, Any]:
    """The object as its canonical JSON says it: 1.0 and 1e0 are 1."""
    found: dict[str, Any] = json.loads(rfc8785.dumps(value))
    return found


def differences(before: Any, after: Any, path: str = "") -> list[dict[str, Any]]:
    """[{path, from, to}] of the values that differ, by object keys; a list differs as a whole."""
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        for key in dict.fromkeys([*before, *after]):
            inner = f"{path}.{key}" if path else key
            found += differences(before.get(key), after.get(key), inner)
        return found
    if rfc8785.dumps(before) == rfc8785.dumps(after):
        return []
    return [{"path": path, "from": before, "to": after}]


def seal_proposal(proposal: Proposal, decision_id: UUID) -> bytes:
    """Sealed with the decision's ID, so that no row can be passed for another."""
    kept = rfc8785.dumps(
        {
            "id": str(decision_id),
            "args": proposal.args,
            "context": proposal.context,
            "claim": proposal.claim,
            "edited": proposal.edited,
        }
    )
    return cipher().encrypt(kept)


def open_proposal(decision: Decision) -> Proposal | None:
    """What was proposed; None when it was erased, or no key of ours opens it as this decision's."""
    if decision.sealed is None:
        return None
    try:
        kept = json.loads(cipher().decrypt(bytes(decision.sealed)))
    except InvalidToken:
        return None
    if kept.pop("id") != str(decision.pk):
        return None
    return Proposal(action=decision.action, **kept)


def seal_words(text: str, owner: UUID) -> bytes:
    """What a person wrote, sealed with the ID of its row."""
    return cipher().encrypt(f"{owner}\n{text}".encode())


def open_words(sealed: bytes | None, owner: UUID) -> str | None:
    """The text; None where it was erased, is another row's, or no key opens it."""
    found = open_text(sealed)
    begin = f"{owner}\n"
    return found.removeprefix(begin) if found.startswith(begin) else None


def seal_text(text: str) -> bytes:
    """What an agent says of an outcome, sealed."""
    return cipher().encrypt(text.encode())


def open_text(sealed: bytes | None) -> str:
    """The text; empty where there is none or no key opens it."""
    try:
        return cipher().decrypt(bytes(sealed)).decode() if sealed else ""
    except InvalidToken:
        return ""
