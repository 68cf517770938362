from argparse import ArgumentParser
from typing import Any

from features.errors import ConflictError
from features.management.base import ClearanceCommand
from features.services import create_feature


class Command(ClearanceCommand):
    help = "Register a feature: prints its slug. The same again is no error and changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="register a feature")
        create.add_argument("slug", help="its name in URLs: small letters, digits, dashes")
        create.add_argument("--name", default="", help="its name for people")
        create.add_argument("--task", default="", help="one sentence that defines its job")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            create_feature(slug=options["slug"], name=options["name"], task=options["task"])
        except ConflictError:
            self.stderr.write(f"{options['slug']} exists already; nothing changed.")
        self.stdout.write(options["slug"])
