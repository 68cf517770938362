"""All writes of the record: appending, and signing checkpoints."""

from typing import Any, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.db import connection, transaction

from audit.actions import canonical_payload
from audit.queries import hashes_after, latest_checkpoint
from audit.verifier import Tree, checkpoint_message, key_id

ActorKind = Literal["person", "key", "system", "operator"]


class Actor(msgspec.Struct, frozen=True):
    """Who did it: a person's or a key's ID, the part of the system, or the name that an operator claims."""

    kind: ActorKind
    id: str
    session: str = ""


class Receipt(msgspec.Struct, frozen=True):
    """A record's number and hash: whoever keeps them can prove later that the record was there."""

    number: int
    hash: str  # hexadecimal


def append(
    actor: Actor, action: str, *, feature: str = "", subject: tuple[str, str] = ("", ""), **payload: Any
) -> Receipt:
    """Append a record, in the transaction of what it records and last in it: the record's head stays locked
    until the transaction ends. If it cannot be appended, it raises, and what was to be recorded does not
    happen.

    `feature` is the feature's ID, `subject` a pair of type and ID. Raises KeyError, msgspec.ValidationError
    and the database's errors; RuntimeError outside of a transaction.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("a record is appended in the transaction of what it records")
    canonical = canonical_payload(action, payload)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT number, hash FROM audit.append(%s, %s, %s, %s, %s, %s, %s, %s)",
            [actor.kind, actor.id, actor.session, action, feature, *subject, canonical],
        )
        number, digest = cursor.fetchone()
    return Receipt(number, bytes(digest).hex())


def signing_key() -> Ed25519PrivateKey:
    """The installation's signing key; never from the database."""
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(settings.AUDIT_SIGNING_KEY))


def public_key_pem(public: Ed25519PublicKey) -> str:
    """The public key in PEM, to be kept outside of the installation."""
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def make_checkpoint() -> dict[str, Any] | None:
    """Sign the root over all records and store it; None when nothing came since the newest one.

    Returns {"size", "root", "at", "key_id", "signature"}, hexadecimal where bytes, as the export and the
    verifier have it.
    """
    signing = signing_key()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('audit.checkpoint'))")
        newest = latest_checkpoint()
        tree = Tree()
        for digest in hashes_after(0):
            tree.add(digest)
        if (newest is not None and newest["size"] >= tree.size) or not tree.size:
            return None
        cursor.execute(
            "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        )
        at: str = cursor.fetchone()[0]
        root = tree.root()
        signature = signing.sign(checkpoint_message(tree.size, root, at))
        whose = key_id(signing.public_key())
        cursor.execute(
            "SELECT audit.add_checkpoint(%s, %s, %s, %s, %s)", [tree.size, root, at, whose, signature]
        )
    return {
        "size": tree.size,
        "root": root.hex(),
        "at": at,
        "key_id": whose,
        "signature": signature.hex(),
    }
