"""Holds: traces that outlive their retention because a lead holds them by law or something points at them.

A hold is a row, placed also before the trace has arrived. What it keeps is copied when retention would take it, in
the transaction that takes it (traces/retention.py): so spans that come later are kept too.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from django.db import connection, transaction

from audit.services import Actor, append
from features.acting import actor_of
from features.errors import ClearanceError
from features.models import Feature, Person
from traces.models import Hold
from traces.vault import commitment

SHORTEST_REASON = 10
# What each kind is called where people read it.
KIND_WORDS = {
    Hold.Kind.LEGAL: "legal hold",
    Hold.Kind.REVIEW: "review",
    Hold.Kind.CASE: "eval case",
    Hold.Kind.INCIDENT: "incident",
    Hold.Kind.APPROVAL: "approval",
}


@transaction.atomic
def hold_trace(
    *,
    feature: Feature,
    trace_id: bytes,
    kind: str,
    reason: str,
    reference: str = "",
    by: Person | None = None,
    room: str = "",
    session: str = "",
) -> Hold:
    """Keep a trace beyond its retention, until the hold is released; also one that has not arrived yet.

    Idempotent by feature, trace, kind and `reference` (what points at it, by its own ID). Who does it is a person,
    a room of the console by its name, or else the operator. Recorded, with a commitment to the reason. Raises
    ClearanceError without a reason (`reason`) and for what is no trace ID or kind (`invalid`).
    """
    reason = _reason(reason)
    if len(trace_id) != 16 or kind not in Hold.Kind.values:
        raise ClearanceError(
            "invalid", "A hold names a trace of 16 bytes and one of the kinds that there are."
        )
    with connection.cursor() as cursor:
        # Retention takes it exclusively: either it has seen this hold, or this hold comes after what it took.
        cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtext('retention'))")
        salt = secrets.token_bytes(16)
        hold = Hold(
            feature=feature,
            trace_id=trace_id,
            kind=kind,
            reference=reference[:200],
            reason=reason,
            salt=salt,
            placed_by=by,
        )
        placed = Hold.objects.bulk_create([hold], ignore_conflicts=True)[0]
    standing = Hold.objects.get(
        feature=feature, trace_id=trace_id, kind=kind, reference=reference[:200], released_at=None
    )
    if standing.pk == placed.pk:
        append(
            _actor(by, room, session),
            "hold.placed",
            feature=str(feature.pk),
            subject=("trace", trace_id.hex()),
            hold=str(standing.pk),
            kind=kind,
            reason=commitment(salt, reason),
        )
    return standing


@transaction.atomic
def release_hold(
    *, hold: Hold, reason: str, by: Person | None = None, room: str = "", session: str = ""
) -> Hold:
    """End a hold; what nothing else holds goes with the next run of the retention. Again: nothing changes.

    Recorded, with a commitment to the reason. Raises ClearanceError without a reason.
    """
    reason = _reason(reason)
    row = Hold.objects.select_for_update().get(pk=hold.pk)
    if row.released_at is not None:
        return row
    row.released_at, row.released_by, row.release_reason = datetime.now(UTC), by, reason
    row.save(update_fields=["released_at", "released_by", "release_reason"])
    append(
        _actor(by, room, session),
        "hold.released",
        feature=str(row.feature_id),
        subject=("trace", bytes(row.trace_id).hex()),
        hold=str(row.pk),
        kind=row.kind,
        reason=commitment(bytes(row.salt), reason),
    )
    return row


def holds_on(feature_id: UUID, trace_id: bytes) -> list[Hold]:
    """The holds that keep a trace now, the oldest first."""
    standing = Hold.objects.filter(feature_id=feature_id, trace_id=trace_id, released_at=None)
    return list(standing.select_related("placed_by").order_by("created_at"))


def newest_holds(features: Sequence[Feature], limit: int) -> tuple[list[Hold], int]:
    """(the newest standing holds of the features, how many there are in all)."""
    standing = Hold.objects.filter(feature__in=features, released_at=None)
    rows = standing.select_related("feature", "placed_by").order_by("-created_at", "-pk")[:limit]
    return list(rows), standing.count()


def _reason(text: str) -> str:
    reason = " ".join(text.replace("\x00", "").split())
    if len(reason) < SHORTEST_REASON:
        raise ClearanceError(
            "reason", "Say why.", f"{SHORTEST_REASON} letters at least, 500 at most.", "reason"
        )
    return reason[:500]


def _actor(by: Person | None, room: str, session: str) -> Actor:
    return Actor("system", room) if room else actor_of(by, session)
