"""Roles, database and schemas, on the embedded server and on a managed one (PostgreSQL 15 or newer).

| role | may |
| --- | --- |
| audit_owner | own the schema `audit`; cannot log in |
| clearance_owner | migrate: owns the database and the schema `public`, can become audit_owner; never serves |
| clearance_app | read and write rows of `public`, make temporary tables; owns nothing |
| clearance_read | read rows of `public` |

`python -m runtime.bootstrap --help` is for whoever runs PostgreSQL themselves.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import Connection, sql

from runtime.errors import Refused, RuntimeFault
from runtime.state import DATABASE, DatabaseUrls

__all__ = ["RolePasswords", "bootstrap"]

_SERVER = 150000
_FLAGS = ("rolsuper", "rolcreatedb", "rolcreaterole", "rolreplication", "rolbypassrls")


@dataclass(frozen=True)
class RolePasswords:
    """The passwords of the three roles that log in."""

    owner: str
    app: str
    read: str

    @classmethod
    def random(cls) -> RolePasswords:
        """New ones, of 32 random bytes each."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))

    @classmethod
    def from_urls(cls, urls: DatabaseUrls) -> RolePasswords:
        """Those that stand in the URLs. Raises `ValueError` where one is missing."""
        found = [urlsplit(url).password for url in (urls.owner, urls.app, urls.read)]
        owner, app, read = (password or "" for password in found)
        if not (owner and app and read):
            raise ValueError("each URL needs a password")
        return cls(owner=owner, app=app, read=read)

    def by_role(self) -> dict[str, str]:
        """Role name to password."""
        return {"clearance_owner": self.owner, "clearance_app": self.app, "clearance_read": self.read}


def bootstrap(admin_dsn: str, passwords: RolePasswords, database: str = DATABASE) -> None:
    """Make roles, database and schemas, or bring them back to what they must be; as often as you like.

    The admin needs to be a superuser or have CREATEROLE and CREATEDB. Passwords are sent as SCRAM verifiers,
    so that none appears in a server's log. Raises `Refused` on a server that is too old or has a role of that
    name with too many rights.
    """
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        if admin.info.server_version < _SERVER:
            raise Refused(
                f"PostgreSQL 15 or newer is needed, this is {admin.info.parameter_status('server_version')}."
            )
        borrowed = _make_roles(admin, passwords)
        try:
            _make_database(admin, database)
            with psycopg.connect(admin_dsn, dbname=database, autocommit=True) as inside:
                _make_schemas(inside)
        finally:
            for role in borrowed:
                admin.execute(sql.SQL("REVOKE {} FROM CURRENT_USER").format(sql.Identifier(role)))


def _make_roles(admin: Connection, passwords: RolePasswords) -> list[str]:
    """Roles and who may become whom; returns the roles lent to an admin who is no superuser."""
    for role in ("audit_owner", *passwords.by_role()):
        if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
            admin.execute(sql.SQL("CREATE ROLE {} NOINHERIT").format(sql.Identifier(role)))
        flags = admin.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls "
            "FROM pg_roles WHERE rolname = %s",
            [role],
        ).fetchone()
        if flags is None or any(flags):
            named = ", ".join(name for name, on in zip(_FLAGS, flags or (), strict=False) if on)
            raise Refused(
                f"The role {role} exists with rights it must not have ({named}): take them away first."
            )
    admin.execute("ALTER ROLE audit_owner NOLOGIN PASSWORD NULL")
    for role, password in passwords.by_role().items():
        verifier = admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode(
            "ascii"
        )
        admin.execute(
            sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
        )
    modern = admin.info.server_version >= 160000
    admin.execute(
        "GRANT audit_owner TO clearance_owner" + (" WITH INHERIT FALSE, SET TRUE" if modern else "")
    )
    if admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (True,):
        return []
    borrowed = ["audit_owner", "clearance_owner"]
    for role in borrowed:
        grant = sql.SQL("GRANT {} TO CURRENT_USER" + (" WITH INHERIT TRUE, SET TRUE" if modern else ""))
        admin.execute(grant.format(sql.Identifier(role)))
    return borrowed


