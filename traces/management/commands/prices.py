from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.management.base import ClearanceCommand
from traces.models import Price
from traces.prices import DEFAULTS, checked, load_prices, mark_priced, read_file, set_price


class Command(ClearanceCommand):
    help = "Prices of models, in US dollars per million tokens. A change settles anew the traces that it touches."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="print every price with the day from which it is valid")
        one = verbs.add_parser("set", help="set what a model costs from a day on")
        one.add_argument("model", help="a name, or the start of names with * at its end; the longest wins")
        one.add_argument("--input", required=True, help="of a million input tokens")
        one.add_argument("--cached", default="", help="of a million cached input tokens; left out: as input")
        one.add_argument("--output", required=True, help="of a million output tokens")
        one.add_argument("--from", dest="valid_from", default="", help="first day, UTC; left out: today")
        one.add_argument("--source", default="set by the operator", help="where the figure comes from")
        load = verbs.add_parser("load", help="set every price of a file; traces/prices.toml shows its form")
        load.add_argument("file", nargs="?", default=str(DEFAULTS), help="left out: the prices shipped")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "list":
            for row in Price.objects.order_by("model", "valid_from"):
                cached = "as input" if row.cached_input is None else f"{row.cached_input:f}"
                self.stdout.write(
                    f"{row.model}  from {row.valid_from}  in {row.input:f}  cached {cached}  out {row.output:f}"
                    f"  ({row.source})"
                )
            return
        if options["verb"] == "load":
            prices = read_file(Path(options["file"]))
            self.stdout.write(f"{load_prices(prices)} of {len(prices)} prices changed")
        else:
            price = checked(
                model=options["model"],
                valid_from=options["valid_from"] or datetime.now(UTC).date().isoformat(),
                input=options["input"],
                cached_input=options["cached"],
                output=options["output"],
                source=options["source"],
            )
            self.stdout.write("set" if set_price(price) else "the same as before; nothing changed")
        seen = 0
        while done := mark_priced():
            seen += done
            self.stderr.write(f"\r{seen} traces looked at", ending="")
        if seen:
            self.stderr.write("")
