"""The record in the database: one way in, in the same transaction, and nobody changes it unnoticed."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from psycopg import errors

from audit import queries, verifier
from audit.services import Actor, append, make_checkpoint, signing_key
from features.errors import ClearanceError
from features.services import create_feature, create_key, create_person, give_role, revoke_key
from runtime.state import StateFolder
from tests.support import Client, Stack, unique

SYSTEM = Actor("system", "tests")


def of(subject: str) -> list[dict[str, object]]:
    """The records about a subject, each as action and payload."""
    return [
        {"action": one["action"], "actor": one["actor"], **json.loads(one["payload"])}
        for one in queries.records()
        if one["subject"] == subject
    ]


def appended(n: int) -> int:
    with transaction.atomic():
        number = append(SYSTEM, "key.revoked", subject=("key", f"k{n}"), prefix="clr_test").number
    connection.close()
    return number


def test_racing_appends_are_numbered_without_a_gap_and_chain() -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(appended, range(64)))
    assert len(set(numbers)) == 64
    found = [one["number"] for one in queries.records()]
    assert found == list(range(1, len(found) + 1))
    verdict = verifier.verify(queries.records(), signing_key().public_key())
    assert verdict.records >= 64


def test_a_receipt_is_the_records_number_and_hash() -> None:
    with transaction.atomic():
        receipt = append(SYSTEM, "key.revoked", prefix="clr_test")
    stored = next(queries.records(after=receipt.number - 1))
    assert (stored["number"], stored["hash"]) == (receipt.number, receipt.hash)
    assert verifier.record_hash(stored).hex() == receipt.hash


def test_what_is_not_committed_leaves_no_record_and_no_gap() -> None:
    before = len(list(queries.records()))

    with transaction.atomic():
        append(SYSTEM, "key.revoked", prefix="clr_test")
        transaction.set_rollback(True)
    after = len(list(queries.records()))
    assert after >= before
    verifier.verify(queries.records(), signing_key().public_key())


def test_an_act_that_cannot_be_recorded_does_not_happen() -> None:
    slug = unique("unrecorded")
    with pytest.raises(RuntimeError, match="transaction"):
        append(SYSTEM, "key.revoked", prefix="x")

    @transaction.atomic
    def act() -> None:
        create_feature(slug=slug, task="One sentence.")
        with connection.cursor() as cursor:
            cursor.execute("SELECT audit.append('system', '', '', 'key.revoked', '', '', '', '[1, 2]')")

    with pytest.raises(DatabaseError, match="payload"):
        act()
    from features.models import Feature

    assert not Feature.objects.filter(slug=slug).exists()


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("key.revoked", {"prefix": "x", "reason": "because"}),
        ("key.revoked", {}),
        ("role.given", {"role": 3, "person": "p"}),
    ],
)
def test_a_payload_has_its_actions_closed_schema(action: str, payload: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError), transaction.atomic():
        append(SYSTEM, action, **payload)
    with pytest.raises(KeyError), transaction.atomic():
        append(SYSTEM, "made.up")


def test_features_keys_people_and_roles_are_recorded(client: Client) -> None:
    lead, _ = create_person(name=unique("lead"))
    feature = create_feature(slug=unique("recorded"), task="One sentence.", by=lead)
    key, _ = create_key(feature=feature, scopes=["read"], by=lead)
    revoke_key(key=key, by=lead)
    revoke_key(key=key, by=lead)
    give_role(feature=feature, person=lead, role="lead", by=lead)
    assert [one["action"] for one in of(str(feature.pk))] == ["role.given", "feature.created"]
    assert [one["action"] for one in of(str(key.pk))] == ["key.made", "key.revoked"]
    assert {one["actor"] for one in of(str(key.pk))} == {str(lead.pk)}
    assert of(str(lead.pk)) == [
        {"action": "person.created", "actor": of(str(lead.pk))[0]["actor"], "administrator": False}
    ]
    with pytest.raises(ClearanceError):
        create_feature(slug=feature.slug, task="Again.")
    assert len(of(str(feature.pk))) == 2


REFUSED = [
    "INSERT INTO audit.record SELECT * FROM audit.record LIMIT 1",
    "UPDATE audit.record SET actor = 'nobody'",
    "DELETE FROM audit.record",
    "TRUNCATE audit.record",
    "DROP TABLE audit.record",
    "ALTER TABLE audit.record ADD COLUMN more text",
    "UPDATE audit.head SET number = 0",
    "INSERT INTO audit.checkpoint VALUES (1, '', '', '', '')",
    "SELECT * FROM audit.record FOR UPDATE",
    "LOCK TABLE audit.record IN ACCESS EXCLUSIVE MODE",
    "COPY audit.record FROM STDIN",
    "SET ROLE audit_owner",
    "SET SESSION AUTHORIZATION audit_owner",
    "CREATE TRIGGER t BEFORE INSERT ON audit.record FOR EACH ROW "
    "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE r AS ON INSERT TO audit.record DO INSTEAD NOTHING",
    "CREATE TABLE audit.mine (a int)",
    "CREATE OR REPLACE FUNCTION audit.field(value text) RETURNS bytea LANGUAGE sql AS 'SELECT ''''::bytea'",
    "ALTER FUNCTION audit.field(text) OWNER TO clearance_app",
    "CREATE INDEX i ON audit.record (actor)",
    "COMMENT ON TABLE audit.record IS 'mine'",
    "SELECT audit.field('x')",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_the_application_is_refused_everything_but_reading_and_appending(
    stack: Stack, statement: str
) -> None:
    refusals = (errors.InsufficientPrivilege, errors.WrongObjectType)
    with psycopg.connect(StateFolder(stack.var).database_urls().app) as app, pytest.raises(refusals):
        app.execute(statement)


def test_no_search_path_and_no_temporary_table_leads_an_append_astray(stack: Stack) -> None:
    with psycopg.connect(StateFolder(stack.var).database_urls().app) as app:
        app.execute("CREATE TEMP TABLE record (LIKE audit.record)")
        app.execute("CREATE TEMP TABLE head (only_row boolean, number bigint, at timestamptz, hash bytea)")
        app.execute("INSERT INTO head VALUES (true, 0, now(), '')")
        app.execute("SET search_path = pg_temp, audit, public")
        row = app.execute(
            "SELECT number FROM audit.append('system', 'tests', '', 'sign_out.done', '', '', '', '{}')"
        ).fetchone()
        assert row is not None
        found = app.execute("SELECT count(*) FROM audit.record WHERE number = %s", row).fetchone()
        assert found == (1,)
        assert app.execute("SELECT count(*) FROM pg_temp.record").fetchone() == (0,)
        app.execute("GRANT INSERT ON audit.record TO clearance_app")  # a warning, and nothing granted
    assert queries.can_write() == []


def test_the_superusers_change_is_found_by_the_command(stack: Stack, tmp_path: Path) -> None:
    """On a product of this test's own: nothing else may verify a broken record."""
    own = Stack(tmp_path / "var")
    own.start()
    try:
        for n in range(6):
            assert own.manage("feature", "create", f"agent-{n}").returncode == 0
        kept = own.manage("audit", "checkpoint")
        outside, pem = tmp_path / "outside", tmp_path / "key.pem"
        outside.write_text(kept.stdout)
        pem.write_text(own.manage("audit", "public-key").stdout)
        flags = ("--public-key", str(pem), "--checkpoints", str(outside))
        good = own.manage("audit", "verify", *flags)
        assert (good.returncode, good.stdout.split()[0]) == (0, "6")
        export = tmp_path / "export"
        assert own.manage("audit", "export", str(export)).returncode == 0
        assert len(export.read_text().splitlines()) >= 7
        admin = StateFolder(own.var).database_urls().admin.replace("/postgres?", "/clearance?")
        with psycopg.connect(admin, autocommit=True) as superuser:
            superuser.execute("UPDATE audit.record SET actor = 'somebody else' WHERE number = 4")
        bad = own.manage("audit", "verify", *flags)
        assert (bad.returncode, bad.stdout.strip()) == (1, "4")
        with psycopg.connect(admin, autocommit=True) as superuser:
            superuser.execute("DELETE FROM audit.record WHERE number >= 3")
        cut = own.manage("audit", "verify", *flags)
        assert (cut.returncode, cut.stdout.strip()) == (1, "3")
    finally:
        own.stop()


def test_a_checkpoint_covers_all_records_and_verifies() -> None:
    appended(1)
    made = make_checkpoint()
    stored = queries.latest_checkpoint()
    assert stored is not None
    assert made is None or made == stored
    verdict = verifier.verify(queries.records(), signing_key().public_key(), queries.checkpoints(), [stored])
    assert verdict.outside == stored["size"]


def test_a_role_that_could_change_the_record_does_not_serve(tmp_path: Path) -> None:
    own = Stack(tmp_path / "var")
    own.start()
    try:
        assert httpx.get(f"{own.url}/readyz", timeout=10).status_code == 200
        admin = StateFolder(own.var).database_urls().admin.replace("/postgres?", "/clearance?")
        with psycopg.connect(admin, autocommit=True) as superuser:
            superuser.execute("GRANT UPDATE ON audit.record TO clearance_app")
        refused = httpx.get(f"{own.url}/readyz", timeout=10)
        assert (refused.status_code, "audit" in refused.json()) == (503, True)
    finally:
        own.stop()
