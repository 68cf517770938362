"""Receive: the OTLP/HTTP door, an ASGI application in front of Django.

Django spools a whole body before a view runs; here it is bounded while it is read, and what cannot be taken
now is answered now: back-pressure instead of memory. Answers are those of the OTLP specification
(https://opentelemetry.io/docs/specs/otlp/#otlphttp-response), errors a google.rpc.Status in the request's
encoding.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from psycopg_pool import PoolTimeout

from features.keys import known_key
from features.throttle import buckets
from traces.decode import (
    DecodeError,
    TooLarge,
    UnsupportedEncoding,
    UnsupportedMediaType,
    logs_response,
    status_response,
    traces_response,
)
from traces.ingest import Receipt, Signal, ingest
from traces.wake import wake

T = TypeVar("T")
log = logging.getLogger("clearance.ingest")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

SIGNALS: dict[str, Signal] = {"/v1/traces": "traces", "/v1/logs": "logs"}
_MEDIA_TYPES = ("application/x-protobuf", "application/json")
_READ_SECONDS = 30.0
# google.rpc.Code, by HTTP status.
_RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 429: 8, 503: 14}


class Refusal(Exception):
    """An answer that is not 200, with what to mend."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


class OtlpReceiver:
    """Answers /v1/traces and /v1/logs; everything else goes on to Django."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.threads = ThreadPoolExecutor(settings.INGEST_THREADS, thread_name_prefix="ingest")
        self.waiting = 0
        self.waiting_bytes = 0
        self.waiting_by_key: Counter[UUID] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        signal = SIGNALS.get(scope["path"].rstrip("/")) if scope["type"] == "http" else None
        if signal is None:
            await self.application(scope, receive, send)
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        answer_type = content_type if content_type in _MEDIA_TYPES else "application/json"
        try:
            receipt = await self._take(signal, scope, headers, content_type, receive)
        except Refusal as refusal:
            body = status_response(answer_type, _RPC_CODES[refusal.status], refusal.message)
            await _answer(send, refusal.status, answer_type, body, refusal.retry_after)
            return
        response = traces_response if signal == "traces" else logs_response
        await _answer(send, 200, answer_type, response(content_type, receipt.rejected, receipt.reason))
        wake()

    async def _take(
        self, signal: Signal, scope: Scope, headers: dict[str, str], content_type: str, receive: Receive
    ) -> Receipt:
        if scope["method"] != "POST":
            raise Refusal(405, f"{scope['method']} is not answered here; POST an OTLP export.")
        key_id, feature_id = await self._run(_authenticate, _clear_key(headers))
        if wait := buckets.take(key_id):
            raise Refusal(429, "This key asks too often; try again later.", wait)
        if content_type not in _MEDIA_TYPES:
            raise Refusal(415, "The content type must be application/x-protobuf or application/json.")
        encoding = headers.get("content-encoding", "").strip().lower() or None
        if self.waiting >= settings.INGEST_MAX_WAITING:
            raise Refusal(429, "Too many exports are under way; try again.", 1)
        if self.waiting_by_key[key_id] >= settings.INGEST_MAX_WAITING_PER_KEY:
            raise Refusal(429, "Too many exports of this key are under way; try again.", 1)
        self.waiting += 1
        self.waiting_by_key[key_id] += 1
        sizes: list[int] = []
        try:
            body = await self._read(receive, headers.get("content-length"), sizes)
            return await self._run(_ingest, signal, feature_id, body, content_type, encoding)
        finally:
            self.waiting -= 1
            self.waiting_bytes -= sum(sizes)
            self.waiting_by_key[key_id] -= 1
            if not self.waiting_by_key[key_id]:
                del self.waiting_by_key[key_id]

    async def _read(self, receive: Receive, declared: str | None, sizes: list[int]) -> bytes:
        """The body, never more than the limit of it; `sizes` takes what it adds to `waiting_bytes`. Refusal 413, 429
        when all that waits is too much, 408 for one that does not come.
        """
        limit = settings.INGEST_MAX_BODY_BYTES
        too_large = Refusal(413, f"The body is over {limit} bytes; send smaller batches.")
        if declared is not None and declared.isdigit() and int(declared) > limit:
            raise too_large
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(_READ_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "The connection ended before the body did.")
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    sizes.append(len(chunk))
                    self.waiting_bytes += len(chunk)
                    if size > limit:
                        raise too_large
                    if self.waiting_bytes > settings.INGEST_MAX_WAITING_BYTES:
                        raise Refusal(429, "Too much is waiting to be stored; try again.", 1)
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError as error:
            raise Refusal(408, f"The body did not come within {_READ_SECONDS:.0f} s.") from error

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        """Run blocking work in the ingest threads; what the database cannot do now is a 503 that the SDK
        retries.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self.threads, _with_connection, work, *args
            )
        except TooLarge as error:
            raise Refusal(413, str(error)) from error
        except (UnsupportedMediaType, UnsupportedEncoding) as error:
            raise Refusal(415, str(error)) from error
        except DecodeError as error:
            raise Refusal(400, str(error)) from error
        except (DatabaseError, InterfaceError, PoolTimeout) as error:
            log.error("the database did not take an export: %s", type(error).__name__)
            raise Refusal(
                503, "The database does not answer; nothing of this export is stored. Try again.", 2
            ) from error


def _with_connection(work: Callable[..., T], *args: object) -> T:
    """Run with this thread's database connection, which it keeps. One that broke meanwhile is thrown away, and the
    work done once more: whatever it was, done twice it is done once.
    """
    kept = connection.connection is not None
    try:
        return work(*args)
    except (DatabaseError, InterfaceError):
        broke = connection.connection is not None and connection.connection.closed
        connection.close()
        if not (kept and broke):
            raise
        return work(*args)


def _clear_key(headers: dict[str, str]) -> str:
    scheme, _, clear = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and clear.strip():
        return clear.strip()
    return headers.get("x-api-key", "").strip()


def _authenticate(clear: str) -> tuple[UUID, UUID]:
    """(the key's ID, its feature's ID). Refusal 401 or 403."""
    key = known_key(clear) if clear else None
    if key is None:
        raise Refusal(401, "No usable key: send Authorization: Bearer <key>, or x-api-key.")
    if not key.allows("ingest"):
        raise Refusal(403, "This key has no scope 'ingest' (insufficient_scope).")
    return key.id, key.feature_id


def _ingest(
    signal: Signal, feature_id: UUID, body: bytes, content_type: str, encoding: str | None
) -> Receipt:
    return ingest(signal, feature_id, body, content_type, encoding)


async def _answer(
    send: Send, status: int, content_type: str, body: bytes, retry_after: int | None = None
) -> None:
    headers: Iterable[tuple[bytes, bytes]] = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        *([(b"retry-after", str(retry_after).encode())] if retry_after is not None else []),
        *([(b"www-authenticate", b'Bearer realm="clearance"')] if status == 401 else []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
