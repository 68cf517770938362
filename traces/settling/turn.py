"""One turn of a worker: take dirty traces, recompute them, write the results, in one transaction."""

import logging
from collections.abc import Sequence

from django.db import DatabaseError, connection, transaction
from django.db.backends.utils import CursorWrapper

from traces.prices import current_prices
from traces.retention import expired
from traces.settling.inputs import Inputs, TraceKey, columns
from traces.settling.judging import Judges
from traces.settling.rows import Settled, write
from traces.summarise import Reading, SearchText, claims_of, facts_in_order, read, search_text, summary_of

log = logging.getLogger("clearance.settle")


def settle_dirty(limit: int = 200) -> int:
    """Recompute up to `limit` dirty traces from all their spans, log events and facts; returns how many were
    taken.

    One transaction: the marks are locked first, the spans read in a later statement (READ COMMITTED), so
    whatever was acknowledged before the lock is seen; what comes after waits for this commit and marks the
    trace again. A trace that cannot be summarised or written is logged, left marked and tried again later; the
    others are not held up.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT trace_id, feature_id FROM dirty_trace "
            "WHERE retry_at IS NULL OR retry_at < clock_timestamp() "
            "ORDER BY since LIMIT %s FOR UPDATE SKIP LOCKED",
            [limit],
        )
        keys: list[TraceKey] = [(bytes(trace_id), feature_id) for trace_id, feature_id in cursor.fetchall()]
        if not keys:
            return 0
        past = expired(cursor, keys)
        inputs = Inputs(cursor, keys)
        # Without spans and log events there are only facts so far, or it is past retention.
        present = [key for key in keys if key not in past and inputs.has_any(key)]
        readings, failed = _read(present, inputs)
        busy = inputs.join_requests(cursor, {key: claims_of(one).request_id for key, one in readings.items()})
        inputs.join_executions(cursor, readings)
        judges = Judges(current_prices())
        settled: list[Settled] = []
        for key, reading in readings.items():
            if key in busy:
                continue  # somebody is saying something about its request: next time
            try:
                settled.append(_settle(key, reading, inputs, judges))
            except DatabaseError:
                raise
            except Exception:  # noqa: BLE001 - logged, and tried again
                failed.append(_logged(key))
        if settled:
            failed += write_all(cursor, settled)
        unwritten = busy.union(failed)
        _unmark(cursor, [key for key in keys if key not in unwritten])
        if failed:
            _postpone(cursor, failed)
        return len(keys)


def _read(keys: Sequence[TraceKey], inputs: Inputs) -> tuple[dict[TraceKey, Reading], list[TraceKey]]:
    """Each trace read, and those that cannot be."""
    readings: dict[TraceKey, Reading] = {}
    failed: list[TraceKey] = []
    for key in keys:
        try:
            readings[key] = read(inputs.spans(key), inputs.events(key))
        except Exception:  # noqa: BLE001 - logged, and tried again
            failed.append(_logged(key))
    return readings, failed


def _logged(key: TraceKey) -> TraceKey:
    # One poisonous trace must not stop all others; its mark stays, with the number of tries.
    log.exception("trace %s cannot be settled", key[0].hex())
    return key


def _settle(key: TraceKey, reading: Reading, inputs: Inputs, judges: Judges) -> Settled:
    before = inputs.before.get(key)
    facts = facts_in_order(inputs.facts.get(key, []))
    summary = summary_of(reading, facts, judges.rules(key, before))
    return Settled(key, summary, search_text(reading, facts, summary), before)


def write_all(cursor: CursorWrapper, settled: Sequence[Settled]) -> list[TraceKey]:
    """Write all at once; where the database refuses, each by itself. Returns what it refuses in every form."""
    try:
        with transaction.atomic():
            write(cursor, settled)
    except DatabaseError as error:
        _raise_unless_refused(error)
        log.warning("%d traces are written one by one: the database refused them together", len(settled))
    else:
        return []
    return [one.key for one in settled if not _write_one(cursor, one)]


# SQLSTATE classes that say that the values cannot be stored; any other says that the database is in trouble.
_REFUSED = ("22", "23", "54")


def _raise_unless_refused(error: DatabaseError) -> None:
    if (getattr(error.__cause__, "sqlstate", None) or "")[:2] not in _REFUSED:
        raise error


def _write_one(cursor: CursorWrapper, one: Settled) -> bool:
    """Write one trace; where its text cannot be indexed, less of it: found by less is better than by nothing."""
    texts = (
        one.text,
        SearchText(one.text.document[:16_384], one.text.lexemes[:2000]),
        SearchText("", one.text.lexemes[:200]),
    )
    for text in texts:
        try:
            with transaction.atomic():
                write(cursor, [one._replace(text=text)])
        except DatabaseError as error:
            _raise_unless_refused(error)
            log.warning("trace %s was refused: %s", one.key[0].hex(), type(error).__name__)
        else:
            return True
    return False


def _unmark(cursor: CursorWrapper, keys: Sequence[TraceKey]) -> None:
    cursor.execute(
        "DELETE FROM dirty_trace d USING unnest(%s::bytea[], %s::uuid[]) k (t, f) "
        "WHERE d.trace_id = k.t AND d.feature_id = k.f",
        columns(keys),
    )


def _postpone(cursor: CursorWrapper, keys: Sequence[TraceKey]) -> None:
    cursor.execute(
        "UPDATE dirty_trace d SET attempts = attempts + 1, "
        "retry_at = clock_timestamp() + interval '1 second' * least(power(2, attempts), 3600) "
        "FROM unnest(%s::bytea[], %s::uuid[]) k (t, f) WHERE d.trace_id = k.t AND d.feature_id = k.f",
        columns(keys),
    )
