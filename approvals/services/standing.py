"""The record against what is kept outside: a database that was set back begins with every tool off, until a person
restores. What was permitted, killed or voted after the backup is forgotten here, and could run again.
"""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from approvals.models import Execution
from approvals.services.stopping import Cause, kill
from approvals.telling import tell_of_stop
from audit.models import Comparison
from audit.outside import Doubt, Standing, compare, remember
from audit.queries import newest_number
from audit.services import Actor, append
from audit.sinks import Sink
from features.gate import stops_in_force
from features.models import IncidentRequest


def check_record(*, at_start: bool, sinks: Sequence[Sink] | None = None) -> tuple[Standing, Doubt | None]:
    """Compare the record with what is kept outside (`sinks`, else those of the settings), and stop every tool where it
    must not be trusted. Of the same checkpoints only once, however often it is called: a person who has restored has
    answered for them. A sink that cannot be read stops at each start.

    Must not be called inside of a transaction.
    """
    found = compare(sinks)
    doubt = found.doubt(at_start=at_start)
    if doubt is None:
        return found, None
    facts = {"record": found.record, "outside": found.outside, "sinks": ", ".join(found.unread)}
    killed = kill(None, cause=Cause(doubt, facts))
    stop = killed.stop
    with transaction.atomic():
        known = not remember(found) and bool(found.strays)
        if known:  # another process was faster
            return found, doubt
        tell_of_stop(stop, Execution.objects.filter(state="started").count())
        if killed.record is None:  # the tools were off already, and for another reason
            IncidentRequest.objects.get_or_create(
                once=f"stop {stop.pk} {doubt} {found.outside}",
                defaults={"kind": "record.doubted", "facts": {"stop": str(stop.pk), "why": doubt, **facts}},
            )
        append(
            Actor("system", "approvals"),
            "record.doubted",
            subject=("stop", str(stop.pk)),
            why=doubt,
            record=found.record,
            outside=found.outside,
            strays=len(found.strays),
        )
    return found, doubt


def readiness() -> dict[str, Any]:
    """What /readyz says of it: how far the record goes, up to where it was compared with what is kept outside, how many
    sinks could not be read the last time, and what keeps every tool off.
    """
    compared = list(Comparison.objects.all())
    doubts = stops_in_force().filter(feature=None).exclude(cause="").values_list("cause", flat=True)
    return {
        "number": newest_number(),
        "compared": max((one.size for one in compared), default=0),
        "unread": sum(bool(one.error) for one in compared),
        "doubt": doubts.first(),
    }
