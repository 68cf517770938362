"""The record grows by partitions; full ones are archived and dropped, and everything still verifies."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from runtime.state import StateFolder
from tests.support import ROOT, Stack

# What is a million in the product is ten here, laid out so by the superuser before anything is archived.
SMALL = """
CREATE OR REPLACE FUNCTION audit.partition_size() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 10::bigint';
ALTER TABLE audit.record DETACH PARTITION audit.record_000000;
ALTER TABLE audit.record_000000 RENAME TO whole;
SET ROLE audit_owner;
SELECT audit.make_partition(n) FROM generate_series(1, (SELECT number FROM audit.head) + 10, 10) n;
RESET ROLE;
INSERT INTO audit.record SELECT * FROM audit.whole;
DROP TABLE audit.whole;
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The product on a database of its own, with partitions of ten records."""
    stack = Stack(tmp_path_factory.mktemp("partitions") / "var").start()
    admin = StateFolder(stack.var).database_urls().admin.replace("/postgres?", "/clearance?")
    with psycopg.connect(admin, autocommit=True) as superuser:
        superuser.execute(SMALL)
    yield stack
    stack.stop()


def grow(stack: Stack, records: int) -> None:
    with psycopg.connect(StateFolder(stack.var).database_urls().app, autocommit=True) as database:
        database.execute(
            "SELECT audit.append('system', 'test', '', 'sign_out.done', '', '', '', '{}') FROM generate_series(1, %s)",
            [records],
        )


def tables(stack: Stack) -> list[str]:
    with psycopg.connect(StateFolder(stack.var).database_urls().app) as database:
        rows = database.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'audit'::regnamespace AND relkind = 'r' "
            "AND relname LIKE 'record_%' ORDER BY relname"
        )
        return [row[0] for row in rows]


def offline(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(ROOT / "audit/verifier.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_archived_partitions_leave_the_database_and_everything_still_verifies(
    own: Stack, tmp_path: Path
) -> None:
    key, first, second, rest = (tmp_path / name for name in ("key.pem", "first", "second", "rest"))
    key.write_text(own.manage("audit", "public-key").stdout)
    grow(own, 12)
    early = json.loads(own.manage("audit", "checkpoint").stdout)
    receipts, outside = tmp_path / "receipts", tmp_path / "checkpoints"
    assert own.manage("audit", "archive", str(first)).returncode == 0
    refused = own.manage("audit", "archive", str(first))
    assert refused.returncode == 2
    assert "written once" in refused.stderr
    first.unlink()
    by_app = own.manage("audit", "archive", str(first), "--drop")
    assert by_app.returncode != 0
    assert "run it with CLEARANCE_ROLE=owner" in by_app.stderr
    assert not first.exists()
    assert "record_000000" in tables(own)
    own.extra["CLEARANCE_ROLE"] = "owner"
    dropped = own.manage("audit", "archive", str(first), "--drop")
    del own.extra["CLEARANCE_ROLE"]
    assert dropped.returncode == 0, dropped.stderr
    assert "record_000000" not in tables(own)

    grow(own, 12)
    late = json.loads(own.manage("audit", "checkpoint").stdout)
    outside.write_text(json.dumps(late) + "\n" + json.dumps(early) + "\n")
    receipts.write_text("")
    verified = own.manage("audit", "verify", "--public-key", str(key), "--checkpoints", str(outside))
    assert (verified.returncode, verified.stderr) == (0, "")
    own.extra["CLEARANCE_ROLE"] = "owner"
    assert own.manage("audit", "archive", str(second), "--drop").returncode == 0
    del own.extra["CLEARANCE_ROLE"]
    assert own.manage("audit", "verify").returncode == 0
    own.manage("audit", "export", str(rest))
    for file in (first, second, rest):
        checked = offline(str(file), "--public-key", str(key))
        assert checked.returncode == 0, checked.stderr

    # A change in an archive is found in the archive, one in what the database keeps of it in the database.
    lines = first.read_text().splitlines()
    record = json.loads(lines[4])
    record["record"]["actor"] = "somebody else"
    first.write_text("\n".join([*lines[:4], json.dumps(record), *lines[5:]]))
    checked = offline(str(first), "--public-key", str(key))
    assert (checked.returncode, checked.stdout.strip()) == (1, "5")
    admin = StateFolder(own.var).database_urls().admin.replace("/postgres?", "/clearance?")
    for change in ("size = size - 10", "hash = sha256(hash)", "subtrees = subtrees[2:]"):
        with psycopg.connect(admin) as superuser:
            superuser.execute(f"UPDATE audit.archived SET {change}")
            superuser.commit()
            assert own.manage("audit", "verify").returncode == 1, change
            superuser.execute("UPDATE audit.archived SET size = %s, hash = %s, subtrees = %s", kept(rest))
            superuser.commit()
    assert own.manage("audit", "verify").returncode == 0


def kept(export: Path) -> tuple[int, bytes, list[bytes]]:
    """What the export says was archived."""
    said = json.loads(export.read_text().splitlines()[0])["archived"]
    return said["size"], bytes.fromhex(said["hash"]), [bytes.fromhex(one) for one in said["subtrees"]]


def test_the_application_may_not_write_to_any_partition(own: Stack) -> None:
    with psycopg.connect(StateFolder(own.var).database_urls().app, autocommit=True) as app:
        for table in [*tables(own), "archived"]:
            for statement in (f"DELETE FROM audit.{table}", f"DROP TABLE audit.{table}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    app.execute(statement)
