"""All reads of the record. The tables are audit_owner's; the application may only read them."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from django.db import connection

_RECORD = (
    "number, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), actor_kind, actor, "
    "session, action, feature, subject_type, subject, payload, encode(payload_hash, 'hex'), "
    "encode(previous, 'hex'), encode(hash, 'hex')"
)
_NAMES = (
    "number at actor_kind actor session action feature subject_type subject payload payload_hash "
    "previous hash"
).split()
_CHECKPOINT = "size, encode(root, 'hex'), at, key_id, encode(signature, 'hex')"
_CHECKPOINT_NAMES = "size root at key_id signature".split()
_BATCH = 5000


def records(after: int = 0, up_to: int | None = None) -> Iterator[dict[str, Any]]:
    """The records in their order, as the export and the verifier have them."""
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {_RECORD} FROM audit.record WHERE number > %s AND number <= %s "
                "ORDER BY record.number LIMIT %s",
                [after, up_to if up_to is not None else 2**62, _BATCH],
            )
            found = [dict(zip(_NAMES, row, strict=True)) for row in cursor.fetchall()]
        yield from found
        if len(found) < _BATCH:
            return
        after = found[-1]["number"]


def hashes_after(after: int, up_to: int = 2**62) -> Iterator[bytes]:
    """The records' hashes in their order: the leaves of the tree."""
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT number, hash FROM audit.record WHERE number > %s AND number <= %s "
                "ORDER BY number LIMIT %s",
                [after, up_to, _BATCH],
            )
            found = cursor.fetchall()
        for number, digest in found:
            after = number
            yield bytes(digest)
        if len(found) < _BATCH:
            return


def checkpoints() -> list[dict[str, Any]]:
    """The stored checkpoints, the smallest first."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_CHECKPOINT} FROM audit.checkpoint ORDER BY size")
        return [dict(zip(_CHECKPOINT_NAMES, row, strict=True)) for row in cursor.fetchall()]


def latest_checkpoint() -> dict[str, Any] | None:
    """The newest stored checkpoint."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_CHECKPOINT} FROM audit.checkpoint ORDER BY size DESC LIMIT 1")
        row = cursor.fetchone()
    return dict(zip(_CHECKPOINT_NAMES, row, strict=True)) if row else None


def partition_size() -> int:
    """How many records a partition holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT audit.partition_size()")
        return int(cursor.fetchone()[0])


def archived() -> dict[str, Any] | None:
    """What was archived and dropped, as the verifier takes it; None: nothing."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT size, encode(hash, 'hex'), at, subtrees FROM audit.archived")
        row = cursor.fetchone()
    if row is None:
        return None
    return {"size": row[0], "hash": row[1], "at": row[2], "subtrees": [bytes(one).hex() for one in row[3]]}


def checkpoint_of(size: int) -> dict[str, Any] | None:
    """The stored checkpoint over so many records."""
    return _checkpoint("size = %s", size)


def checkpoint_over(number: int) -> dict[str, Any] | None:
    """The smallest stored checkpoint that covers the record of that number."""
    return _checkpoint("size >= %s", number)


def _checkpoint(where: str, value: int) -> dict[str, Any] | None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_CHECKPOINT} FROM audit.checkpoint WHERE {where} ORDER BY size LIMIT 1", [value]
        )
        row = cursor.fetchone()
    return dict(zip(_CHECKPOINT_NAMES, row, strict=True)) if row else None


def record_seen(seen: "Seen", number: int) -> dict[str, Any] | None:
    """The record of that number, if it is there and may be seen."""
    found = newest(seen, Wanted(before=number + 1), 1)
    return found[0] if found and found[0]["number"] == number else None


def can_write() -> list[str]:
    """What this role could do to the record beyond appending and reading; must be empty for the
    application.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.oid::regclass || ': ' || p.privilege FROM pg_class t, (VALUES ('INSERT'), "
            "('UPDATE'), ('DELETE'), ('TRUNCATE'), ('REFERENCES'), ('TRIGGER')) p (privilege) "
            "WHERE t.relnamespace = 'audit'::regnamespace AND t.relkind IN ('r', 'p') "
            "AND has_table_privilege(t.oid, p.privilege) "
            "UNION ALL SELECT 'becomes ' || rolname FROM pg_roles "
            "WHERE rolname IN ('audit_owner', 'clearance_owner') AND pg_has_role(oid, 'MEMBER') "
            "UNION ALL SELECT 'is a superuser' FROM pg_roles WHERE rolname = current_user AND rolsuper "
            "UNION ALL SELECT 'may create in audit' WHERE has_schema_privilege('audit', 'CREATE')"
        )
        return [row[0] for row in cursor.fetchall()]


class Seen(msgspec.Struct, frozen=True):
    """What of the record somebody may see: all of it, or the features' records and those about themselves."""

    everything: bool
    features: Sequence[str] = ()
    person: str = ""


class Wanted(msgspec.Struct, frozen=True):
    """What somebody looks for; empty: any."""

    action: str = ""
    feature: str = ""
    actor: str = ""
    subject: str = ""
    before: int = 2**62


def search(seen: Seen, wanted: Wanted, limit: int = 50) -> tuple[list[dict[str, Any]], int]:
    """(the newest records below `before`, how many there are in all whatever `before`), of what may
    be seen.
    """
    where, values = _where(seen, wanted)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM audit.record WHERE {where}", values)
        total = int(cursor.fetchone()[0])
    return newest(seen, wanted, limit), total


def newest(seen: Seen, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    """The newest records below `before`, of what may be seen."""
    where, values = _where(seen, wanted)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_RECORD} FROM audit.record WHERE {where} AND number < %s "
            "ORDER BY record.number DESC LIMIT %s",
            [*values, wanted.before, limit],
        )
        return [dict(zip(_NAMES, row, strict=True)) for row in cursor.fetchall()]


def _where(seen: Seen, wanted: Wanted) -> tuple[str, list[Any]]:
    clauses, values = ["true"], list[Any]()
    if not seen.everything:
        clauses.append("(feature = ANY(%s) OR (subject_type = 'person' AND subject = %s) OR actor = %s)")
        values += [list(seen.features), seen.person, seen.person]
    for column in ("action", "feature", "actor", "subject"):
        if value := getattr(wanted, column):
            clauses.append(f"{column} = %s")
            values.append(value)
    return " AND ".join(clauses), values


def newest_number() -> int:
    """The number of the newest record; 0 for none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT number FROM audit.head")
        return int(cursor.fetchone()[0])


def last_record() -> int:
    """The number of the newest record that is really there, archived ones counted; 0 for none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT least((SELECT number FROM audit.head), greatest((SELECT max(number) FROM audit.record), "
            "(SELECT max(size) FROM audit.archived), 0))"
        )
        return int(cursor.fetchone()[0])
