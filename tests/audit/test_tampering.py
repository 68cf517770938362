"""The superuser changes the record in the database itself: found under what is kept outside, never blamed untouched."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import verifier
from audit.queries import _CHECKPOINT, _CHECKPOINT_NAMES, _NAMES, _RECORD
from runtime.state import StateFolder
from tests.support import ROOT, Stack, unique

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)
RECORDS, SIGNED = 120, (40, 80, 110)
Database = psycopg.Connection[Any]
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def log(stack: Stack) -> Iterator[Database]:
    """A log of its own in a database of its own, as the superuser sees it; each test puts back what it changed."""
    admin = StateFolder(stack.var).database_urls().admin
    name = unique("tampered").replace("-", "_")
    with psycopg.connect(admin, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    try:
        with psycopg.connect(admin.replace("/postgres?", f"/{name}?")) as database:
            database.execute("CREATE SCHEMA audit AUTHORIZATION audit_owner")
            database.execute("SET ROLE audit_owner")
            database.execute((ROOT / "audit/sql/record.sql").read_text())
            database.execute("RESET ROLE")
            database.execute("ALTER TABLE audit.record DROP CONSTRAINT record_number_check")
            for n in range(1, RECORDS + 1):
                database.execute(
                    "SELECT audit.append('person', %s, '', 'role.given', 'f', 'feature', 'f', %s)",
                    [f"p{n % 7}", f'{{"person":"p{n}","role":"lead"}}'],
                )
                if n in SIGNED:
                    sign(database, n, KEY)
            database.commit()
            yield database
    finally:
        with psycopg.connect(admin, autocommit=True) as server:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def read(database: Database) -> tuple[Rows, Rows]:
    """(records, stored checkpoints) as the verifier takes them."""
    records = database.execute(f"SELECT {_RECORD} FROM audit.record ORDER BY record.number").fetchall()
    stored = database.execute(f"SELECT {_CHECKPOINT} FROM audit.checkpoint ORDER BY size").fetchall()
    return (
        [dict(zip(_NAMES, row, strict=True)) for row in records],
        [dict(zip(_CHECKPOINT_NAMES, row, strict=True)) for row in stored],
    )


def sign(database: Database, size: int, key: Ed25519PrivateKey) -> None:
    """Store a checkpoint over the first `size` records as they stand."""
    records, _ = read(database)
    root = verifier.root_of([bytes.fromhex(record["hash"]) for record in records[:size]])
    at = "2026-01-01T00:00:00.000000Z"
    signature = key.sign(verifier.checkpoint_message(size, root, at))
    database.execute("DELETE FROM audit.checkpoint WHERE size = %s", [size])
    database.execute(
        "INSERT INTO audit.checkpoint VALUES (%s, %s, %s, %s, %s)",
        [size, root, at, verifier.key_id(key.public_key()), signature],
    )


def rechain(database: Database, first: int) -> None:
    """Make hashes and links right again from a record on, as somebody with the superuser's rights would."""
    records, _ = read(database)
    previous = bytes.fromhex(records[first - 2]["hash"]) if first > 1 else verifier.GENESIS
    for record in records[first - 1 :]:
        record["previous"] = previous.hex()
        previous = verifier.record_hash(record)
        database.execute(
            "UPDATE audit.record SET previous = %s, hash = %s, payload_hash = sha256(convert_to(payload, 'UTF8')) "
            "WHERE number = %s",
            [bytes.fromhex(record["previous"]), previous, record["number"]],
        )


def change(database: Database, chance: random.Random) -> int:
    """A byte somewhere in a record."""
    number = chance.randint(1, RECORDS)
    column = chance.choice("actor session action feature subject payload actor_kind hash previous".split())
    if column in ("hash", "previous"):
        database.execute(f"UPDATE audit.record SET {column} = sha256({column}) WHERE number = %s", [number])
    elif column == "action":
        database.execute("UPDATE audit.record SET action = 'role.taken' WHERE number = %s", [number])
    elif column == "actor_kind":
        database.execute("UPDATE audit.record SET actor_kind = 'system' WHERE number = %s", [number])
    else:
        database.execute(f"UPDATE audit.record SET {column} = {column} || ' ' WHERE number = %s", [number])
    return number


def delete(database: Database, chance: random.Random) -> int:
    """A record gone from the middle."""
    number = chance.randint(1, SIGNED[-1])
    database.execute("DELETE FROM audit.record WHERE number = %s", [number])
    return number


