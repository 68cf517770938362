"""The part of the race for grants that runs in processes of its own: it is imported before Django is set up there."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

__all__ = ["run", "set_up"]

_THREADS = 4


def set_up() -> None:
    """Once a process."""
    import django

    django.setup()


def run(work: tuple[UUID, list[UUID]]) -> tuple[int, int]:
    """(executions won, refused) of a key on these decisions, by four threads."""
    from django.db import connection

    from approvals.services import execute
    from features.errors import ClearanceError
    from features.models import ApiKey

    key = ApiKey.objects.select_related("feature").get(pk=work[0])

    def each(decisions: list[UUID]) -> tuple[int, int]:
        won = refused = 0
        for decision in decisions:
            try:
                execute(key, decision)
                won += 1
            except ClearanceError:
                refused += 1
        connection.close()
        return won, refused

    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(each, [work[1][n::_THREADS] for n in range(_THREADS)]))
    return sum(won for won, _ in found), sum(refused for _, refused in found)
