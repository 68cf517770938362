"""The kill switch, in three steps: the stop is there for every start from its commit on; those under way are drained;
epoch, record, notices and incident follow. Works with worker, broker and mail dead: it needs the database alone.
"""

import logging
from typing import Any
from uuid import UUID

import msgspec
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import F, QuerySet

from approvals.models import Execution
from approvals.telling import tell_of_restore, tell_of_stop
from audit.outside import Doubt
from audit.services import Actor, Receipt, append
from features.acting import actor_of
from features.clock import clock
from features.errors import ClearanceError, ConflictError
from features.gate import HOUSE, LOCKS, close_gate, lock_of, raise_epoch, stops_in_force
from features.models import ApiKey, Feature, Gate, IncidentRequest, Person, ToolStop

log = logging.getLogger("clearance.stopping")

DRAIN_SECONDS = 2
SHORTEST_REASON = 5
_MOST_IN_FLIGHT = 500


class Cause(msgspec.Struct, frozen=True):
    """Why the console itself stops everything, and the numbers that it is told with."""

    code: Doubt
    facts: dict[str, Any]


class Killed(msgspec.Struct, frozen=True):
    """What was stopped, and what was already out."""

    stop: ToolStop
    in_flight: list[Execution]
    record: Receipt | None  # None: the record follows as soon as it can be appended


def kill(
    feature: Feature | None,
    *,
    action: str = "",
    reason: str = "",
    by: Person | None = None,
    key: ApiKey | None = None,
    session: str = "",
    cause: Cause | None = None,
    as_operator: bool = False,
) -> Killed:
    """Stop the tools of a feature, one of its actions, or (None) of every feature. No execution is handed out after
    this has returned. Again: the stop that is there, which takes a cause on.

    `as_operator`: at the command line, in the name of `by`. Must not be called inside of a transaction: the first step
    is committed by itself.
    """
    if connection.in_atomic_block:
        raise RuntimeError("the kill switch commits its first step at once")
    stop = _commit_stop(feature, action, reason, by, key, cause)
    with transaction.atomic():
        _drain(feature)
        in_flight = list(_in_flight(stop).select_related("decision")[:_MOST_IN_FLIGHT])
        record = _follow(stop, in_flight, _actor(stop, session, as_operator))
    return Killed(stop, in_flight, record)


def _commit_stop(
    feature: Feature | None,
    action: str,
    reason: str,
    by: Person | None,
    key: ApiKey | None,
    cause: Cause | None,
) -> ToolStop:
    why = {"cause": cause.code, "cause_facts": cause.facts} if cause else {}
    try:
        return ToolStop.objects.create(
            feature=feature,
            action=action,
            reason=" ".join(reason.split())[:500],
            stopped_at=clock(),
            stopped_by=by,
            stopped_by_key=key,
            **why,
        )
    except IntegrityError:
        found = stops_in_force().filter(feature=feature, action=action).first()
        if found is None:  # restored in this very moment: then it is stopped anew
            return _commit_stop(feature, action, reason, by, key, cause)
        if cause and (cause.code != "outside_unread" or not found.cause):
            ToolStop.objects.filter(pk=found.pk).update(**why)
            found.refresh_from_db()
        return found


def _drain(feature: Feature | None) -> None:
    """Wait for the starts under way; who is not through after two seconds loses the connection, and with it whatever
    was not committed.
    """
    feature_id = feature.pk if feature else None
    for _ in range(3):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{DRAIN_SECONDS}s'")
                close_gate(feature_id)
            return
        except OperationalError:
            ended = _end_holders(feature_id)
            log.warning("%s starts were ended that did not end by themselves", ended)
    close_gate(feature_id)


def _end_holders(feature_id: UUID | None) -> int:
    number = HOUSE if feature_id is None else lock_of(feature_id)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND classid::bigint = %s AND objid::bigint = %s AND objsubid = 2 AND pid <> pg_backend_pid()",
            [LOCKS, number % 2**32],
        )
        return int(cursor.fetchone()[0])


def _in_flight(stop: ToolStop) -> QuerySet[Execution]:
    out = Execution.objects.filter(state="started")
    if stop.feature_id:
        out = out.filter(feature_id=stop.feature_id)
    return (out.filter(action=stop.action) if stop.action else out).order_by("-started_at")


