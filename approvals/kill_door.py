"""The kill switch's own way in: a thread and a connection kept for it in each web process, so that it works when all
others are taken.
"""

import copy
import re
from collections.abc import Callable, Iterable
from typing import Any, cast

from a2wsgi import WSGIMiddleware
from a2wsgi.wsgi_typing import WSGIApp
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper

__all__ = ["KillDoor"]

_PATHS = re.compile(r"/api/v1/features/[^/]+/kill|/features/[^/]+/kill|/kill")

Scope = Any
Application = Callable[[Scope, Any, Any], Any]


class KillDoor:
    """ASGI: calls of the kill switch go to the kept thread, all others to `application`."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._django = get_wsgi_application()
        self._kept = WSGIMiddleware(cast(WSGIApp, self._in_kept_thread), workers=1)
        # Opened now: when it is needed, the server may have no connection to give.
        self._kept.executor.submit(_keep_connection)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        kill = scope["type"] == "http" and scope["method"] == "POST" and _PATHS.fullmatch(scope["path"])
        await (self._kept if kill else self._application)(scope, receive, send)

    def _in_kept_thread(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        _keep_connection()
        return self._django(environ, start_response)


class _Kept(DatabaseWrapper):
    """A connection that is nobody else's."""


def _keep_connection() -> None:
    """This thread's connection is its own, outside of the pool, and stays open between requests."""
    if isinstance(connections["default"], _Kept):
        return
    settings = copy.deepcopy(connections.settings["default"])
    settings["OPTIONS"].pop("pool", None)
    settings["OPTIONS"]["application_name"] = "clearance kill switch"
    settings["CONN_MAX_AGE"], settings["CONN_HEALTH_CHECKS"] = None, True
    wrapper = _Kept(settings, "default")
    connections["default"] = wrapper
    wrapper.ensure_connection()
