"""All that is known of some traces, read with one statement a table."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.db.backends.utils import CursorWrapper

from traces.feedback import request_lock
from traces.summarise.reading import Reading
from traces.summarise.shadow import execution_name
from traces.vocabulary import Fact, LogEvent, Span

TraceKey = tuple[bytes, UUID]

_decode_span = msgspec.json.Decoder(Span).decode
_decode_event = msgspec.json.Decoder(LogEvent).decode


class Before(NamedTuple):
    """What settle wrote of a trace the last time."""

    started_at: datetime
    policy: int | None


def columns(keys: Sequence[TraceKey]) -> list[list[Any]]:
    """Keys as the two arrays that `unnest` takes."""
    return [[trace_id for trace_id, _ in keys], [feature_id for _, feature_id in keys]]


class Inputs:
    """What there is of these traces. Bodies are decoded one trace at a time, so that a body that cannot be read
    stops its own trace only.
    """

    def __init__(self, cursor: CursorWrapper, keys: Sequence[TraceKey]) -> None:
        self._spans = _bodies(cursor, "all_span", keys)
        # A different body under a known ID is as much an input as the one that came first.
        for key, bodies in _bodies(cursor, "span_conflict", keys).items():
            self._spans.setdefault(key, []).extend(bodies)
        self._events = _bodies(cursor, "all_log_event", keys)
        self.facts = _facts(cursor, keys)
        self.before = _before(cursor, keys)

    def join_requests(self, cursor: CursorWrapper, named: Mapping[TraceKey, str | None]) -> set[TraceKey]:
        """Add what was said of the traces' request IDs to their facts. Returns the traces about whose request
        somebody is saying something at this moment: they must wait, for whoever says it cannot see them yet.

        The locks are tried, never waited for: a feedback waits for marks that this transaction holds.
        """
        asked = {key: request_id for key, request_id in named.items() if request_id}
        if not asked:
            return set()
        locks = {key: request_lock(key[1], request_id) for key, request_id in asked.items()}
        cursor.execute(
            "SELECT k FROM unnest(%s::bigint[]) k WHERE NOT pg_try_advisory_xact_lock_shared(k)",
            [sorted(set(locks.values()))],
        )
        taken = {lock for (lock,) in cursor.fetchall()}
        cursor.execute(
            "SELECT r.feature_id, r.request_id, r.kind, r.source, r.value::text, r.created_at "
            "FROM (SELECT DISTINCT f, q FROM unnest(%s::uuid[], %s::text[]) k (f, q)) k "
            "JOIN request_fact r ON r.feature_id = k.f AND r.request_id = k.q",
            [[key[1] for key in asked], list(asked.values())],
        )
        said: defaultdict[tuple[UUID, str], list[Fact]] = defaultdict(list)
        for feature_id, request_id, *fact in cursor.fetchall():
            said[(feature_id, request_id)].append(fact_of(*fact))
        for key, request_id in asked.items():
            if facts := said.get((key[1], request_id)):
                self.facts[key] += facts
        return {key for key, lock in locks.items() if lock in taken}

    def join_executions(self, cursor: CursorWrapper, readings: Mapping[TraceKey, Reading]) -> None:
        """Add the executions that the traces' spans name and that were permitted in another trace, or in none. An
        execution's fact is committed before its agent learns its ID, so none can be missed.
        """
        asked: set[tuple[UUID, str]] = set()
        named: dict[TraceKey, set[str]] = {}
        for key, reading in readings.items():
            known = {fact.source for fact in self.facts.get(key, ()) if fact.kind == "execution"}
            names = {name[:64] for span in reading.spans if (name := execution_name(span))} - known
            if names:
                named[key] = names
                asked.update((key[1], name) for name in names)
        if not asked:
            return
        cursor.execute(
            "SELECT f.feature_id, f.source, f.value::text, f.created_at FROM unnest(%s::uuid[], %s::text[]) k (f, s) "
            "JOIN fact f ON f.feature_id = k.f AND f.source = k.s AND f.kind = 'execution'",
            [[feature_id for feature_id, _ in asked], [name for _, name in asked]],
        )
        found = {
            (feature_id, source): fact_of("named_execution", source, value, created_at)
            for feature_id, source, value, created_at in cursor.fetchall()
        }
        for key, names in named.items():
            self.facts[key] += [fact for name in sorted(names) if (fact := found.get((key[1], name)))]

    def has_any(self, key: TraceKey) -> bool:
        """Whether a span or a log event of the trace is stored."""
        return key in self._spans or key in self._events

    def spans(self, key: TraceKey) -> list[Span]:
        return [_decode_span(body) for body in self._spans.get(key, ())]

    def events(self, key: TraceKey) -> list[LogEvent]:
        return [_decode_event(body) for body in self._events.get(key, ())]


def _bodies(cursor: CursorWrapper, table: str, keys: Sequence[TraceKey]) -> dict[TraceKey, list[str]]:
    wanted = set(keys)
    found: defaultdict[TraceKey, list[str]] = defaultdict(list)
    cursor.execute(
        f"SELECT trace_id, feature_id, body::text FROM {table} WHERE trace_id = ANY(%s)",
        [sorted({trace_id for trace_id, _ in keys})],
    )
    for trace_id, feature_id, body in cursor.fetchall():
        if (key := (bytes(trace_id), feature_id)) in wanted:
            found[key].append(body)
    return dict(found)


def _facts(cursor: CursorWrapper, keys: Sequence[TraceKey]) -> defaultdict[TraceKey, list[Fact]]:
    found: defaultdict[TraceKey, list[Fact]] = defaultdict(list)
    cursor.execute(
        "SELECT trace_id, feature_id, kind, source, value::text, created_at FROM fact WHERE trace_id = ANY(%s)",
        [sorted({trace_id for trace_id, _ in keys})],
    )
    for trace_id, feature_id, kind, source, value, created_at in cursor.fetchall():
        found[(bytes(trace_id), feature_id)].append(fact_of(kind, source, value, created_at))
    return found


def fact_of(kind: str, source: str, value: str, created_at: datetime) -> Fact:
    """A fact as summarise takes it; `value` is JSON."""
    return Fact(
        kind=kind,
        source=source,
        value=msgspec.json.decode(value),
        created_at=int(created_at.timestamp()) * 10**9 + created_at.microsecond * 1000,
    )


def _before(cursor: CursorWrapper, keys: Sequence[TraceKey]) -> dict[TraceKey, Before]:
    cursor.execute(
        "SELECT t.trace_id, t.feature_id, t.started_at, t.policy FROM unnest(%s::bytea[], %s::uuid[]) k (t, f) "
        "JOIN trace t ON t.trace_id = k.t AND t.feature_id = k.f",
        columns(keys),
    )
    return {
        (bytes(trace_id), feature_id): Before(started_at, policy)
        for trace_id, feature_id, started_at, policy in cursor.fetchall()
    }
