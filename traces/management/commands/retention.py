from argparse import ArgumentParser
from typing import Any

from features.management.base import ClearanceCommand
from features.numbers import size
from traces.retention import due, run_retention


class Command(ClearanceCommand):
    help = "Retention: show what is due to go, or take it away now. The worker does it each hour."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("show", help="what a run would take away now, and what is held; takes nothing")
        verbs.add_parser("run", help="take it away, in batches; killed, the next run goes on")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "run":
            report = run_retention()
            for day in report.days:
                self.stdout.write(f"dropped {day}")
            self.stdout.write(
                f"{report.traces} traces, {report.spans} spans, {report.events} log events went; "
                f"{report.held} were copied because they are held"
            )
            return
        for one in due():
            if one.feature is not None:
                self.stdout.write(
                    f"{one.feature.slug}: before {one.before}: {one.traces} traces due, {one.held} held"
                )
            else:
                days = "".join(f"\n  {name} {size(taken)}" for name, taken in one.days.items())
                self.stdout.write(f"whole days before {one.before}: {len(one.days)} due{days}")
