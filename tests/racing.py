"""Contestants on threads and connections of their own, all begun at one moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection

from features.errors import ClearanceError

Act = Callable[[], Any]


def race(*acts: Act) -> list[Any]:
    """Each act's result or the ClearanceError that it raised, all begun at one moment."""
    start = threading.Barrier(len(acts))

    def run(act: Act) -> Any:
        try:
            connection.ensure_connection()
            start.wait(10)
            return act()
        except ClearanceError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def won(results: list[Any]) -> list[Any]:
    """What those got who were not refused."""
    return [one for one in results if not isinstance(one, ClearanceError)]
