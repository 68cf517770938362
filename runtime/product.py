"""What Clearance consists of when it runs, and the order in which it starts."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGTERM

from runtime.console import Console
from runtime.errors import Refused
from runtime.part import Part
from runtime.postgres import EmbeddedPostgres
from runtime.processes import end_all, processes_marked
from runtime.state import StateFolder
from runtime.supervisor import PartFailed, Stopped, Supervisor
from runtime.web import Address, Readiness

__all__ = ["Product", "run", "run_database"]

ROOT = Path(__file__).resolve().parent.parent
DATABASE_SECONDS = 120  # recovery after a crash included
READY_SECONDS = 60


@dataclass(frozen=True)
class Product:
    """One installation: where its state is, where it listens, and its children's environment."""

    state: StateFolder
    address: Address
    env: Mapping[str, str]
    web_processes: int

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Product:
        """By `CLEARANCE_VAR` (default: `var` in the clone) and the address's variables. Raises `Refused`."""
        if env.get("DATABASE_OWNER_URL") and not env.get("DATABASE_URL"):
            raise Refused("DATABASE_OWNER_URL is set and DATABASE_URL is not: set both, or none.")
        state = StateFolder(Path(env.get("CLEARANCE_VAR") or ROOT / "var"))
        address = Address.from_environment(env)
        return cls(
            state,
            address,
            {
                **env,
                "CLEARANCE_VAR": str(state.path),
                "CLEARANCE_URL": address.url,
                "HOST": address.host,
                "PORT": str(address.port),
                # By this the next start knows what a killed one left behind (`end_leftovers`).
                "CLEARANCE_RUN": hashlib.sha256(os.fsencode(state.path.resolve())).hexdigest()[:16],
                "PYTHONUNBUFFERED": "1",
            },
            _web_processes(env),
        )

    @property
    def embedded(self) -> bool:
        """Whether the database is ours to run."""
        return not self.env.get("DATABASE_URL")

    def python(self, name: str, *arguments: str, **env: str) -> Part:
        """A part that is a Python program of this project."""
        return Part(name=name, argv=(sys.executable, *arguments), env={**self.env, **env}, cwd=ROOT)

    def web(self, listening: socket.socket) -> list[Part]:
        """The web processes, on a socket that was made for them: whichever is free takes the next connection."""
        names = [f"web {n}" for n in range(1, self.web_processes + 1)]
        return [self._web(listening, name if len(names) > 1 else "web") for name in names]

    def _web(self, listening: socket.socket, name: str) -> Part:
        number = listening.fileno()
        return Part(
            name=name,
            argv=(
                *(sys.executable, "-m", "uvicorn", "config.asgi:application", "--fd", str(number)),
                *("--lifespan", "off", "--no-access-log", "--no-server-header", "--no-use-colors"),
                *("--log-level", "warning", "--backlog", "2048", "--timeout-graceful-shutdown", "5"),
                # Django reads the proxy's headers, and only where it is told to trust them.
                "--no-proxy-headers",
            ),
            env=self.env,
            cwd=ROOT,
            pass_fds=(number,),
        )

    def worker(self) -> Part:
        """The worker with its two processes. It is given two seconds to end: what it has in hand is a
        transaction, and what is to be done stands in the database. It steps back for web: what is sent is
        acknowledged and pages answer first, then is settled.
        """
        started = self.python(
            "worker",
            *("-m", "celery", "-A", "config", "--quiet", "worker", "--loglevel", "warning"),
            *("--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat"),
        )
        return replace(started, patience=2.0, nice=5)

    def beat(self) -> Part:
        """The clock that announces the periodic tasks."""
        schedule = self.state.folder("beat") / "schedule"
        return self.python(
            "beat",
            *("-m", "celery", "-A", "config", "--quiet", "beat", "--loglevel", "warning"),
            *("--schedule", str(schedule), "--pidfile="),
        )

    def agent(self) -> Part:
        """The demo's agent, which uses the client as any agent does."""
        return self.python("agent", "-m", "demo.agent", PYTHONPATH=str(ROOT / "clients" / "python" / "src"))

    def end_leftovers(self) -> None:
        """End what a killed start left running. Only for who holds the state folder's lock."""
        mark = f"CLEARANCE_RUN={self.env['CLEARANCE_RUN']}"
        if not end_all(lambda: processes_marked(mark), (SIGTERM,), 6):
            left = ", ".join(map(str, processes_marked(mark)))
            raise Refused(f"Processes of an earlier start do not end, not even by SIGKILL: {left}.")