def _make_database(admin: Connection, database: str) -> None:
    name = sql.Identifier(database)
    found = admin.execute(
        "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = %s", [database]
    ).fetchone()
    if found is None:
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER clearance_owner ENCODING 'UTF8' TEMPLATE template0").format(
                name
            )
        )
    elif found[0] != "UTF8":
        raise Refused(f"The database {database} has the encoding {found[0]}; UTF8 is needed.")
    for statement in (
        "ALTER DATABASE {} OWNER TO clearance_owner",
        "REVOKE ALL ON DATABASE {} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {} TO clearance_app, clearance_read",
        "GRANT TEMPORARY ON DATABASE {} TO clearance_app",  # COPY goes by way of a temporary table
    ):
        admin.execute(sql.SQL(statement).format(name))


def _make_schemas(inside: Connection) -> None:
    for statement in (
        "ALTER SCHEMA public OWNER TO clearance_owner",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "GRANT USAGE ON SCHEMA public TO clearance_app, clearance_read",
        "CREATE SCHEMA IF NOT EXISTS audit AUTHORIZATION audit_owner",
        "ALTER SCHEMA audit OWNER TO audit_owner",
        "REVOKE ALL ON SCHEMA audit FROM PUBLIC",
        "GRANT USAGE ON SCHEMA audit TO clearance_app, clearance_read",
        # What PUBLIC has by default can only be taken away for all schemas at once.
        "ALTER DEFAULT PRIVILEGES FOR ROLE clearance_owner, audit_owner"
        " REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
        "ALTER DEFAULT PRIVILEGES FOR ROLE clearance_owner IN SCHEMA public"
        " GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO clearance_app",
        "ALTER DEFAULT PRIVILEGES FOR ROLE clearance_owner IN SCHEMA public"
        " GRANT USAGE, SELECT ON SEQUENCES TO clearance_app",
        "ALTER DEFAULT PRIVILEGES FOR ROLE clearance_owner IN SCHEMA public"
        " GRANT EXECUTE ON FUNCTIONS TO clearance_app",
        "ALTER DEFAULT PRIVILEGES FOR ROLE clearance_owner IN SCHEMA public"
        " GRANT SELECT ON TABLES TO clearance_read",
    ):
        inside.execute(sql.SQL(statement))


def _url_for(admin_url: str, role: str, password: str, database: str) -> str:
    parts = urlsplit(admin_url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(
        parts._replace(
            netloc=f"{role}:{quote(password, safe='')}@{place}", path=f"/{quote(database, safe='')}"
        )
    )


def main(arguments: list[str]) -> int:
    """The command line; prints the two lines that Clearance needs in its environment."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.bootstrap",
        description="Make Clearance's roles, database and schemas on a PostgreSQL of your own, "
        "and print its URLs. Running it again is safe for the data; it sets new passwords, "
        "so the URLs printed before stop working.",
    )
    parser.add_argument(
        "--admin-url",
        default=os.environ.get("CLEARANCE_ADMIN_URL"),
        help="postgresql:// URL of a superuser, or of a role with CREATEROLE and CREATEDB. Better given as "
        "the variable CLEARANCE_ADMIN_URL, which other users of the machine cannot see",
    )
    parser.add_argument("--database", default=DATABASE, help="the database's name (default: %(default)s)")
    given = parser.parse_args(arguments)
    if not given.admin_url or urlsplit(given.admin_url).scheme not in {"postgresql", "postgres"}:
        parser.error("--admin-url must look like postgresql://user:password@host:5432/postgres")
    passwords = RolePasswords.random()
    try:
        bootstrap(given.admin_url, passwords, given.database)
    except (RuntimeFault, psycopg.Error) as error:
        print(f"Not done: {str(error).strip()}", file=sys.stderr)
        return 2
    print(f"DATABASE_URL={_url_for(given.admin_url, 'clearance_app', passwords.app, given.database)}")
    print(
        f"DATABASE_OWNER_URL={_url_for(given.admin_url, 'clearance_owner', passwords.owner, given.database)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
