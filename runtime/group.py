"""The product as one supervised group: database, web, worker, beat, and for the demo its agent."""

from __future__ import annotations

import getpass
import http.client
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGTERM

from runtime.errors import Refused, RuntimeFault
from runtime.part import Part
from runtime.postgres import EmbeddedPostgres
from runtime.processes import end_all, processes_marked
from runtime.state import StateFolder
from runtime.supervisor import Interrupted, Supervisor

__all__ = ["run"]

ROOT = Path(__file__).resolve().parent.parent
_READY_SECONDS = 90.0
_NAMES = ("database", "set-up", "web", "worker", "beat", "agent")


def run(*, demo: bool = False) -> int:
    """Start the group and look after it until it is asked to end; the exit code.

    Raises `RuntimeFault` with what to do about it; nothing is left running then either.
    """
    host, port = os.environ.get("HOST", "127.0.0.1"), _port(os.environ.get("PORT", "8000"))
    state = StateFolder(Path(os.environ.get("CLEARANCE_VAR") or ROOT / "var"))
    url = os.environ.get("CLEARANCE_URL") or f"http://{_shown(host)}:{port}"
    supervisor = Supervisor(_NAMES)
    with state.lock(url), _listening(host, port) as listener:
        supervisor.listen()
        try:
            _Group(supervisor, state, listener, url, host, port).run(demo)
        except Interrupted as asked:
            print(f"\nEnding ({asked}).", flush=True)
        return 0


class _Group:
    """One start: what its parts share."""

    def __init__(
        self,
        supervisor: Supervisor,
        state: StateFolder,
        listener: socket.socket,
        url: str,
        host: str,
        port: int,
    ) -> None:
        self.supervisor = supervisor
        self.state = state
        self.listener = listener
        self.url = url
        self.address = ("127.0.0.1" if host in {"", "0.0.0.0", "::"} else host, port)  # noqa: S104
        # Also the mark by which a later start finds what this one could not end.
        self.mark = f"CLEARANCE_RUN={state.path}"
        self.env = {
            **os.environ,
            "CLEARANCE_VAR": str(state.path),
            "CLEARANCE_RUN": str(state.path),
            "CLEARANCE_URL": url,
            "HOST": host,
            "PORT": str(port),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }

    def run(self, demo: bool) -> None:
        self._end_leftovers()
        database = None if os.environ.get("DATABASE_URL") else EmbeddedPostgres(self.state)
        try:
            if database is not None:
                self._start_database(database)
            self._prepare()
            self._start_product()
            if demo:
                self._manage("demo", "load")
            print(f"\nClearance is ready: {self.url}\n", flush=True)
            if demo:
                self._start_demo()
            self.supervisor.watch()
        finally:
            self.supervisor.stop()
            if database is not None:
                database.release()

    def _end_leftovers(self) -> None:
        """What a start before this one could not end: its pool of workers, say. The state folder's lock is
        ours, so nobody's group is hit that lives.
        """

        def left() -> list[int]:
            return [pid for pid in processes_marked(self.mark) if pid != os.getppid()]

        if not end_all(left, (SIGTERM,), 5):
            raise RuntimeFault("Processes of an earlier start do not end: end them by hand.")

    def _start_database(self, database: EmbeddedPostgres) -> None:
        database.claim()
        self.supervisor.start(database.part(self.env))
        self.supervisor.wait_for(database.is_ready, 120, "the database to start")
        database.bootstrap()

    def _python(self, name: str, *arguments: str, env: Mapping[str, str] | None = None, fd: int = -1) -> Part:
        return Part(
            name=name,
            argv=(sys.executable, *arguments),
            env=env or self.env,
            cwd=ROOT,
            pass_fds=(fd,) if fd >= 0 else (),
        )

    def _manage(self, *arguments: str, **more: str) -> None:
        self.supervisor.run(self._python("set-up", "manage.py", *arguments, env={**self.env, **more}))

    def _prepare(self) -> None:
        if not os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_OWNER_URL"):
            self._manage("migrate", "--no-input", "--verbosity", "0", CLEARANCE_ROLE="owner")
        else:
            try:
                self._manage("migrate", "--check", "--verbosity", "0")
            except RuntimeFault as error:
                raise Refused(
                    "The database needs migrating: set DATABASE_OWNER_URL as well, or run "
                    "`manage.py migrate` as its owner."
                ) from error
        self._manage("collectstatic", "--no-input", "--verbosity", "0")

    def _start_product(self) -> None:
        fd = self.listener.fileno()
        proxy = ("--no-proxy-headers",) if not os.environ.get("CLEARANCE_BEHIND_PROXY") else ()
        web = (
            "config.asgi:application",
            "--fd",
            str(fd),
            "--no-access-log",
            "--log-level",
            "warning",
            *proxy,
        )
        self.supervisor.start(
            self._python("web", "-m", "uvicorn", *web, "--timeout-graceful-shutdown", "5", fd=fd)
        )
        worker = ("--concurrency", "2", "--without-gossip", "--without-mingle", "--loglevel", "warning")
        self.supervisor.start(self._python("worker", "-m", "celery", "-q", "-A", "config", "worker", *worker))
        schedule = str(self.state.folder("beat") / "schedule")
        beat = ("-s", schedule, "--pidfile=", "--loglevel", "warning")
        self.supervisor.start(self._python("beat", "-m", "celery", "-q", "-A", "config", "beat", *beat))
        self.supervisor.wait_for(_Ready(self.address), _READY_SECONDS, "the web server to be ready (/readyz)")

    def _start_demo(self) -> None:
        sign_ins = self.state.path / "demo" / "sign-ins.txt"
        with suppress(FileNotFoundError):
            print(sign_ins.read_text(encoding="utf-8"), flush=True)
        self.supervisor.start(self._python("agent", "-m", "demo.agent"))


class _Ready:
    """Whether /readyz answers 200; asked at most five times a second."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.next_look = 0.0

    def __call__(self) -> bool:
        if time.monotonic() < self.next_look:
            return False
        self.next_look = time.monotonic() + 0.2
        link = http.client.HTTPConnection(*self.address, timeout=1)
        try:
            link.request("GET", "/readyz", headers={"Host": "127.0.0.1"})
            return link.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            link.close()


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise Refused(f"PORT must be a number from 1 to 65535, not {text!r}.")
    return int(text)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else {"": "127.0.0.1", "0.0.0.0": "127.0.0.1"}.get(host, host)  # noqa: S104


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """The bound socket. Bound before anything starts: a taken port is an error at once. Raises `Refused`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise Refused(f"HOST {host!r} is no address of this machine: {error.strerror}.") from error
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except PermissionError:
            raise Refused(
                f"Port {port} may not be taken by {getpass.getuser()}: set PORT to another."
            ) from None
        except OSError as error:
            raise Refused(
                f"Port {port} on {host} is taken ({error.strerror}): "
                "end what listens there, or set PORT to another."
            ) from None
        listener.listen(2048)
        listener.set_inheritable(True)
        yield listener