def _web_processes(env: Mapping[str, str]) -> int:
    """How many share the socket: `CLEARANCE_WEB_PROCESSES`, else one for each core, from two to four. Raises
    `Refused`.
    """
    written = env.get("CLEARANCE_WEB_PROCESSES") or str(min(max(os.cpu_count() or 2, 2), 4))
    if not (written.isascii() and written.isdigit() and 0 < int(written) <= 64):
        raise Refused(f"CLEARANCE_WEB_PROCESSES must be a number from 1 to 64, not {written!r}.")
    return int(written)


def run(env: Mapping[str, str], console: Console, *, demo: bool = False) -> None:
    """Run the whole product until a signal ends it. Raises `RuntimeFault` when it cannot start or go on."""
    product = Product.from_environment(env)
    with ExitStack() as held:
        group = _begin(product, console, held)
        listening = held.enter_context(product.address.listen())
        group = held.enter_context(group)
        with suppress(Stopped):
            if product.embedded:
                _start_database(product, group, held, console)
            _migrate(product, group)
            _run(
                group, product.python("static", "manage.py", "collectstatic", "--noinput", "--verbosity", "0")
            )
            if demo:
                _run(group, product.python("demo", "manage.py", "demo", "load"))
            # Before anything serves: a database that was set back begins with every tool off.
            _run(group, product.python("record", "manage.py", "tools", "check", "--at-start"))
            for web in product.web(listening):
                group.start(web)
            group.start(product.worker())
            group.start(product.beat())
            ready = Readiness(product.address)
            group.wait_until(
                ready,
                READY_SECONDS,
                lambda: f"Not ready after {READY_SECONDS} s; /readyz says: {ready.last_answer}",
            )
            if demo:
                group.start(product.agent())
            _tell_ready(product, console, demo=demo)
            group.watch()
        console.say("Ending.")


def run_database(env: Mapping[str, str], console: Console) -> None:
    """Run the embedded database alone until a signal ends it. Raises `RuntimeFault`."""
    product = Product.from_environment({name: env[name] for name in env if not name.startswith("DATABASE_")})
    with ExitStack() as held:
        group = held.enter_context(_begin(product, console, held))
        with suppress(Stopped):
            _start_database(product, group, held, console)
            console.say(f"The database is ready; its URLs are in {product.state.database_file}.")
            group.watch()
        console.say("Ending.")


def _begin(product: Product, console: Console, held: ExitStack) -> Supervisor:
    """Hold the state folder, and make sure that nothing runs before and after the group."""
    held.enter_context(product.state.lock(product.address.url))
    product.end_leftovers()
    held.callback(product.end_leftovers)
    return Supervisor(console)


def _start_database(product: Product, group: Supervisor, held: ExitStack, console: Console) -> None:
    server = EmbeddedPostgres(product.state)
    server.claim()
    # The last pushed is the first to run: the group ends, then the folder is let go.
    held.callback(server.release)
    held.callback(group.stop)
    group.start(server.part(product.env))
    group.wait_until(
        server.is_ready,
        DATABASE_SECONDS,
        lambda: f"The database does not take connections in {DATABASE_SECONDS} s.",
    )
    server.bootstrap()


def _migrate(product: Product, group: Supervisor) -> None:
    if product.embedded or product.env.get("DATABASE_OWNER_URL"):
        _run(group, product.python("migrate", "manage.py", "migrate", "--noinput", CLEARANCE_ROLE="owner"))
    elif group.run(product.python("migrate", "manage.py", "migrate", "--check")):
        raise PartFailed(
            "The database needs migrations, or cannot be asked (its lines above say which). To migrate, "
            "set DATABASE_OWNER_URL to clearance_owner's URL; "
            "`python -m runtime.bootstrap --help` says how "
            "to get one."
        )


def _run(group: Supervisor, step: Part) -> None:
    if group.run(step):
        raise PartFailed(f"{step.name} failed; its lines above say why.")


def _tell_ready(product: Product, console: Console, *, demo: bool) -> None:
    console.plain("")
    console.plain(f"  Clearance is ready: {product.address.url}    (Ctrl-C ends it)")
    if demo:
        with suppress(FileNotFoundError):
            sign_ins = (product.state.path / "demo" / "sign-ins.txt").read_text(encoding="utf-8")
            console.plain("")
            for line in sign_ins.splitlines():
                console.plain(f"  {line}")
    console.plain("")
