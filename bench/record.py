"""The audit record: appends a second, each its own committed transaction, and records verified a second."""

import time
from concurrent.futures import ThreadPoolExecutor

from django.db import connection, transaction

from audit.queries import records
from audit.services import Actor, append, signing_key
from audit.verifier import verify

_EACH = 150
_ACTOR = Actor("system", "bench")


def report() -> str:
    """The figures as a table in Markdown."""
    one, eight = _appends(1), _appends(8)
    kept = list(records())
    started = time.perf_counter()
    verdict = verify(kept, signing_key().public_key())
    verified = verdict.records / (time.perf_counter() - started)
    started = time.perf_counter()
    verify(records(), signing_key().public_key())
    from_database = verdict.records / (time.perf_counter() - started)
    return "\n".join(
        [
            "## Audit record",
            "",
            f"{_EACH} appends a writer, each its own transaction; {verdict.records} records verified.",
            "",
            "| what | records/s |",
            "| --- | ---: |",
            f"| append, 1 writer | {one:,.0f} |",
            f"| append, 8 writers | {eight:,.0f} |",
            f"| verify, in memory | {verified:,.0f} |",
            f"| verify, read from the database | {from_database:,.0f} |",
        ]
    )


def _appends(writers: int) -> float:
    def write(_: int) -> None:
        for _n in range(_EACH):
            with transaction.atomic():
                append(_ACTOR, "key.revoked", prefix="clr_bench")
        connection.close()

    started = time.perf_counter()
    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))
    return writers * _EACH / (time.perf_counter() - started)
