import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from approvals.services import kill, restore
from approvals.services.standing import check_record
from audit.outside import Standing
from audit.sinks import FileSink
from features.errors import ClearanceError
from features.gate import stops_in_force
from features.management.base import ClearanceCommand, feature_named
from features.models import Feature, Person
from features.policy import active_policy


class Command(ClearanceCommand):
    help = (
        "Switch tools off and on again, as the operator, and compare the record with what is kept outside: "
        "a database that was set back must not run what it has forgotten."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        for verb, does in (("off", "nothing is handed out once it returns"), ("on", "tools run again")):
            one = verbs.add_parser(verb, help=does)
            which = one.add_mutually_exclusive_group(required=True)
            which.add_argument("slug", nargs="?", help="the feature")
            which.add_argument("--everything", action="store_true", help="the tools of every feature")
            one.add_argument("--action", default="", help="this action alone")
            one.add_argument("--as", dest="name", required=True, help="the login of the person who does it")
            one.add_argument("--reason", required=True, help="why")
        check = verbs.add_parser(
            "check", help="compare the record with what is kept outside; 1: tools are off"
        )
        check.add_argument("--checkpoints", help="with this file of checkpoints, not with the sinks")
        check.add_argument("--at-start", action="store_true", help="0 whatever it finds: the start goes on")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "check":
            self._check(options["checkpoints"], options["at_start"])
            return
        feature = feature_named(options["slug"]) if options["slug"] else None
        by = Person.objects.filter(name=options["name"], is_active=True).first()
        if by is None:
            raise ClearanceError("no_person", f"There is no person {options['name']}.")
        if options["action"]:
            self._know(feature, options["action"])
        (self._off if options["verb"] == "off" else self._on)(feature, options, by)

    def _know(self, feature: Feature | None, action: str) -> None:
        policy = active_policy(feature.pk) if feature else None
        if feature is None or (policy and action not in [one.name for one in policy.action]):
            raise ClearanceError("no_action", f"There is no action {action}.")

    def _off(self, feature: Feature | None, options: dict[str, Any], by: Person) -> None:
        killed = kill(feature, action=options["action"], reason=options["reason"], by=by, as_operator=True)
        self.stdout.write(f"{killed.stop}: off since {killed.stop.stopped_at:%Y-%m-%d %H:%M:%S} UTC.")
        for execution in killed.in_flight:
            self.stdout.write(f"out already: {execution.action} {execution.pk}")

    def _on(self, feature: Feature | None, options: dict[str, Any], by: Person) -> None:
        stop = stops_in_force().filter(feature=feature, action=options["action"]).first()
        if stop is None:
            raise ClearanceError("not_stopped", "Nothing of this is switched off.")
        restore(stop, options["reason"], by, as_operator=True)
        self.stdout.write(f"{stop}: on again. What was permitted before stays worthless.")

    def _check(self, file: str | None, at_start: bool) -> None:
        if file and not Path(file).is_file():
            raise CommandError(f"{file} cannot be read.", returncode=2)
        sinks = [FileSink(str(Path(file).resolve()))] if file else None
        found, _ = check_record(at_start=True, sinks=sinks)
        stop = stops_in_force().filter(feature=None).exclude(cause="").first()
        if stop is None:
            self.stdout.write(_fine(found))
            return
        self.stderr.write(stop.doubt)
        if not at_start:
            sys.exit(1)


def _fine(found: Standing) -> str:
    if not found.outside:
        return f"Record {found.record}; nothing that is kept outside can be read from here."
    return f"Record {found.record}; as it is kept outside up to {found.outside}."
