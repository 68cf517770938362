from argparse import ArgumentParser
from typing import Any

from features.acting import actor_of
from features.management.base import ClearanceCommand, feature_named
from traces.vault import erase, reseal


class Command(ClearanceCommand):
    help = "The vault of originals: seal everything with the newest key, erase a person's data."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser(
            "reseal", help="seal all with the first of CLEARANCE_VAULT_KEYS; then drop the others"
        )
        gone = verbs.add_parser("erase", help="erase what tokens stand for, for ever")
        gone.add_argument("slug", help="the feature")
        gone.add_argument("token", nargs="+", help="such as [email:7f3a1c9e2b4d6f8090ab]")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "reseal":
            self.stdout.write(f"{reseal(actor_of(None))} resealed")
        else:
            feature = feature_named(options["slug"])
            self.stdout.write(f"{erase(feature=feature, tokens=options['token'], by=None)} erased")
