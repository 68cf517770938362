import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from features.management.base import ClearanceCommand
from features.policy import UnreadablePolicy, read_policy
from features.policy.activation import Applied, apply_policy


class Command(ClearanceCommand):
    help = (
        "Apply a feature's policy from a clearance.toml: prints what changes and makes it the version in force. "
        "The same again changes nothing. A wrong file changes nothing: each fault is printed with its line."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the clearance.toml, - for standard input")
        parser.add_argument("--dry-run", action="store_true", help="print what would change, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["file"]
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{name} cannot be read: {error}", returncode=2) from error
        try:
            reading = read_policy(text)
        except UnreadablePolicy as error:
            for fault in error.faults:
                self.stderr.write(f"{name}:{fault.line}: {fault}")
            self.stderr.write(f"{len(error.faults)} to mend; nothing changed.")
            sys.exit(2)
        for warning in reading.warnings:
            self.stderr.write(f"{name}:{warning.line}: warning: {warning}")
        applied = apply_policy(reading.document, text, rehearse=options["dry_run"])
        self._say(applied, reading.document.feature.slug, options["dry_run"])

    def _say(self, applied: Applied, slug: str, rehearsal: bool) -> None:
        for change in applied.changes:
            self.stdout.write(str(change))
        if not applied.changes:
            self.stdout.write(f"{slug}: policy {applied.number} says the same; nothing changed.")
        elif rehearsal:
            self.stdout.write(f"{slug}: would become policy {applied.number}; nothing changed.")
        else:
            self.stdout.write(f"{slug}: policy {applied.number} is in force.")
