import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from features.errors import NotFoundError
from features.management.base import ClearanceCommand
from features.models import ROLES, Person
from features.services import create_person, remove_second_factors, set_active, set_password


def role_on_feature(text: str) -> tuple[str, str]:
    """`billing-agent:approver` as (slug, role)."""
    slug, separator, role = text.partition(":")
    if not separator or role.replace("-", "_") not in ROLES:
        raise ArgumentTypeError(f"{text!r} must be feature:role with a role of {', '.join(ROLES)}")
    return slug, role


class Command(ClearanceCommand):
    help = "People with local accounts: make one, set a password, keep one out, remove a lost second factor."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser(
            "create", help="make a person; prints the made password, unless one comes by --password-stdin"
        )
        create.add_argument("name", help="the login")
        create.add_argument("--display-name", default="", help="the name that others see")
        create.add_argument(
            "--role", action="append", default=[], type=role_on_feature, metavar="FEATURE:ROLE"
        )
        create.add_argument("--email", default="", help="where notices go")
        create.add_argument("--administrator", action="store_true", help="may register features and people")
        password = verbs.add_parser("password", help="set a new password; ends the sessions of the old one")
        for one in (create, password):
            one.add_argument(
                "--password-stdin", action="store_true", help="read the password from standard input"
            )
        others = {
            "deactivate": "keep a person out, at once",
            "activate": "let a person in again",
            "remove-second-factor": "remove passkeys, app and recovery codes of somebody who lost them",
        }
        for one in (password, *(verbs.add_parser(verb, help=words) for verb, words in others.items())):
            one.add_argument("name", help="the login")

    def handle(self, *args: Any, **options: Any) -> None:
        given = sys.stdin.readline().rstrip("\r\n") if options.get("password_stdin") else None
        if options["verb"] == "create":
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
            return
        person = Person.objects.filter(name=options["name"].lower()).first()
        if person is None:
            raise NotFoundError(
                "no_person", f"There is no person {options['name']}.", "Make one: person create."
            )
        if options["verb"] == "password":
            password = set_password(person=person, password=given)
            if given is None:
                self.stdout.write(password)
        elif options["verb"] == "remove-second-factor":
            self.stdout.write(f"{remove_second_factors(person=person)} removed")
        else:
            set_active(person=person, active=options["verb"] == "activate")
