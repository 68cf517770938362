"""All writes of the record: appending, and signing checkpoints."""

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from audit.actions import canonical_payload
from audit.models import CheckpointDelivery, Verification
from audit.queries import (
    archived,
    checkpoint_of,
    checkpoints,
    hashes_after,
    latest_checkpoint,
    partition_size,
    records,
)
from audit.verifier import Tampered, Tree, checkpoint_message, key_id, verify

log = logging.getLogger("clearance.audit")

_FIRST_WAIT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(hours=1)

# What this process has read of the record so far: the next checkpoint only reads what came since. Guarded by the
# lock, and a record that is read is committed and never changes.
_grown = Tree()
_grown_to = b""  # the hash of the last record in it
_growing = threading.Lock()

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
    """Sign the root over all records and store it, and over each full partition on the way, so that it can be archived;
    None when nothing came since the newest one.

    Returns {"size", "root", "at", "key_id", "signature"}, hexadecimal where bytes, as the export and the
    verifier have it.
    """
    global _grown_to
    with _growing, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('audit.checkpoint'))")
        newest = latest_checkpoint()
        signed = newest["size"] if newest else 0
        partition = partition_size()
        tree = _tree_so_far()
        for digest in hashes_after(tree.size):
            tree.add(digest)
            _grown_to = digest
            if tree.size % partition == 0 and tree.size > signed:
                _sign(cursor, tree)
                signed = tree.size
        if tree.size > signed:
            _sign(cursor, tree)
        made = latest_checkpoint()
    return made if made != newest else None


def _tree_so_far() -> Tree:
    """What this process has read, if that is still what is there: a database may be set back under a running worker.
    At first what was archived.
    """
    if _grown_to and next(hashes_after(_grown.size - 1, _grown.size), b"") != _grown_to:
        _grown.grow_from(0, [])
    if not _grown.size and (gone := archived()):
        _grown.grow_from(gone["size"], gone["subtrees"])
    return _grown


def _sign(cursor: CursorWrapper, tree: Tree) -> None:
    cursor.execute(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    )
    at: str = cursor.fetchone()[0]
    root, signing = tree.root(), signing_key()
    signature = signing.sign(checkpoint_message(tree.size, root, at))
    cursor.execute(
        "SELECT audit.add_checkpoint(%s, %s, %s, %s, %s)",
        [tree.size, root, at, key_id(signing.public_key()), signature],
    )
    CheckpointDelivery.objects.bulk_create(
        [
            CheckpointDelivery(size=tree.size, sink=sink.name, outside=sink.outside)
            for sink in settings.AUDIT_SINKS
        ],
        ignore_conflicts=True,
    )


def deliver_checkpoints(limit: int = 100) -> int:
    """Hand due checkpoints to their sinks, each in a transaction of its own; returns how many were tried. What cannot
    be handed over is tried again, later and later, for as long as it takes. At least once: a sink may get one twice.
    """
    tried = 0
    while tried < limit and _deliver_one():
        tried += 1
    return tried


@transaction.atomic
def _deliver_one() -> bool:
    sinks = {sink.name: sink for sink in settings.AUDIT_SINKS}
    due = CheckpointDelivery.objects.filter(delivered_at=None, due_at__lte=datetime.now(UTC), sink__in=sinks)
    row = due.order_by("due_at").select_for_update(skip_locked=True).first()
    if row is None:
        return False
    checkpoint = checkpoint_of(row.size)
    row.attempts += 1
    try:
        if checkpoint is None:
            raise LookupError("the checkpoint is gone from the database")
        sinks[row.sink].send(checkpoint)
    except Exception as error:  # noqa: BLE001 - whatever a network, a bucket or a disk does
        row.error = type(error).__name__
        row.due_at = datetime.now(UTC) + min(_FIRST_WAIT * 2 ** min(row.attempts - 1, 12), _LONGEST_WAIT)
        log.warning("checkpoint %s did not reach %s (%s)", row.size, row.sink, row.error)
    else:
        row.delivered_at, row.error = datetime.now(UTC), ""
    row.save()
    return True


def verify_all() -> Verification:
    """Verify the whole record against the stored checkpoints and keep the result, for the page. It proves nothing to
    whoever does not trust this machine: for them there is audit/verifier.py.
    """
    try:
        # Checkpoints first: none may speak of a record that was appended after the records were read.
        stored = checkpoints()
        gone = archived()
        after = gone["size"] if gone else 0
        verdict = verify(records(after), signing_key().public_key(), stored, archived=gone)
        made = Verification(up_to=verdict.records)
    except Tampered as error:
        log.critical("the audit record is not as it was: %s", error)
        made = Verification(up_to=max(error.number - 1, 0), bad_number=error.number, why=error.why[:300])
    with transaction.atomic():
        Verification.objects.all().delete()
        made.save()
    return made


def become_record_owner() -> None:
    """Act as the owner of the record on this connection. Raises ProgrammingError for the application's role, which
    cannot; the owner's (CLEARANCE_ROLE=owner) can.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE audit_owner")


def drop_archived(upto: dict[str, Any]) -> None:
    """Drop the partitions that an archive holds and keep what verifying needs of them, `upto` as
    verifier.verify_archive gives it. Only after `become_record_owner`.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT audit.partition_size()")
        size = cursor.fetchone()[0]
        cursor.execute("SELECT coalesce(max(size), 0) FROM audit.archived")
        gone = cursor.fetchone()[0]
        for part in range(gone // size, upto["size"] // size):
            cursor.execute(f"DROP TABLE audit.record_{part:06d}")
        cursor.execute("DELETE FROM audit.archived")
        cursor.execute(
            "INSERT INTO audit.archived (size, hash, at, subtrees) VALUES (%s, %s, %s, %s)",
            [
                upto["size"],
                bytes.fromhex(upto["hash"]),
                upto["at"],
                [bytes.fromhex(one) for one in upto["subtrees"]],
            ],
        )
