import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError, transaction

from audit import queries, verifier
from audit.services import (
    Actor,
    append,
    become_record_owner,
    deliver_checkpoints,
    drop_archived,
    make_checkpoint,
    public_key_pem,
    signing_key,
)


class Command(BaseCommand):
    help = "The record: verify it, export it, archive it, sign a checkpoint, print the public key."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verify = verbs.add_parser("verify", help="check the whole record; 1: prints the first bad number")
        verify.add_argument("--public-key", help="the pinned public key, PEM (default: this installation's)")
        verify.add_argument("--checkpoints", help="checkpoints kept outside, JSON lines")
        verify.add_argument("--receipts", help="receipts kept outside, JSON lines")
        export = verbs.add_parser("export", help="write records and checkpoints as JSON lines")
        export.add_argument("file")
        archive = verbs.add_parser("archive", help="write the full, signed partitions to a file of their own")
        archive.add_argument("file")
        archive.add_argument(
            "--drop",
            action="store_true",
            help="and drop them from the database; only as the owner: CLEARANCE_ROLE=owner",
        )
        verbs.add_parser("checkpoint", help="sign a checkpoint now and print it")
        verbs.add_parser("public-key", help="print the public key, to be kept outside")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb'].replace('-', '_')}")(options)

    def _verify(self, options: dict[str, Any]) -> None:
        try:
            given = options["public_key"]
            public = verifier.read_public_key(given) if given else signing_key().public_key()
            outside = verifier.read_list(options["checkpoints"], "checkpoint")
            receipts = verifier.read_list(options["receipts"], "receipt")
            gone = queries.archived()
            found = queries.records(gone["size"] if gone else 0)
            verdict = verifier.verify(found, public, queries.checkpoints(), outside, receipts, gone)
        except verifier.Tampered as error:
            self.stderr.write(f"{error.verdict}: {error}")
            self.stdout.write(str(error.number))
            sys.exit(1)
        except (OSError, verifier.Unreadable, KeyError, TypeError, ValueError) as error:
            raise CommandError(f"cannot be read: {error}", returncode=2) from error
        self.stdout.write(verifier.said(verdict))

    def _export(self, options: dict[str, Any]) -> None:
        count = 0
        with Path(options["file"]).open("w", encoding="utf-8") as file, transaction.atomic():
            # Checkpoints first: none may speak of a record that was appended after the records were read.
            stored = queries.checkpoints()
            gone = queries.archived()
            if gone:
                file.write(json.dumps({"archived": gone}) + "\n")
            for record in queries.records(gone["size"] if gone else 0):
                file.write(json.dumps({"record": record}) + "\n")
                count += 1
            for checkpoint in stored:
                file.write(json.dumps({"checkpoint": checkpoint}) + "\n")
            append(Actor("operator", ""), "audit.exported", records=count)
        self.stdout.write(f"{count} records, {len(stored)} checkpoints")

    def _archive(self, options: dict[str, Any]) -> None:
        if options["drop"]:
            try:
                become_record_owner()
            except ProgrammingError as error:
                raise CommandError(
                    "the application's role drops nothing: run it with CLEARANCE_ROLE=owner", returncode=2
                ) from error
        newest, size = queries.latest_checkpoint(), queries.partition_size()
        full = (newest["size"] if newest else 0) // size * size
        gone = queries.archived()
        if full <= (gone["size"] if gone else 0):
            raise CommandError(f"no partition of {size} records is full and signed yet", returncode=2)
        path = Path(options["file"])
        if path.exists():
            raise CommandError(f"{path} is there already; an archive is written once", returncode=2)
        count = 0
        with path.open("w", encoding="utf-8") as file:
            if gone:
                file.write(json.dumps({"archived": gone}) + "\n")
            for record in queries.records(gone["size"] if gone else 0, full):
                file.write(json.dumps({"record": record}) + "\n")
                count += 1
            for checkpoint in queries.checkpoints():
                if checkpoint["size"] <= full:
                    file.write(json.dumps({"checkpoint": checkpoint}) + "\n")
        # What is dropped must be whole in the file: it is read back and verified first.
        upto = verifier.verify_archive(str(path), signing_key().public_key())
        self.stdout.write(f"{count} records archived, up to {full}")
        if options["drop"]:
            drop_archived(upto)
            self.stdout.write("dropped from the database")

    def _checkpoint(self, options: dict[str, Any]) -> None:
        made = make_checkpoint() or queries.latest_checkpoint()
        deliver_checkpoints()
        if made is None:
            raise CommandError("there is no record to sign yet", returncode=2)
        self.stdout.write(json.dumps(made))

    def _public_key(self, options: dict[str, Any]) -> None:
        self.stdout.write(public_key_pem(signing_key().public_key()), ending="")
