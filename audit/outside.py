"""Comparing the record with what is kept outside: a database that was set back, or put in another's place, is found by
what its sinks keep.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from django.conf import settings
from django.db import connection

from audit.models import Comparison, StrayCheckpoint
from audit.queries import archived, checkpoint_of, hashes_after, last_record
from audit.sinks import Kept, Sink
from audit.verifier import Tree

log = logging.getLogger("clearance.audit")

# Of checkpoints over records that are here, the newest are read: the root of each covers all before it.
_MOST_READ = 100

Doubt = Literal["record_behind", "record_differs", "outside_unread"]


class Stray(msgspec.Struct, frozen=True):
    """A checkpoint that is kept outside and is not of this record."""

    sink: str
    size: int
    mark: str


class Standing(msgspec.Struct, frozen=True):
    """How the record stands to what is kept outside."""

    record: int  # the newest record's number
    outside: int  # the largest checkpoint that is kept outside, as far as it could be read; 0: none
    strays: Sequence[Stray]  # those that nobody was told of yet
    unread: Sequence[str]  # sinks outside of this machine that could not be read now

    def doubt(self, *, at_start: bool) -> Doubt | None:
        """Why the record must not be trusted; None: nothing says so. That a sink cannot be read counts at a start: what
        runs was compared when it started.
        """
        if any(stray.size > self.record for stray in self.strays):
            return "record_behind"
        if self.strays:
            return "record_differs"
        return "outside_unread" if at_start and self.unread else None


def compare(sinks: Sequence[Sink] | None = None) -> Standing:
    """Read what the sinks keep (without `sinks` those of the settings) and compare it with the record as it is. Keeps
    how far each was compared; what is found is told again until `remember` has it.
    """
    readable = [sink for sink in (settings.AUDIT_SINKS if sinks is None else sinks) if sink.readable]
    found: dict[str, list[Kept]] = {}
    unread = []
    for sink in readable:
        try:
            found[sink.name] = list(_kept(sink))
        except Exception as error:  # noqa: BLE001 - whatever a network, a bucket or a disk does
            _note_unread(sink, type(error).__name__)
            if sink.outside:
                unread.append(sink.name)
    # After the sinks: the record grows, and a checkpoint that was made meanwhile must not seem to be ahead of it.
    head = last_record()
    strays: list[Stray] = []
    for sink in readable:
        if sink.name not in found:
            continue
        try:
            strays += _strays_of(sink.name, found[sink.name], head)
        except Exception as error:  # noqa: BLE001 - reading one of its objects may fail as well
            _note_unread(sink, type(error).__name__)
            if sink.outside:
                unread.append(sink.name)
    outside = max((kept.size for kepts in found.values() for kept in kepts), default=0)
    return Standing(head, outside, strays, unread)


def _kept(sink: Sink) -> Iterator[Kept]:
    """What came since the last time, and the checkpoint that was compared then: if it is gone from there, or from here,
    that tells as well.
    """
    known = Comparison.objects.filter(sink=sink.name).first()
    if known and known.root:
        yield Kept(known.size, known.root, lambda: known.root)
    yield from sink.kept(known.size if known else 0)


def _strays_of(sink: str, kepts: list[Kept], head: int) -> list[Stray]:
    told = set(StrayCheckpoint.objects.filter(sink=sink).values_list("size", "mark"))
    fresh = [kept for kept in kepts if (kept.size, kept.mark) not in told]
    ahead = [kept for kept in fresh if kept.size > head]
    here = sorted((kept for kept in fresh if kept.size <= head), key=lambda kept: kept.size)[-_MOST_READ:]
    ours = _roots_at({kept.size for kept in here})
    outside = [(kept, kept.root()) for kept in here]
    same = [(kept.size, root) for kept, root in outside if root == ours[kept.size]]
    _note_read(sink, same[-1] if same else None)
    other = [kept for kept, root in outside if root != ours[kept.size]]
    return [Stray(sink, kept.size, kept.mark) for kept in [*ahead, *other]]


def _roots_at(sizes: set[int]) -> dict[int, str]:
    """The root over the first so many records, for each size, from the records' hashes."""
    tree, roots = Tree(), {}
    if gone := archived():
        tree.grow_from(gone["size"], gone["subtrees"])
        for size in (size for size in sizes if size < tree.size):
            # Those records are in the archive; of them the signed checkpoint is what is left here.
            stored = checkpoint_of(size)
            roots[size] = stored["root"] if stored else ""
    if tree.size in sizes:
        roots[tree.size] = tree.root().hex()
    for digest in hashes_after(tree.size, max(sizes, default=0)):
        tree.add(digest)
        if tree.size in sizes:
            roots[tree.size] = tree.root().hex()
    return {size: roots.get(size, "") for size in sizes}


def _note_read(sink: str, same: tuple[int, str] | None) -> None:
    row, _ = Comparison.objects.get_or_create(sink=sink)
    row.at, row.error = datetime.now(UTC), ""
    if same is not None:
        row.size, row.root = same
    row.save()


def _note_unread(sink: Sink, error: str) -> None:
    log.error("what %s keeps cannot be read back (%s)", sink.name, error)
    Comparison.objects.update_or_create(sink=sink.name, defaults={"error": error})


def remember(standing: Standing) -> int:
    """The strays are known from now on, and tell nobody again; returns how many were not. In the caller's transaction,
    with what is done about them.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("strays are remembered in the transaction of what is done about them")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('audit.outside'))")
    before = StrayCheckpoint.objects.count()
    rows = [StrayCheckpoint(sink=one.sink, size=one.size, mark=one.mark) for one in standing.strays]
    StrayCheckpoint.objects.bulk_create(rows, ignore_conflicts=True)
    for one in standing.strays:
        # What was compared once and is gone: from here on it is compared anew.
        Comparison.objects.filter(sink=one.sink, size=one.size, root=one.mark).update(
            size=min(one.size - 1, standing.record), root=""
        )
    return StrayCheckpoint.objects.count() - before
