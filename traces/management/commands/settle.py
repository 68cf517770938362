import time
from argparse import ArgumentParser
from typing import Any

from django.db import connection

from features.management.base import ClearanceCommand
from traces.models import DirtyMinute
from traces.rollups import roll_up
from traces.services import settle_dirty


class Command(ClearanceCommand):
    help = (
        "Settle dirty traces now. --wait: returns when every span acknowledged before is settled and summed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--wait",
            action="store_true",
            help="also wait for what other workers have in hand, and for the sums",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            started = cursor.fetchone()[0]
        settled = 0
        while True:
            done = settle_dirty()
            settled += done
            if done:
                continue
            left, stuck = self._left(started)
            if stuck:
                self.stderr.write(f"{stuck} traces cannot be settled; the worker's log says why.")
                raise SystemExit(1)
            if not options["wait"] or not left:
                break
            time.sleep(0.05)
        if options["wait"]:
            self._roll_up()
        self.stdout.write(f"settled {settled} traces")

    @staticmethod
    def _roll_up() -> None:
        """Compute the minutes that settling marked, and wait for those that another worker has in hand."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            marked = cursor.fetchone()[0]
        while DirtyMinute.objects.filter(since__lte=marked).exists():
            if not roll_up(at_once=True):
                time.sleep(0.05)

    @staticmethod
    def _left(started: Any) -> tuple[int, int]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FILTER (WHERE attempts = 0), count(*) FILTER (WHERE attempts > 0) "
                "FROM dirty_trace WHERE since <= %s",
                [started],
            )
            left, stuck = cursor.fetchone()
        return left, stuck
