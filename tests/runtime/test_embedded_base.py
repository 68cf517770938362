"""The supervised group: who may do what in the database, recovery, refusals, and nothing left behind."""

import hashlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import errors

from runtime.state import StateFolder
from tests.support import ROOT, Stack

# --- roles (the running product's own database) ----------------------------------------------------------


def connect(stack: Stack, role: str) -> psycopg.Connection:
    urls = StateFolder(stack.var).database_urls()
    return psycopg.connect(getattr(urls, role), autocommit=True)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE made_by_app (id int)",
        "CREATE SCHEMA made_by_app",
        "ALTER TABLE span ADD COLUMN more text",
        "DROP TABLE span",
        "TRUNCATE span",
        "SET ROLE audit_owner",
        "SET ROLE clearance_owner",
        "CREATE TABLE audit.made_by_app (id int)",
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_the_application_may_not_change_the_schema_nor_become_another(stack: Stack, statement: str) -> None:
    with (
        connect(stack, "app") as app,
        pytest.raises((errors.InsufficientPrivilege, errors.InvalidSchemaName)),
    ):
        app.execute(statement)


def test_the_application_owns_nothing(stack: Stack) -> None:
    with connect(stack, "admin") as admin:
        admin_url = StateFolder(stack.var).database_urls().admin.replace("/postgres?", "/clearance?")
        with psycopg.connect(admin_url) as inside:
            owned = inside.execute(
                "SELECT relname FROM pg_class WHERE relowner = 'clearance_app'::regrole "
                "AND relpersistence <> 't'"  # staging tables are temporary
            ).fetchall()
        flags = admin.execute(
            "SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, "
            "rolcanlogin FROM pg_roles WHERE rolname IN "
            "('audit_owner', 'clearance_owner', 'clearance_app', 'clearance_read') ORDER BY rolname"
        ).fetchall()
    assert owned == []
    assert flags == [
        ("audit_owner", False, False),
        ("clearance_app", False, True),
        ("clearance_owner", False, True),
        ("clearance_read", False, True),
    ]


def test_the_reader_reads_and_writes_nothing(stack: Stack) -> None:
    with connect(stack, "read") as reader:
        assert reader.execute("SELECT count(*) FROM span").fetchone() is not None
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute("DELETE FROM dirty_trace")


def test_a_password_is_asked_for_even_on_the_socket(stack: Stack) -> None:
    url = StateFolder(stack.var).database_urls().app
    scheme, _, rest = url.partition("://")
    role, _, place = rest.partition(":")
    without = f"{scheme}://{role}:wrong@{place.partition('@')[2]}"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(without)


def test_secrets_are_readable_by_their_owner_alone(stack: Stack) -> None:
    folder = stack.var / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert len(files) >= 3
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    log = stack.log.read_text()
    for secret in ("django-secret-key", "redaction-key"):
        assert StateFolder(stack.var).secret(secret) not in log


# --- starting and ending ---------------------------------------------------------------------------------


def run(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runtime", "run"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_second_start_on_a_state_folder_is_refused_and_says_who_holds_it(stack: Stack) -> None:
    assert stack.process is not None
    done = run({**stack.env, "PORT": "1"})
    assert done.returncode == 2
    assert f"already in use by pid {stack.process.pid}" in done.stderr
    assert stack.url in done.stderr


def test_a_taken_port_is_an_error_that_names_it_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        fresh = Stack(tmp_path / "var", port=port)
        done = run(fresh.env)
    assert done.returncode == 2
    assert f"Port {port}" in done.stderr
    assert "PORT" in done.stderr
    assert not (tmp_path / "var" / "postgres").exists()


@pytest.mark.parametrize("value", ["http", "0", "70000"])
def test_a_wrong_port_is_an_error_that_names_the_variable(tmp_path: Path, value: str) -> None:
    done = run({**Stack(tmp_path / "var").env, "PORT": value})
    assert done.returncode == 2
    assert "PORT" in done.stderr


def test_a_command_before_the_first_start_says_what_to_do(tmp_path: Path) -> None:
    done = Stack(tmp_path / "var").manage("feature", "create", "x")
    assert done.returncode == 2
    assert "make run" in done.stderr
    assert "Traceback" not in done.stderr


def mine(stack: Stack) -> list[int]:
    """All processes that were started for a state folder, whoever their parents are now."""
    run = hashlib.sha256(os.fsencode(stack.var.resolve())).hexdigest()[:16]
    marks = {f"CLEARANCE_VAR={stack.var}".encode(), f"CLEARANCE_RUN={run}".encode()}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if marks & set(environment) and state != "Z":
                found.append(int(entry.name))
    return found


def gone(stack: Stack, seconds: float = 20) -> list[int]:
    until = time.monotonic() + seconds
    while (left := mine(stack)) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def test_ending_leaves_nothing_running_and_the_next_start_keeps_the_data(tmp_path: Path) -> None:
    fresh = Stack(tmp_path / "a state folder")
    fresh.start()
    try:
        assert fresh.manage("feature", "create", "kept-agent").stdout.strip() == "kept-agent"
        assert len(mine(fresh)) >= 5
        assert fresh.process is not None
        fresh.process.send_signal(signal.SIGINT)
        assert fresh.process.wait(30) in {0, 130}
        assert gone(fresh) == []
        fresh.start()
        assert "kept-agent" in fresh.manage("feature", "create", "kept-agent").stdout
    finally:
        fresh.stop()
    assert gone(fresh) == []


def test_killing_the_supervisor_ends_its_parts_and_the_next_start_recovers(tmp_path: Path) -> None:
    fresh = Stack(tmp_path / "var")
    fresh.start()
    try:
        assert fresh.process is not None
        os.kill(fresh.process.pid, signal.SIGKILL)
        fresh.process.wait()
        fresh.start()
        assert httpx.get(f"{fresh.url}/readyz", timeout=10).status_code == 200
    finally:
        fresh.stop()
    assert gone(fresh) == []


def test_a_managed_database_is_used_and_bootstrap_prints_its_urls(stack: Stack, tmp_path: Path) -> None:
    admin = StateFolder(stack.var).database_urls().admin
    made = subprocess.run(
        [sys.executable, "-m", "runtime.bootstrap", "--database", "managed"],
        cwd=ROOT,
        env={**os.environ, "CLEARANCE_ADMIN_URL": admin},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert made.returncode == 0, made.stderr
    urls = dict(line.split("=", 1) for line in made.stdout.splitlines())
    assert set(urls) == {"DATABASE_URL", "DATABASE_OWNER_URL"}
    # The roles are the installation's: give them their passwords back for the product that runs here.
    from runtime.bootstrap import RolePasswords, bootstrap

    fresh = Stack(tmp_path / "var", extra=urls)
    try:
        fresh.start()
        assert not (tmp_path / "var" / "postgres").exists()
        assert fresh.manage("feature", "create", "managed-agent").returncode == 0
    finally:
        fresh.stop()
        bootstrap(admin, RolePasswords.from_urls(StateFolder(stack.var).database_urls()))
