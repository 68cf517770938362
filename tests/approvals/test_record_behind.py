"""A database that was set back begins with every tool off: what it has forgotten must not run again."""

import json
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import psycopg
import pytest
from moto.server import ThreadedMotoServer

from approvals.services import restore
from approvals.services.standing import check_record
from audit import queries
from audit.models import Comparison
from audit.outside import compare
from audit.services import make_checkpoint
from audit.sinks import Sink, sinks_from
from features.gate import stops_in_force
from features.models import IncidentRequest, Notice, Person
from features.services import create_person
from runtime.state import StateFolder
from tests.approvals.support import Agent, make_agent, policy_text, refund
from tests.support import Browser, Client, Stack, unique

PASSWORD = "a long made-up password"


def agent_by_commands(stack: Stack, folder: Path) -> Agent:
    """As operators make one, in an installation of its own."""
    slug = unique("agent")
    assert stack.manage("feature", "create", slug, "--task", "Resolve tickets.").returncode == 0
    (folder / "clearance.toml").write_text(policy_text(slug))
    applied = stack.manage("apply", str(folder / "clearance.toml"))
    assert applied.returncode == 0, applied.stderr
    key = stack.manage("key", "create", slug, "--scope", "decide", "--scope", "read").stdout.strip()
    return Agent(Client(stack, slug, key))


def back_up(stack: Stack, to: Path) -> Path:
    """An online backup of the database's files, as PostgreSQL's manual has it (25.3); returns where they stand."""
    with psycopg.connect(StateFolder(stack.var).database_urls().admin, autocommit=True) as admin:
        shown = admin.execute("SHOW data_directory").fetchone()
        assert shown is not None
        data = Path(shown[0])
        admin.execute("SELECT pg_backup_start('test', true)")
        copy(data, to)
        label = admin.execute("SELECT labelfile FROM pg_backup_stop(false)").fetchone()
    assert label is not None
    # Of the log what came until the end of copying.
    shutil.rmtree(to / "pg_wal")
    copy(data / "pg_wal", to / "pg_wal")
    (to / "postmaster.pid").unlink()
    (to / "backup_label").write_text(label[0])
    shutil.chown(to / "backup_label", data.stat().st_uid, data.stat().st_gid)
    return data


def set_back(data: Path, backup: Path) -> None:
    shutil.rmtree(data)
    copy(backup, data)


def copy(one: Path, to: Path) -> None:
    """With owners and rights as they are. A file that goes meanwhile is none of a backup's."""
    subprocess.run(["cp", "-a", one, to], check=False, capture_output=True)


def signed_in(stack: Stack, login: str) -> httpx.Client:
    http = httpx.Client(base_url=stack.url, timeout=60)
    http.get("/accounts/login/")
    form = {"login": login, "password": PASSWORD, "csrfmiddlewaretoken": http.cookies["csrftoken"]}
    assert http.post("/accounts/login/", data=form).status_code == 302
    return http


def test_a_backup_that_is_behind_runs_nothing_until_a_person_restores(tmp_path: Path) -> None:
    kept = tmp_path / "kept outside"
    stack = Stack(tmp_path / "var", extra={"CLEARANCE_AUDIT_SINKS": f"file://{kept}"})
    try:
        stack.start()
        agent = agent_by_commands(stack, tmp_path)
        made = stack.manage("person", "create", "ada", "--administrator", "--password-stdin", given=PASSWORD)
        assert made.returncode == 0, made.stderr
        ready = agent.ask(refund()).json()["id"]
        before = json.loads(stack.manage("audit", "checkpoint").stdout)["size"]
        data = back_up(stack, tmp_path / "backup")
        assert agent.execute(ready).status_code == 200
        after = json.loads(stack.manage("audit", "checkpoint").stdout)["size"]
        assert after > before
        stack.stop()

        set_back(data, tmp_path / "backup")
        stack.start()
        told = httpx.get(f"{stack.url}/readyz").json()["record"]
        assert (told["doubt"], told["compared"]) == ("record_behind", before)
        again = agent.execute(ready)
        assert (again.status_code, again.json()["code"]) == (423, "killed")
        assert "the record is older than what is kept outside" in again.json()["detail"]
        assert agent.ask(refund()).json()["reasons"][0]["code"] == "killed"
        assert stack.manage("tools", "check").returncode == 1
        ada = signed_in(stack, "ada")
        page = ada.get("/").text
        said = re.search(r"\(record ([0-9,]+), kept outside ([0-9,]+)\)", page)
        assert said
        assert int(said[1].replace(",", "")) >= before
        assert int(said[2].replace(",", "")) == after
        audit = ada.get("/audit/", params={"action": "record.doubted"}).text
        assert audit.count("<code>record.doubted</code>") == 1
        form = {"reason": "looked into it", "csrfmiddlewaretoken": ada.cookies["csrftoken"]}
        assert ada.post("/restore", data=form).status_code == 302
        assert agent.execute(ready).json()["code"] == "revoked"
        fresh = agent.ask(refund()).json()["id"]
        assert agent.execute(fresh).status_code == 200
        # What the next start does first: a person has answered for what is kept outside.
        assert stack.manage("tools", "check").returncode == 0
        assert httpx.get(f"{stack.url}/readyz").json()["record"]["doubt"] is None
    finally:
        stack.stop()


