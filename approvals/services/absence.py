"""Out of office: while a person is away, a deputy gets their notices of approvals too. Rights never move."""

from datetime import timedelta

from django.db import transaction

from approvals.models import Absence
from audit.services import append
from features.acting import actor_of
from features.clock import clock
from features.models import Person


@transaction.atomic
def go_away(person: Person, deputy: Person, days: int, session: str = "") -> Absence:
    """From now, for so many days; what was said before is replaced."""
    until = clock() + timedelta(days=days)
    found, _ = Absence.objects.update_or_create(person=person, defaults={"deputy": deputy, "until": until})
    append(
        actor_of(person, session), "absence.begun", subject=("person", str(person.pk)), person=str(deputy.pk)
    )
    return found


@transaction.atomic
def back_again(person: Person, session: str = "") -> None:
    """Back before the time; again: nothing."""
    if Absence.objects.filter(person=person).delete()[0]:
        append(actor_of(person, session), "absence.ended", subject=("person", str(person.pk)))
