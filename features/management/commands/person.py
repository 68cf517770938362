import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from features.management.base import ClearanceCommand
from features.models import ROLES
from features.services import create_person


def role_on_feature(text: str) -> tuple[str, str]:
    """`billing-agent:approver` as (slug, role)."""
    slug, separator, role = text.partition(":")
    if not separator or role.replace("-", "_") not in ROLES:
        raise ArgumentTypeError(f"{text!r} must be feature:role with a role of {', '.join(ROLES)}")
    return slug, role


class Command(ClearanceCommand):
    help = (
        "Make a person with a local account. Prints the made password, unless one comes by --password-stdin."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="make a person")
        create.add_argument("name", help="the login")
        create.add_argument("--display-name", default="", help="the name that others see")
        create.add_argument(
            "--role", action="append", default=[], type=role_on_feature, metavar="FEATURE:ROLE"
        )
        create.add_argument("--email", default="", help="where notices go")
        create.add_argument("--administrator", action="store_true", help="may register features and people")
        create.add_argument(
            "--password-stdin", action="store_true", help="read the password from standard input"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        given = sys.stdin.readline().rstrip("\r\n") if options["password_stdin"] else None
        _, password = create_person(
            name=options["name"],
            display_name=options["display_name"],
            email=options["email"],
            password=given,
            roles=options["role"],
            administrator=options["administrator"],
        )
        if given is None:
            self.stdout.write(password)
