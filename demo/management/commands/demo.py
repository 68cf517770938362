from argparse import ArgumentParser
from typing import Any

from demo.load import load, sign_ins
from features.management.base import ClearanceCommand


class Command(ClearanceCommand):
    help = "Load the demo: three features, people for each role, and weeks of history; again: keeps what is there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        loading = verbs.add_parser("load", help="make what is missing, with progress")
        loading.add_argument("--days", type=int, default=35, help="days of history (default: 35)")
        verbs.add_parser("sign-ins", help="print the sign-ins")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "load":
            load(options["days"], self.stdout.write)
        else:
            self.stdout.write(sign_ins(), ending="")