def _follow(stop: ToolStop, in_flight: list[Execution], actor: Actor) -> Receipt | None:
    """Epoch, record, notices, incident. What fails here is done later (`finish_stops`): the tools are off."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{DRAIN_SECONDS}s'")
            return _record(stop, in_flight, actor)
    except Exception:
        log.exception("the stop %s is in force; its record follows", stop.pk)
        return None


def _record(stop: ToolStop, in_flight: list[Execution], actor: Actor) -> Receipt | None:
    changed = ToolStop.objects.filter(pk=stop.pk, recorded_at__isnull=True).update(
        recorded_at=clock(), in_flight=[str(one.pk) for one in in_flight]
    )
    if not changed:
        return None
    gates = Gate.objects.all() if stop.feature_id is None else Gate.objects.filter(feature_id=stop.feature_id)
    gates.update(epoch=F("epoch") + 1)
    IncidentRequest.objects.get_or_create(
        once=f"stop {stop.pk}",
        defaults={
            "feature_id": stop.feature_id,
            "kind": "record.doubted" if stop.cause else "tools.stopped",
            "facts": {
                "stop": str(stop.pk),
                **({"why": stop.cause, **stop.cause_facts} if stop.cause else {}),
            },
        },
    )
    tell_of_stop(stop, len(in_flight))
    return append(
        actor,
        "tools.stopped",
        feature=str(stop.feature_id or ""),
        subject=("stop", str(stop.pk)),
        scope=_scope(stop),
        at=stop.stopped_at.isoformat(),
        in_flight=len(in_flight),
    )


def _scope(stop: ToolStop) -> str:
    return "everything" if stop.feature_id is None else "action" if stop.action else "feature"


def _actor(stop: ToolStop, session: str = "", as_operator: bool = False) -> Actor:
    if as_operator and stop.stopped_by is not None:
        return Actor("operator", stop.stopped_by.name)
    if stop.stopped_by_key_id is not None:
        return Actor("key", str(stop.stopped_by_key_id))
    if stop.cause and stop.stopped_by_id is None:
        return Actor("system", "approvals")
    return actor_of(stop.stopped_by, session)


def finish_stops() -> int:
    """Record stops whose record could not be appended when they were made; returns how many."""
    done = 0
    for stop in ToolStop.objects.filter(recorded_at__isnull=True).select_related("stopped_by"):
        with transaction.atomic():
            close_gate(stop.feature_id)
            done += _record(stop, list(_in_flight(stop)[:_MOST_IN_FLIGHT]), _actor(stop)) is not None
    return done


@transaction.atomic
def restore(
    stop: ToolStop, reason: str, by: Person, session: str = "", *, as_operator: bool = False
) -> ToolStop:
    """Switch tools on again; what was permitted before stays worthless. The caller has checked the right and a fresh
    proof, or is the operator at the command line, in the name of `by`. Raises ClearanceError without a reason,
    ConflictError when it is on again, or not yet in the record.
    """
    reason = " ".join(reason.split())
    if len(reason) < SHORTEST_REASON:
        raise ClearanceError("reason", "Say why it is safe again.", "Five letters at least.", "reason")
    if stop.feature is not None:
        raise_epoch(stop.feature)
    else:
        close_gate(None)
        Gate.objects.update(epoch=F("epoch") + 1)
    locked = ToolStop.objects.select_for_update(of=("self",)).get(pk=stop.pk)
    if locked.restored_at is not None:
        raise ConflictError("restored", "These tools are on again already.")
    if locked.recorded_at is None:
        raise ConflictError("not_recorded", "The stop is not in the record yet.", "Try again in a minute.")
    locked.restored_at, locked.restored_by, locked.restored_reason = clock(), by, reason[:500]
    locked.save(update_fields=["restored_at", "restored_by", "restored_reason"])
    tell_of_restore(locked)
    append(
        Actor("operator", by.name) if as_operator else actor_of(by, session),
        "tools.restored",
        feature=str(locked.feature_id or ""),
        subject=("stop", str(locked.pk)),
        scope=_scope(locked),
    )
    return locked


def body_of(killed: Killed) -> dict[str, Any]:
    """The API's answer: when, and the executions that were out already."""
    return {
        "killed_at": killed.stop.stopped_at.isoformat().replace("+00:00", "Z"),
        "in_flight": [str(one.pk) for one in killed.in_flight],
        "record": msgspec.to_builtins(killed.record) if killed.record else None,
    }
