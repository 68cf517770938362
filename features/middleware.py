"""Every request has an ID: in the log line of an error, on the 500 page, and in the answer's headers."""

import logging
import time
from collections.abc import Awaitable, Callable

import uuid_utils.compat as uuids
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse

log = logging.getLogger("clearance.request")


class RequestLog:
    """Gives `request.request_id`, times the request (`Server-Timing`) and logs errors without payloads."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        started = self._begin(request)
        if self.is_async:
            return self._later(request, started)
        response = self.get_response(request)
        assert isinstance(response, HttpResponse)
        return self._finish(request, response, started)

    async def _later(self, request: HttpRequest, started: float) -> HttpResponse:
        response = self.get_response(request)
        assert not isinstance(response, HttpResponse)
        return self._finish(request, await response, started)

    def _begin(self, request: HttpRequest) -> float:
        request.request_id = uuids.uuid7().hex  # type: ignore[attr-defined]
        return time.perf_counter()

    def _finish(self, request: HttpRequest, response: HttpResponse, started: float) -> HttpResponse:
        took = (time.perf_counter() - started) * 1000
        response.headers["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        response.headers.setdefault("Server-Timing", f"app;dur={took:.1f}")
        if response.status_code >= 500:
            # The path alone: a query string may hold what a person searched for.
            log.error(
                "request=%s %s %s -> %s in %.0f ms",
                request.request_id,  # type: ignore[attr-defined]
                request.method,
                request.path,
                response.status_code,
                took,
            )
        return response
