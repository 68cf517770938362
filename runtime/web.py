"""The web process's address: the socket that outlives it, and asking it whether it is ready."""

from __future__ import annotations

import errno
import http.client
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from runtime.errors import Refused

__all__ = ["Address", "Readiness"]

BACKLOG = 2048


@dataclass(frozen=True)
class Address:
    """Where the web process listens, and the URL that people use."""

    host: str
    port: int
    url: str

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Address:
        """By `HOST`, `PORT` and `CLEARANCE_URL`. Raises `Refused`, naming the variable that is wrong."""
        host = env.get("HOST") or "127.0.0.1"
        written = env.get("PORT") or "8000"
        if not (written.isascii() and written.isdigit() and 0 < int(written) < 65536):
            raise Refused(f"PORT must be a number from 1 to 65535, not {written!r}.")
        port = int(written)
        shown = f"[{host}]" if ":" in host else host
        url = (env.get("CLEARANCE_URL") or f"http://{shown}:{port}").rstrip("/")
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise Refused(f"CLEARANCE_URL must look like https://clearance.example.com, not {url!r}.")
        return cls(host, port, url)

    def listen(self) -> socket.socket:
        """The listening socket, for a child to inherit. Raises `Refused` when the port is taken or the host
        is not ours.
        """
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
        except (socket.gaierror, UnicodeError) as error:
            raise Refused(f"HOST={self.host!r} is no address of this machine: {error}.") from None
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Accepted connections inherit it; the server itself takes an inherited socket for a Unix one and
            # would not set it, and answers in two writes would wait for the other side's delayed
            # acknowledgement.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listening.bind(place)
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            raise Refused(self._why_not(error)) from None
        return listening

    def _why_not(self, error: OSError) -> str:
        where = f"{self.host}:{self.port}"
        if error.errno == errno.EADDRINUSE:
            return (
                f"Port {self.port} on {self.host} is taken by another program: "
                "end it, or choose another with PORT=8080."
            )
        if error.errno == errno.EACCES:
            return f"Listening on {where} is not allowed to this user: choose a PORT above 1023."
        return f"Listening on {where} does not work ({os.strerror(error.errno or 0)}): set HOST and PORT."


class Readiness:
    """Asks `GET /readyz` and remembers the last answer."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.last_answer = "no answer"

    def __call__(self) -> bool:
        """Whether it is ready now; waits at most two seconds for an answer."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._address.host, self._address.host)  # noqa: S104
        connection = http.client.HTTPConnection(host, self._address.port, timeout=2)
        try:
            connection.request(
                "GET", "/readyz", headers={"Host": urlsplit(self._address.url).netloc.rpartition("@")[2]}
            )
            response = connection.getresponse()
            self.last_answer = f"{response.status} {response.read(2000).decode('utf-8', 'replace').strip()}"
        except (OSError, http.client.HTTPException) as error:
            self.last_answer = f"no answer ({str(error) or type(error).__name__})"
            return False
        else:
            return response.status == 200
        finally:
            connection.close()