@pytest.fixture
def administrator() -> Iterator[Person]:
    person, _ = create_person(name=unique("administrator"), administrator=True)
    yield person
    for stop in stops_in_force().filter(feature=None):
        restore(stop, "the test is over", person)


def a_checkpoint() -> dict[str, Any]:
    make_checkpoint()
    found = queries.latest_checkpoint()
    assert found is not None
    return found


def folder_with(path: Path, *checkpoints: dict[str, Any]) -> list[Sink]:
    with path.open("a") as file:
        file.writelines(json.dumps(checkpoint) + "\n" for checkpoint in checkpoints)
    return sinks_from([f"file://{path}"], "")


def test_another_record_under_a_checkpoints_number_stops_every_tool_once(
    stack: Stack, administrator: Person, tmp_path: Path
) -> None:
    agent = make_agent(stack)
    ready = agent.ask(refund()).json()["id"]
    own = a_checkpoint()
    sinks = folder_with(tmp_path / "kept", own)
    assert check_record(at_start=True, sinks=sinks)[1] is None
    assert agent.execute(ready).status_code == 200

    folder_with(tmp_path / "kept", {**own, "size": own["size"] + 1, "root": "ab" * 32})
    agent.ask(refund())
    assert check_record(at_start=False, sinks=sinks)[1] == "record_differs"
    refused = agent.execute(agent.ask(refund()).json()["id"])
    assert (refused.status_code, refused.json()["code"]) == (423, "killed")
    stop = stops_in_force().get(feature=None)
    assert IncidentRequest.objects.get(once=f"stop {stop.pk}").kind == "record.doubted"
    assert Notice.objects.filter(kind="tools.stopped", deliveries__person=administrator).exists()
    assert "not the one that is kept outside" in Browser(stack, administrator).get("/").text
    assert check_record(at_start=True, sinks=sinks)[1] is None
    assert stops_in_force().get(feature=None).pk == stop.pk

    assert Browser(stack, administrator).post("/restore", {"reason": "known to us"}).status_code == 302
    assert check_record(at_start=True, sinks=sinks)[1] is None
    assert not stops_in_force().filter(feature=None).exists()
    folder_with(tmp_path / "kept", {**own, "size": 10**9})
    assert check_record(at_start=True, sinks=sinks)[1] == "record_behind"


def test_a_stop_by_a_person_takes_the_doubt_on(stack: Stack, administrator: Person, tmp_path: Path) -> None:
    assert Browser(stack, administrator).post("/kill", {"reason": "drill"}).status_code == 302
    sinks = folder_with(tmp_path / "kept", {**a_checkpoint(), "size": 10**9})
    assert check_record(at_start=True, sinks=sinks)[1] == "record_behind"
    page = Browser(stack, administrator).get("/").text
    assert "drill" in page
    assert "older than what is kept outside" in page


def test_a_place_outside_that_cannot_be_read_stops_at_a_start_and_only_then(
    stack: Stack, administrator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    url = f"s3://{unique('gone')}/console?endpoint=http://127.0.0.1:9"
    assert check_record(at_start=False, sinks=sinks_from([url], ""))[1] is None
    assert check_record(at_start=True, sinks=sinks_from([url + "&read=no"], ""))[1] is None
    assert check_record(at_start=True, sinks=sinks_from([url], ""))[1] == "outside_unread"
    assert "could not be read at the start (s3 gone" in Browser(stack, administrator).get("/").text
    assert httpx.get(f"{stack.url}/readyz").json()["record"]["unread"] >= 1
    Comparison.objects.all().delete()


def test_a_bucket_tells_even_what_was_written_over(
    monkeypatch: pytest.MonkeyPatch, administrator: Person
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint, bucket = f"http://{host}:{port}", unique("evidence")
        client = boto3.client("s3", endpoint_url=endpoint)
        client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        (sink,) = sinks_from([f"s3://{bucket}/console?endpoint={endpoint}"], "")
        own = a_checkpoint()
        sink.send({**own, "root": secrets.token_hex(32)})
        sink.send(own)
        found = compare([sink])
        assert [stray.size for stray in found.strays] == [own["size"]]
        assert found.doubt(at_start=False) == "record_differs"
        # The newest version is of this record, and was compared.
        assert Comparison.objects.get(sink=sink.name).size == own["size"]
    finally:
        server.stop()


def test_the_operator_switches_tools_off_and_on_in_a_persons_name(
    stack: Stack, administrator: Person
) -> None:
    agent = make_agent(stack)
    given = ("--as", administrator.name, "--reason", "refunds loop")
    off = stack.manage("tools", "off", agent.slug, *given)
    assert off.returncode == 0, off.stderr
    assert agent.ask(refund()).json()["reasons"][0]["code"] == "killed"
    assert stack.manage("tools", "on", agent.slug, "--as", "nobody", "--reason", "mended").returncode == 2
    on = stack.manage("tools", "on", agent.slug, *given)
    assert on.returncode == 0, on.stderr
    assert agent.ask(refund()).status_code == 200
    seen = queries.Seen(everything=True)
    wanted = queries.Wanted(feature=str(agent.feature.pk), action="tools.restored")
    (record,) = queries.newest(seen, wanted, 5)
    assert (record["actor_kind"], record["actor"]) == ("operator", administrator.name)
