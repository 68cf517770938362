"""Feedback: what others know of a request, late or early, as facts that settle joins to its traces.

Said of a trace ID it is a fact of that trace, whether it has come or not. Said of a request ID it is kept under that
ID and holds for every trace that has it: settle looks there each time, so that neither needs to come first.
"""

import hashlib
import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection, transaction

from features.models import Feature
from features.policy import active_policy
from features.problems import FieldError
from traces.models import FactRow, RequestFact, Trace
from traces.redact import Redactor
from traces.redaction_key import redactor_by
from traces.store import mark_dirty
from traces.vault import keep_originals
from traces.wake import wake

__all__ = ["OUTCOMES", "Given", "Said", "add_facts", "give_feedback", "read_feedback", "request_lock"]

_encode = msgspec.json.Encoder(order="deterministic").encode

OUTCOMES = ("success", "escalated", "failed", "abandoned", "unknown")
_FIELDS = ("outcome", "escalated", "violation", "rating", "comment", "source", "at")
_LONGEST = {"source": 100, "rule": 200, "rating": 100, "detail": 2000, "comment": 4000}
_MOST_ID = 512
_AHEAD = timedelta(minutes=5)  # clocks differ

FactTuple = tuple[str, str, Any]  # kind, source, value


class Said(msgspec.Struct, frozen=True):
    """One feedback as it was sent, checked: facts (kind, value), who says so, and when, if they say when."""

    source: str
    facts: tuple[tuple[str, Any], ...]
    at: datetime | None


class Given(msgspec.Struct, frozen=True):
    """What became of it: the traces it holds for so far, and how many of its facts are new."""

    traces: list[str]
    new: int


def read_feedback(body: Any) -> Said:
    """The feedback that a JSON body says. Raises FieldError with everything that is wrong with it."""
    if not isinstance(body, dict):
        raise FieldError([("", "must be an object")])
    wrong: list[tuple[str, str]] = [
        (key[:60], f"is not known; known: {', '.join(_FIELDS)}") for key in body if key not in _FIELDS
    ]
    given = {key: value for key, value in body.items() if key in _FIELDS and value is not None}
    facts: list[tuple[str, Any]] = []
    if "outcome" in given:
        if given["outcome"] in OUTCOMES:
            facts.append(("outcome", given["outcome"]))
        else:
            wrong.append(("outcome", f"must be one of {', '.join(OUTCOMES)}"))
    if "escalated" in given:
        if isinstance(given["escalated"], bool):
            facts.append(("escalated", given["escalated"]))
        else:
            wrong.append(("escalated", "must be true or false"))
    if "violation" in given:
        value, faults = _violation(given["violation"])
        wrong += faults
        facts.append(("violation", value))
    if "rating" in given:
        rating = given["rating"]
        if isinstance(rating, str):
            wrong += _text("rating", rating)
        elif isinstance(rating, bool) or not isinstance(rating, int | float):
            wrong.append(("rating", "must be a number or a word"))
        facts.append(("rating", rating))
    if "comment" in given:
        wrong += _text("comment", given["comment"])
        facts.append(("comment", given["comment"]))
    wrong += _text("source", given.get("source"))
    at, faults = _time(given.get("at"))
    wrong += faults
    if not facts and not wrong:
        wrong.append(("", "says nothing: outcome, escalated, violation, rating or comment"))
    if wrong:
        raise FieldError(wrong)
    return Said(given["source"], tuple(facts), at)


def _text(field: str, value: Any, name: str | None = None) -> list[tuple[str, str]]:
    longest = _LONGEST[name or field]
    if value is None:
        return [(field, "is missing")]
    if not isinstance(value, str):
        return [(field, "must be a text")]
    if not value.strip():
        return [(field, "must not be empty")]
    return [(field, f"must have at most {longest} characters")] if len(value) > longest else []


