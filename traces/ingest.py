"""The pipeline of a body: inflate -> decode -> normalise -> redact -> store, in this order, in one function.

Acknowledged means committed: the answer is made after the transaction.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from features.marks import span_mark
from features.models import Feature, new_id
from features.policy import PolicyDocument, active_policy
from traces.bound import storable_body, storable_event_body
from traces.decode import (
    DecodeError,
    TooLarge,
    UnsupportedEncoding,
    UnsupportedMediaType,
    decode_logs,
    decode_traces,
    inflate,
)
from traces.normalise import normalise_log, normalise_span
from traces.redaction_key import redactor_by
from traces.retention import retention_days
from traces.store import AlreadyKnown, store_events, store_spans
from traces.vault import keep_originals

Signal = Literal["traces", "logs"]
_NS = 10**9
_DAY_NS = 86_400 * _NS
# Commits wait for the disk, and a database that is slow must not hold a body for ever: the exporter tries
# again.
_STATEMENT_TIMEOUT = "15s"

# What a large body is decoded to takes several times its size: one at a time in a process.
_one_large_body = threading.Lock()

Refused = (DecodeError, TooLarge, UnsupportedEncoding, UnsupportedMediaType)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one body: how many of its items are stored (or were before), and why the others
    are not.
    """

    accepted: int
    stored: int
    rejected: int
    reason: str


def ingest(signal: Signal, feature_id: UUID, body: bytes, content_type: str, encoding: str | None) -> Receipt:
    """Store an OTLP body for a feature; returns after commit.

    Raises the errors in `Refused` for a body that can never be stored (noted among the feature's receipts),
    and the database's own errors, after which nothing of it is stored.
    """
    started = time.time_ns()
    policy = active_policy(feature_id)
    earliest, latest = started - retention_days(policy) * _DAY_NS, started + _DAY_NS
    originals: dict[str, str] | None = {} if policy and policy.traces.pii == "tokenise" else None
    work = _traces if signal == "traces" else _logs
    with ExitStack() as held:
        try:
            plain = inflate(body, encoding, settings.INGEST_MAX_UNPACKED_BYTES)
            if len(plain) > settings.INGEST_LARGE_BYTES:
                held.enter_context(_one_large_body)
            accepted, rejected, store = work(
                feature_id, plain, content_type, (earliest, latest, started), policy, originals
            )
        except Refused as error:
            _note(feature_id, signal, 0, 0, str(error))
            raise
        reason = _reasons(rejected)

        def commit(*, anew: bool) -> int:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'")
                stored = store(anew)
                if originals:
                    keep_originals(feature_id, originals)
                _note(feature_id, signal, accepted, len(rejected), reason)
            return stored

        try:
            stored = commit(anew=True)
        except AlreadyKnown:
            stored = commit(anew=False)
    return Receipt(accepted, stored, len(rejected), reason)


def ingest_traces(feature: Feature, body: bytes, content_type: str, encoding: str | None = None) -> Receipt:
    """Store an ExportTraceServiceRequest for a feature; as `ingest`."""
    return ingest("traces", feature.pk, body, content_type, encoding)


def ingest_logs(feature: Feature, body: bytes, content_type: str, encoding: str | None = None) -> Receipt:
    """Store an ExportLogsServiceRequest for a feature; as `ingest`."""
    return ingest("logs", feature.pk, body, content_type, encoding)


Work = tuple[int, Sequence[str], Callable[[bool], int]]


# When: the earliest and the latest time that is taken, and now, in nanoseconds since the epoch.
Times = tuple[int, int, int]
Originals = dict[str, str] | None


def _traces(
    feature_id: UUID,
    plain: bytes,
    content_type: str,
    times: Times,
    policy: PolicyDocument | None,
    originals: Originals,
) -> Work:
    decoded = decode_traces(plain, content_type, earliest=times[0], latest=times[1])
    redactor = redactor_by(feature_id, policy)
    part_limit, span_limit = _limits()
    spans = []
    for raw in decoded.items:
        span = normalise_span(raw)
        if span.kind == "tool":
            # As they came: redaction and cutting change them.
            span.content.args_mark = span_mark(feature_id, span.tool_name or "", span.content.arguments)
        # First the body: encoding may change the span.
        body = storable_body(span, redactor, part_limit, span_limit, originals)
        spans.append((span, body))
    return len(spans), decoded.rejected, lambda anew: store_spans(feature_id, spans, anew=anew)


def _logs(
    feature_id: UUID,
    plain: bytes,
    content_type: str,
    times: Times,
    policy: PolicyDocument | None,
    originals: Originals,
) -> Work:
    decoded = decode_logs(plain, content_type, earliest=times[0], latest=times[1], received_at=times[2])
    redactor = redactor_by(feature_id, policy)
    part_limit, event_limit = _limits()
    events = []
    for raw in decoded.items:
        event = normalise_log(raw)
        body = storable_event_body(event, redactor, part_limit, event_limit, originals)
        events.append((event, body))
    return len(events), decoded.rejected, lambda anew: store_events(feature_id, events, anew=anew)


def _limits() -> tuple[int, int]:
    return settings.INGEST_MAX_PART_BYTES, settings.INGEST_MAX_SPAN_BYTES


def _reasons(rejected: Sequence[str]) -> str:
    """The reasons, each once with its number, at most five: an SDK logs this line."""
    if not rejected:
        return ""
    counted = {reason: rejected.count(reason) for reason in list(dict.fromkeys(rejected))[:5]}
    return "; ".join(f"{n} x {reason}" for reason, n in counted.items())


def _note(feature_id: UUID, signal: Signal, accepted: int, rejected: int, reason: str) -> None:
    """Keep an IngestReceipt. By hand: the ORM takes longer for it than the database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ingest_receipt (id, feature_id, at, signal, accepted, rejected, reason) "
            "VALUES (%s, %s, clock_timestamp(), %s, %s, %s, %s)",
            [new_id(), feature_id, signal, accepted, rejected, reason[:500].replace("\x00", "\ufffd")],
        )
