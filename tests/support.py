"""What the tests share: the real product as a process group, and the captured exports moved to now."""

import asyncio
import gzip
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Result = TypeVar("Result")
ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT.parent / "shared" / "captures"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_folders: set[Path] = set()  # state folders that were used


def discard_databases() -> None:
    """Remove the databases of all state folders that were used here: root's stand outside the folder."""
    while _folders:
        shutil.rmtree((_folders.pop() / "postgres").resolve(), ignore_errors=True)


@dataclass
class Stack:
    """The product, started as people start it: `python -m runtime run` on a state folder of its own."""

    var: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DATABASE_", "CLEARANCE_", "DJANGO_"))
        }
        return {
            **kept,
            "CLEARANCE_VAR": str(self.var),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "CLEARANCE_URL": self.url,
            **self.extra,
        }

    @property
    def log(self) -> Path:
        return self.var.parent / f"{self.var.name}.log"

    def start(self) -> "Stack":
        _folders.add(self.var)
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runtime", "run"],
                cwd=ROOT,
                env=self.env,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.wait_ready()
        return self

    def wait_ready(self, seconds: float = 240) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"the product ended:\n{self.log.read_text()[-4000:]}")
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"not ready in {seconds} s:\n{self.log.read_text()[-4000:]}")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def manage(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def parts(self, marker: str) -> list[int]:
        """The process IDs below the supervisor whose command line holds the marker."""
        assert self.process is not None
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    environment = (entry / "environ").read_bytes()
                except OSError:
                    continue
                if marker in command and str(self.var).encode() in environment:
                    found.append(int(entry.name))
        return found


def run_alone(whole: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on a loop of its own: after a browser's test this thread has one that never ends."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, whole).result()


def apart(whole: Callable[[], Result]) -> Result:
    """Run something on a thread and a connection of its own: Django's client refuses a thread that has a loop, and
    after a browser's test this one has.
    """

    def run() -> Result:
        from django.db import connection

        try:
            return whole()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def unique(prefix: str) -> str:
    """A slug or login that no other test has."""
    return f"{prefix}-{secrets.token_hex(4)}"


@dataclass
class Client:
    """An agent's side of one feature: its key, its exports, its reads."""

    stack: Stack
    slug: str
    key: str

    def post(
        self, path: str, body: bytes, content_type: str = "application/x-protobuf", **headers: str
    ) -> httpx.Response:
        return httpx.post(
            self.stack.url + path,
            content=body,
            headers={"Content-Type": content_type, "Authorization": f"Bearer {self.key}", **headers},
            timeout=60,
        )

    def get(self, path: str, **params: str) -> httpx.Response:
        return httpx.get(
            self.stack.url + path, params=params, headers={"Authorization": f"Bearer {self.key}"}, timeout=60
        )

    def trace(self, trace_id: str, seconds: float = 30) -> dict[str, Any]:
        """The trace, waiting for the worker to settle it as an agent would."""
        until = time.monotonic() + seconds
        while True:
            response = self.get(f"/api/v1/traces/{trace_id}")
            if response.status_code == 200:
                found: dict[str, Any] = response.json()
                return found
            assert time.monotonic() < until, response.text
            time.sleep(0.1)


@dataclass(frozen=True)
class Export:
    """One captured request body, moved so that its last moment is a few seconds ago."""

    path: str  # /v1/traces or /v1/logs
    body: bytes
    content_type: str
    encoding: str | None

    def headers(self) -> dict[str, str]:
        return {"Content-Encoding": self.encoding} if self.encoding else {}


def capture_names() -> list[str]:
    return sorted(folder.name for folder in CAPTURES.iterdir() if (folder / "expected.json").exists())


def _moved_protobuf(
    request: Any, groups: str, inner: str, items: str, shift: int, names: tuple[str, ...]
) -> None:
    for group in getattr(request, groups):
        for scope in getattr(group, inner):
            for item in getattr(scope, items):
                for name in names:
                    if getattr(item, name):
                        setattr(item, name, getattr(item, name) + shift)
                for event in getattr(item, "events", []):
                    event.time_unix_nano += shift


def _moved_json(value: Any, shift: int) -> Any:
    if isinstance(value, dict):
        return {
            name: str(int(inner) + shift)
            if name.endswith("TimeUnixNano") or name == "timeUnixNano"
            else _moved_json(inner, shift)
            for name, inner in value.items()
        }
    return [_moved_json(inner, shift) for inner in value] if isinstance(value, list) else value


def _end_of(decoded: str) -> int:
    times: list[int] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if name in {"endTimeUnixNano", "observedTimeUnixNano"}:
                    times.append(int(inner))
                else:
                    walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(json.loads(decoded))
    return max(times)


def load_capture(name: str) -> tuple[list[Export], dict[str, Any], str]:
    """(the bodies in their order, expected.json, the trace ID in hex) of a captured folder."""
    folder = CAPTURES / name
    end = max(_end_of(path.read_text()) for path in folder.glob("*.decoded.json"))
    shift = time.time_ns() - 5 * 10**9 - end
    exports = []
    trace_id = ""
    for path in sorted(
        [*folder.glob("*.traces.pb"), *folder.glob("*.traces.json"), *folder.glob("*.logs.pb")]
    ):
        if path.name.endswith(".decoded.json"):
            continue
        headers = json.loads((folder / f"{path.name.rsplit('.', 1)[0]}.headers.json").read_text())
        encoding = headers.get("content-encoding")
        body = gzip.decompress(path.read_bytes()) if encoding == "gzip" else path.read_bytes()
        if path.suffix == ".json":
            document = _moved_json(json.loads(body), shift)
            trace_id = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"]
            body = json.dumps(document).encode()
        elif ".traces." in path.name:
            spans = ExportTraceServiceRequest.FromString(body)
            times = ("start_time_unix_nano", "end_time_unix_nano")
            _moved_protobuf(spans, "resource_spans", "scope_spans", "spans", shift, times)
            trace_id = spans.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
            body = spans.SerializeToString()
        else:
            logs = ExportLogsServiceRequest.FromString(body)
            stamps = ("time_unix_nano", "observed_time_unix_nano")
            _moved_protobuf(logs, "resource_logs", "scope_logs", "log_records", shift, stamps)
            body = logs.SerializeToString()
        exports.append(
            Export(
                "/v1/traces" if ".traces." in path.name else "/v1/logs",
                gzip.compress(body) if encoding == "gzip" else body,
                headers["content-type"],
                encoding,
            )
        )
    return exports, json.loads((folder / "expected.json").read_text()), trace_id


class Browser:
    """A person's browser without a screen: real HTTP, with the session and the form token that it
    would hold.
    """

    def __init__(self, stack: Stack, person: Any = None, *, fresh: bool = True) -> None:
        self._http = httpx.Client(base_url=stack.url, timeout=60)
        token = secrets.token_hex(16)
        self._http.cookies.set("csrftoken", token, domain="127.0.0.1")
        self._http.headers["X-CSRFToken"] = token
        if person is not None:
            self._http.cookies.set("sessionid", self._session(person, fresh), domain="127.0.0.1")

    @staticmethod
    def _session(person: Any, fresh: bool) -> str:
        """A session as sign-in makes one: just now, or so long ago that a dangerous act asks again."""
        from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
        from django.contrib.sessions.backends.db import SessionStore

        session = SessionStore()
        session[SESSION_KEY] = str(person.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = person.get_session_auth_hash()
        at = time.time() - (0 if fresh else 3000)
        session["account_authentication_methods"] = [{"method": "password", "at": at}]
        session["account_authentication_methods_user"] = str(person.pk)
        session["clearance_began"] = session["clearance_seen"] = int(time.time())
        session.create()
        return str(session.session_key)

    def get(self, path: str, params: dict[str, str] | None = None) -> httpx.Response:
        return self._http.get(path, params=params)

    def post(self, path: str, data: dict[str, str], *, follow: bool = False) -> httpx.Response:
        return self._http.post(path, data=data, follow_redirects=follow)

    def send(self, method: str, path: str, form: str = "") -> httpx.Response:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        return self._http.request(method, path, content=form, headers=headers)
