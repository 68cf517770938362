"""Liveness and readiness, for supervisors and load balancers; no sign-in, nothing told but the state."""

import logging
from collections.abc import Callable

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from psycopg_pool import PoolTimeout

from audit.queries import can_write

log = logging.getLogger("clearance.health")
_details: dict[str, Callable[[], object]] = {}


def register_detail(name: str, detail: Callable[[], object]) -> None:
    """Add to what /readyz says when it is ready: figures only, cheap, nothing of a feature."""
    _details[name] = detail


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the process answers."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when it can take traffic: the database answers, has no migration pending, and our role can change
    nothing in the audit record; else 503 with what is wrong.
    """
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
        too_much = [] if pending else can_write()
    except (DatabaseError, PoolTimeout):
        return JsonResponse({"status": "unavailable", "database": "does not answer"}, status=503)
    if pending:
        return JsonResponse({"status": "unavailable", "migrations": f"{len(pending)} pending"}, status=503)
    if too_much:
        # A process that could change the record must not serve: its record would prove nothing.
        log.critical("the application's role could change the audit record: %s", "; ".join(too_much))
        return JsonResponse(
            {"status": "unavailable", "audit": "the role could change the record"}, status=503
        )
    try:
        said = {name: detail() for name, detail in _details.items()}
    except (DatabaseError, PoolTimeout):
        return JsonResponse({"status": "unavailable", "database": "does not answer"}, status=503)
    return JsonResponse({"status": "ok", **said})
