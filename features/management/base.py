"""What the commands share: exit 0 good, 1 the answer is no, 2 error, with the error in one line."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from features.errors import ClearanceError
from features.models import Feature


class ClearanceCommand(BaseCommand):
    """A command whose errors are one line on stderr and exit code 2."""

    requires_system_checks: list[str] = []

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ClearanceError as error:
            self._fail(str(error))
        except OperationalError as error:
            self._fail(
                f"The database does not answer: {error}".strip()
                + "\nStart it with `make run`, or set DATABASE_URL."
            )
        return None

    def _fail(self, message: str) -> None:
        self.stderr.write(message)
        sys.exit(2)


def feature_named(slug: str) -> Feature:
    """The feature, or CommandError."""
    feature = Feature.objects.filter(slug=slug).first()
    if feature is None:
        raise CommandError(
            f"There is no feature {slug}. Make it with: manage.py feature create {slug}", returncode=2
        )
    return feature