def _violation(value: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    if isinstance(value, str):
        return {"rule": value}, _text("violation", value, "rule")
    if not isinstance(value, dict):
        return {}, [("violation", "must be a rule's name or an object with rule")]
    wrong = [
        (f"violation.{key[:60]}", "is not known; known: rule, span_id, detail")
        for key in value
        if key not in ("rule", "span_id", "detail")
    ]
    wrong += _text("violation.rule", value.get("rule"), "rule")
    kept: dict[str, Any] = {"rule": value.get("rule")}
    if (span_id := value.get("span_id")) is not None:
        if (
            isinstance(span_id, str)
            and len(span_id) == 16
            and not set(span_id.lower()) - set("0123456789abcdef")
        ):
            kept["span_id"] = span_id.lower()
        else:
            wrong.append(("violation.span_id", "must be a span ID of 16 hexadecimal digits"))
    if (detail := value.get("detail")) is not None:
        wrong += _text("violation.detail", detail, "detail")
        kept["detail"] = detail
    return kept, wrong


def _time(value: Any) -> tuple[datetime | None, list[tuple[str, str]]]:
    if value is None:
        return None, []
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        return None, [("at", "must be an RFC 3339 time with its zone")]
    if at > datetime.now(UTC) + _AHEAD:
        return None, [("at", "lies in the future")]
    return at.astimezone(UTC), []


def give_feedback(feature: Feature, identity: str, said: Said) -> Given:
    """Keep a feedback about a trace ID or a request ID of a feature, redacted like its spans; the same again changes
    nothing. In force when settle has joined it, which is asked for at once.
    """
    policy = active_policy(feature.pk)
    redactor = redactor_by(feature.pk, policy)
    originals: dict[str, str] | None = {} if policy and policy.traces.pii == "tokenise" else None
    clean = Said(
        _redacted(redactor, said.source, originals),
        tuple((kind, _redacted(redactor, value, originals)) for kind, value in said.facts),
        said.at,
    )
    identity = identity.replace("\x00", "\ufffd")
    trace_id = _trace_id(identity)
    with transaction.atomic():
        if originals:
            keep_originals(feature.pk, originals)
        if trace_id is not None:
            new = add_facts(
                feature, trace_id, [(kind, clean.source, value) for kind, value in clean.facts], clean.at
            )
            if Trace.objects.filter(trace_id=trace_id, feature=feature).exists():
                wake_after_commit()
                return Given([trace_id.hex()], new)
        # An agent may give its requests IDs that look like a trace's.
        found, kept = _of_request(feature, redactor.redact_text(identity)[0][:_MOST_ID], clean)
        wake_after_commit()
    return Given([one.hex() for one in found], new if trace_id is not None else kept)


def wake_after_commit() -> None:
    transaction.on_commit(wake)


def _trace_id(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text) if len(text) == 32 and text.isalnum() else None
    except ValueError:
        return None


def _redacted(redactor: Redactor, value: Any, originals: dict[str, str] | None) -> Any:
    if isinstance(value, str):
        return redactor.redact_text(value.replace("\x00", "\ufffd"), originals)[0]
    if isinstance(value, dict):
        return {key: _redacted(redactor, inner, originals) for key, inner in value.items()}
    if isinstance(value, int) and not isinstance(value, bool):
        return redactor.redact_number(value) or value
    return value


def _of_request(feature: Feature, request_id: str, said: Said) -> tuple[list[bytes], int]:
    """Keep facts under a request ID, and mark the traces that have it."""
    with connection.cursor() as cursor:
        # A settle that has a trace of this request in hand holds the lock shared: when it is ours, its row is
        # committed and found below, or it will read what we write.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [request_lock(feature.pk, request_id)])
        rows = [
            RequestFact(
                feature=feature,
                request_id=request_id,
                kind=kind,
                source=said.source,
                value=value,
                digest=_digest(kind, said.source, value, said.at),
                **({"created_at": said.at} if said.at else {}),
            )
            for kind, value in said.facts
        ]
        known = set(
            RequestFact.objects.filter(
                feature=feature, request_id=request_id, digest__in=[row.digest for row in rows]
            ).values_list("digest", flat=True)
        )
        known_digests = {bytes(digest) for digest in known}
        new = [row for row in rows if row.digest not in known_digests]
        RequestFact.objects.bulk_create(new, ignore_conflicts=True)
        found = [
            bytes(trace_id)
            for trace_id in Trace.objects.filter(feature=feature, request_id=request_id).values_list(
                "trace_id", flat=True
            )
        ]
        if found and new:
            mark_dirty(cursor, feature.pk, found)
    return found, len(new)


def request_lock(feature_id: UUID, request_id: str) -> int:
    """The advisory lock of a feature's request ID."""
    digest = hashlib.sha256(
        b"request_fact" + feature_id.bytes + request_id.encode("utf-8", "replace")
    ).digest()
    return int(struct.unpack(">q", digest[:8])[0])


def _digest(kind: str, source: str, value: Any, at: datetime | None) -> bytes:
    """What makes a fact the same fact: who says what, and when they say that it was."""
    return hashlib.sha256(_encode([kind, source, value, at.isoformat() if at else None])).digest()[:16]


def add_facts(
    feature: Feature, trace_id: bytes, facts: Iterable[FactTuple], at: datetime | None = None
) -> int:
    """Write facts (kind, source, value) about a trace and mark it, in one transaction; also before it has arrived.
    A fact that is known is written once: returns how many were new. `at`: when it was said, if not now; of several
    outcomes the newest wins.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        rows = [
            FactRow(
                feature=feature,
                trace_id=trace_id,
                kind=kind,
                source=source,
                value=value,
                digest=_digest(kind, source, value, at),
                **({"created_at": at} if at else {}),
            )
            for kind, source, value in facts
        ]
        mark_dirty(cursor, feature.pk, [trace_id])
        # The mark is locked: nobody else writes facts of this trace now.
        known = {
            bytes(digest or b"")
            for digest in FactRow.objects.filter(
                feature=feature, trace_id=trace_id, digest__in=[row.digest for row in rows]
            ).values_list("digest", flat=True)
        }
        new = {row.digest: row for row in rows if row.digest not in known}
        FactRow.objects.bulk_create(new.values())
    return len(new)
