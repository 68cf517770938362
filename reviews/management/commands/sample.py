from argparse import ArgumentParser
from typing import Any

from features.management.base import ClearanceCommand, feature_named
from reviews.services import draw_week


class Command(ClearanceCommand):
    help = (
        "Draw a week's requests for review, once: a week that is drawn stays as it is, whatever comes later."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("feature", help="the feature's slug")
        parser.add_argument("--week", required=True, help="as ISO 8601 has it: 2026-W47")
        parser.add_argument("--seed", help="draw from this seed; left out: a new one, which is kept")

    def handle(self, *args: Any, **options: Any) -> None:
        drawing = draw_week(feature_named(options["feature"]), options["week"], seed=options["seed"])
        sample = drawing.sample
        said = "drew" if drawing.new else "drawn before,"
        self.stdout.write(
            f"{sample.week}: {said} {sample.items.count()} of {sample.population} requests, seed {sample.seed}"
        )