def delete_and_close_up(database: Database, chance: random.Random) -> int:
    """A record gone, the others moved up and chained anew."""
    number = delete(database, chance)
    database.execute("UPDATE audit.record SET number = -number WHERE number > %s", [number])
    database.execute("UPDATE audit.record SET number = -number - 1 WHERE number < 0")
    rechain(database, number)
    return number


def insert(database: Database, chance: random.Random) -> int:
    """A record more, the others moved down and chained anew."""
    number = chance.randint(2, SIGNED[-1])
    database.execute("UPDATE audit.record SET number = -number WHERE number >= %s", [number])
    database.execute("UPDATE audit.record SET number = -number + 1 WHERE number < 0")
    database.execute(
        "INSERT INTO audit.record SELECT %s, at, actor_kind, 'somebody else', session, action, feature, subject_type, "
        "subject, payload, payload_hash, previous, hash FROM audit.record WHERE number = %s",
        [number, number - 1],
    )
    rechain(database, number)
    return number


def swap(database: Database, chance: random.Random) -> int:
    """Two records in each other's place, chained anew."""
    number = chance.randint(1, SIGNED[-1] - 1)
    database.execute("UPDATE audit.record SET number = -1 WHERE number = %s", [number])
    database.execute("UPDATE audit.record SET number = %s WHERE number = %s", [number, number + 1])
    database.execute("UPDATE audit.record SET number = %s WHERE number = -1", [number + 1])
    if chance.random() < 0.5:
        rechain(database, number)
    return number


def truncate(database: Database, chance: random.Random) -> int:
    """The tail gone, and whatever stored checkpoint spoke of it."""
    number = chance.randint(1, SIGNED[-1])
    database.execute("DELETE FROM audit.record WHERE number >= %s", [number])
    database.execute("DELETE FROM audit.checkpoint WHERE size >= %s", [number])
    return number


def rewrite(database: Database, chance: random.Random) -> int:
    """A record changed and everything after it chained anew."""
    number = chance.randint(1, SIGNED[-1])
    database.execute("UPDATE audit.record SET actor = 'somebody else' WHERE number = %s", [number])
    rechain(database, number)
    return number


def rewrite_and_sign(database: Database, chance: random.Random) -> int:
    """The same, and the stored checkpoints signed anew: by another key, or by the right one."""
    number = rewrite(database, chance)
    key = chance.choice([KEY, OTHER])
    for size in SIGNED:
        if size >= number:
            sign(database, size, key)
    return number


def replace_a_checkpoint(database: Database, chance: random.Random) -> int:
    """A stored checkpoint of another key, over records that are as they were."""
    size = chance.choice(SIGNED)
    sign(database, size, OTHER)
    return size


KINDS: list[Callable[[Database, random.Random], int]] = [
    change,
    delete,
    delete_and_close_up,
    insert,
    swap,
    truncate,
    rewrite,
    rewrite_and_sign,
    replace_a_checkpoint,
]


def test_a_thousand_tamperings_by_the_superuser_are_all_found_and_named(log: Database) -> None:
    records, outside = read(log)
    receipts = [{"number": n, "hash": records[n - 1]["hash"]} for n in range(SIGNED[-1] + 1, RECORDS + 1)]
    public = KEY.public_key()
    chance = random.Random(20261124)
    for n in range(1000):
        kind = KINDS[n % len(KINDS)]
        log.execute("SAVEPOINT untouched")
        first_bad = kind(log, chance)
        tampered, stored = read(log)
        with pytest.raises(verifier.Tampered) as found:
            verifier.verify(tampered, public, stored, outside, receipts)
        # What was chained anew is only known to lie between two checkpoints: the first record after the last good one.
        good = max((size for size in SIGNED if size < first_bad), default=0)
        assert good < found.value.number <= max(first_bad, good + 1), (
            kind.__name__,
            first_bad,
            str(found.value),
        )
        if kind in (change, delete):
            assert first_bad <= found.value.number + 1, (kind.__name__, first_bad, str(found.value))
        log.execute("ROLLBACK TO SAVEPOINT untouched")
    assert read(log)[0] == records


def test_an_untouched_log_is_never_blamed(log: Database) -> None:
    public = KEY.public_key()
    chance = random.Random(7)
    for _ in range(100):
        records, stored = read(log)
        outside = chance.sample(stored, chance.randint(0, len(stored)))
        receipts = [{"number": r["number"], "hash": r["hash"]} for r in chance.sample(records, 9)]
        verdict = verifier.verify(records, public, stored, outside, receipts)
        assert verdict.records == RECORDS
        assert verdict.outside == max((one["size"] for one in outside), default=0)
