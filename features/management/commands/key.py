from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any

from features.errors import ClearanceError
from features.management.base import ClearanceCommand, feature_named
from features.models import SCOPES
from features.services import create_key


class Command(ClearanceCommand):
    help = "Make an API key for a feature: prints only the key, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="make a key")
        create.add_argument("slug", help="the feature")
        create.add_argument(
            "--scope", action="append", required=True, choices=SCOPES, help="give it once for each"
        )
        create.add_argument("--days", type=int, help="how long it opens; without: until it is revoked")
        create.add_argument("--label", default="", help="what it is for")

    def handle(self, *args: Any, **options: Any) -> None:
        feature = feature_named(options["slug"])
        if options["days"] is not None and options["days"] < 1:
            raise ClearanceError("invalid", "--days must be 1 or more.")
        expires = datetime.now(UTC) + timedelta(days=options["days"]) if options["days"] else None
        _, clear = create_key(
            feature=feature, scopes=options["scope"], label=options["label"], expires_at=expires
        )
        self.stdout.write(clear)
