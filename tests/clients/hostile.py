"""A server that answers as a test says: wrongly, late, or not at all. Real HTTP on a real socket."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from clearance import digest_of

ARGS = {"order_id": "A-1", "amount": "12.00", "currency": "USD"}


@dataclass(frozen=True)
class Asked:
    """One request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Say:
    """One answer; `drop`: the connection is closed without one."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


Answering = Callable[[Asked], Say]


@dataclass
class Hostile:
    url: str
    asked: list[Asked] = field(default_factory=list)

    def paths(self, ending: str) -> list[Asked]:
        return [one for one in self.asked if one.path.split("?")[0].endswith(ending)]


@contextmanager
def hostile(answering: Answering, *, behind: float = 0) -> Iterator[Hostile]:
    """Serve `answering` on a free port of this machine, by a clock that is so many seconds behind."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            asked = Asked(self.command, self.path, dict(self.headers.items()), body)
            server.asked.append(asked)
            said = answering(asked)
            if said.drop:
                self.close_connection = True
                return
            raw = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in {"Content-Type": "application/json", **said.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = _serve

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() - behind)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Hostile(f"http://127.0.0.1:{listening.server_address[1]}")
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def soon(seconds: float = 60) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def decision(**changes: Any) -> dict[str, Any]:
    """A right body of an allowed refund, changed."""
    return {
        "id": "d-1",
        "decision": "allow",
        "state": "ready",
        "reasons": [{"code": "under_threshold", "detail": "fine"}],
        "policy": 1,
        "digest": digest_of("refund", ARGS),
        "revision": 1,
        "request_id": None,
        "expires_at": soon(),
        "retry": None,
        "message": None,
        "edited": [],
        "see": "http://127.0.0.1/approvals/d-1",
        **changes,
    }


def execution(**changes: Any) -> dict[str, Any]:
    """A right body of its execution, changed."""
    return {
        "execution": "e-1",
        "action": "refund",
        "args": ARGS,
        "digest": digest_of("refund", ARGS),
        "receipt": "a.b.c",
        "deadline": soon(),
        **changes,
    }


def problem(status: int, code: str, **headers: str) -> Say:
    return Say(
        status,
        {"type": "about:blank", "title": code, "status": status, "detail": code, "code": code},
        {"Content-Type": "application/problem+json", **headers},
    )
