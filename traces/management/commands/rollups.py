from argparse import ArgumentParser
from typing import Any

from features.management.base import ClearanceCommand
from traces.rollups import mark_all, roll_up


class Command(ClearanceCommand):
    help = "Compute the rollups of all marked minutes, hours and days now. The metrics are exact before, too: slower."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--again", action="store_true", help="mark every minute first: computes all anew")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["again"]:
            self.stdout.write(f"marked {mark_all():,} minutes")
        computed = 0
        while done := roll_up(at_once=True):
            computed += done
            self.stdout.write(f"\rcomputed {computed:,} steps", ending="")
            self.stdout.flush()
        self.stdout.write(f"\rcomputed {computed:,} steps")
