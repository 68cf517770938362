"""Shadow executions: what was permitted, held against what the traces show. Settle compares; here is what it is told,
and what it found.
"""

from collections.abc import Iterable
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from approvals.models import Decision, Execution
from features.marks import written
from features.models import Feature
from traces.facts import keep_execution
from traces.models import Trace

__all__ = ["executions_without_span", "note_execution", "traces_of"]

# A span is sent when its tool ends, in a batch, and settled after that.
_SPANS_TAKE = 120  # seconds


def note_execution(decision: Decision, execution: Execution) -> None:
    """Tell settle of an execution, in the transaction that starts it."""
    keep_execution(
        decision.feature_id,
        execution.pk,
        bytes(decision.trace_id) if decision.trace_id else None,
        {
            "execution": str(execution.pk),
            "decision": str(decision.pk),
            "action": decision.action,
            "mark": written(bytes(decision.args_mark)),
        },
        execution.started_at,
    )


def executions_without_span(feature: Feature) -> QuerySet[Execution]:
    """Executions past their deadline that no tool span belongs to, newest first: what ran was not shown, or nothing
    ran.
    """
    return Execution.objects.filter(pk__in=_without_span(feature)).order_by("-started_at")


def _without_span(feature: Feature) -> list[UUID]:
    with connection.cursor() as cursor:
        # Before the oldest trace spans are past retention, and say nothing.
        cursor.execute(
            "SELECT e.id FROM approvals_execution e WHERE e.feature_id = %s "
            "AND e.deadline < clock_timestamp() - make_interval(secs => %s) "
            "AND e.started_at >= coalesce("
            "(SELECT min(t.started_at) FROM trace t WHERE t.feature_id = e.feature_id), e.started_at) "
            "AND NOT EXISTS (SELECT FROM trace t WHERE t.executions @> ARRAY[e.id] "
            "AND NOT t.executions = '{}' AND t.feature_id = e.feature_id)",
            [feature.pk, _SPANS_TAKE],
        )
        return [pk for (pk,) in cursor.fetchall()]


def traces_of(executions: Iterable[Execution]) -> dict[UUID, list[bytes]]:
    """The traces whose spans are runs of each execution; more than one: it ran again somewhere else."""
    found: dict[UUID, list[bytes]] = {}
    for execution in executions:
        rows = Trace.objects.filter(feature_id=execution.feature_id, executions__contains=[execution.pk])
        found[execution.pk] = [
            bytes(trace_id)
            for trace_id in rows.exclude(executions=[]).values_list("trace_id", flat=True)[:10]
        ]
    return found
