"""The state folder (`CLEARANCE_VAR`): secrets, the database's URLs, the queue, and the lock that one start
holds.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from runtime.errors import InUse, NoState

__all__ = ["DatabaseUrls", "Holder", "StateFolder", "read_database_urls", "socket_url", "write_atomically"]

DATABASE = "clearance"


class DatabaseUrls(msgspec.Struct, frozen=True, kw_only=True, rename=lambda name: f"{name}_url"):
    """One libpq URL for each role; they hold passwords and are never printed."""

    app: str
    owner: str
    read: str
    admin: str

    def named(self, database: str) -> DatabaseUrls:
        """The same roles on another database of the same server; `admin` stays on its own database."""

        def move(url: str) -> str:
            return urlunsplit(urlsplit(url)._replace(path=f"/{quote(database, safe='')}"))

        return DatabaseUrls(
            app=move(self.app), owner=move(self.owner), read=move(self.read), admin=self.admin
        )


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lock."""

    pid: int
    started: datetime
    url: str
    user: str

    @classmethod
    def this_process(cls, url: str) -> Holder:
        """This process, from now on."""
        return cls(pid=os.getpid(), started=datetime.now().astimezone(), url=url, user=user_name(os.getuid()))

    def __str__(self) -> str:
        started = self.started.astimezone()
        today = started.date() == datetime.now().astimezone().date()
        when = started.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")
        return f"pid {self.pid} (started {when} by {self.user}, {self.url})"


class StateFolder:
    """Everything that outlives a start, in one folder. Folders are made 0700 when first asked for, files
    0600.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path.expanduser()))

    def folder(self, name: str) -> Path:
        """The folder of that name (it may hold slashes), made if needed. Modes of what exists are
        left alone.
        """
        folder = self.path / name
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        for parent in reversed(missing):
            with suppress(FileExistsError):
                parent.mkdir(mode=0o700)
        return folder

    def secret(self, name: str) -> str:
        """The secret of that name, the same for ever: 64 hexadecimal digits, 32 random bytes when first asked
        for.

        Raises `ValueError` when the name is not lower-case words with hyphens.
        """
        if not re.fullmatch(r"[a-z][a-z-]*", name):
            raise ValueError(f"a secret's name is lower-case words with hyphens, not {name!r}")
        path = self.folder("secrets") / name
        try:
            return path.read_text(encoding="ascii")
        except FileNotFoundError:
            write_atomically(path, secrets.token_hex(32).encode(), replace=False)
            return path.read_text(encoding="ascii")

    @property
    def database_file(self) -> Path:
        """Where the embedded database's URLs stand."""
        return self.path / "secrets" / "database.json"

    def database_urls(self) -> DatabaseUrls:
        """The embedded database's URLs, one a role. Raises `NoState` before the first start."""
        try:
            return msgspec.json.decode(self.database_file.read_bytes(), type=DatabaseUrls)
        except FileNotFoundError:
            raise NoState(
                f"No database here yet ({self.path}): start it with `make run`, or set DATABASE_URL."
            ) from None

    def make_database_urls(self, socket_folder: Path) -> DatabaseUrls:
        """The URLs by way of this socket: passwords as they were, random when there were none. Stored before
        returned.
        """
        try:
            before = self.database_urls()
        except NoState:
            before = None

        def url(role: str, database: str, old: str | None) -> str:
            password = (urlsplit(old).password if old else None) or secrets.token_urlsafe(32)
            return socket_url(role, password, database, socket_folder)

        urls = DatabaseUrls(
            app=url("clearance_app", DATABASE, before.app if before else None),
            owner=url("clearance_owner", DATABASE, before.owner if before else None),
            read=url("clearance_read", DATABASE, before.read if before else None),
            admin=url("postgres", "postgres", before.admin if before else None),
        )
        if urls != before:
            self.folder("secrets")
            write_atomically(self.database_file, msgspec.json.format(msgspec.json.encode(urls)))
        return urls

    @contextmanager
    def lock(self, url: str) -> Iterator[None]:
        """Hold the state folder alone. Raises `InUse`, naming the holder. The kernel lets go when this
        process ends.
        """
        with exclusive(self.folder(".") / "lock", Holder.this_process(url), str(self.path)):
            yield


def read_database_urls(state: StateFolder) -> DatabaseUrls:
    """The embedded database's URLs. Raises `NoState` before the first start."""
    return state.database_urls()


def socket_url(role: str, password: str, database: str, socket_folder: Path) -> str:
    """A libpq URL through a Unix socket: the folder stands in the query, percent-encoded, as libpq
    reads it.
    """
    return (
        f"postgresql://{quote(role, safe='')}:{quote(password, safe='')}@/{quote(database, safe='')}"
        f"?host={quote(str(socket_folder), safe='')}"
    )


def write_atomically(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Put a whole, flushed file of mode 0600 there, or nothing. With `replace=False` one that exists
    stays.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(temporary, path)
        else:
            with suppress(FileExistsError):
                os.link(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def exclusive(path: Path, holder: Holder, what: str) -> Iterator[None]:
    """Hold the lock file, with who holds it inside. Raises `InUse`.

    The file is never removed or replaced: a second inode under the same name would be a second lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(f"{what} is already in use by {_read_holder(descriptor)}.") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(holder), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def user_name(uid: int) -> str:
    """The account's name, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _read_holder(descriptor: int) -> str:
    try:
        return str(msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Holder))
    except msgspec.DecodeError:
        return "another process that is just starting or ending"
