"""What changed when: the marks on the plots. Every room adds its own kind (rollbacks, incidents, a stopped tool) by
registering a source; the plots know no room.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Literal

import msgspec
from django.db import connection
from django.urls import reverse

from features.models import Feature, PolicyVersion

__all__ = ["Mark", "marks_of", "register_marks"]

Kind = Literal["deploy", "policy", "rollback", "incident", "stop"]


class Mark(msgspec.Struct, frozen=True):
    """Something that happened to a feature at a moment; `url` leads to it, or is empty."""

    at: datetime
    kind: Kind
    words: str
    url: str = ""


Source = Callable[[Feature, datetime, datetime], Iterable[Mark]]
_sources: dict[str, Source] = {}


def register_marks(key: str, source: Source) -> None:
    """Add a source: what happened to a feature in [start, end). Again under its key: replaces itself."""
    _sources[key] = source


def marks_of(feature: Feature, start: datetime, end: datetime) -> list[Mark]:
    """The marks of a window, oldest first."""
    found = [mark for source in _sources.values() for mark in source(feature, start, end)]
    return sorted(found, key=lambda mark: (mark.at, mark.words))


def versions_first_seen(feature: Feature, start: datetime, end: datetime) -> Iterable[Mark]:
    """When each version that the agent says of itself was seen first, to the minute; a minute or two late, as the
    rollups are. The first version of all is no change.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT first.value, (SELECT min(m.minute) FROM rollup_minute AS m WHERE m.feature_id = %(feature)s "
            "AND m.dimension = 'version' AND m.value = first.value AND m.minute >= first.hour "
            "AND m.minute < first.hour + interval '1 hour') "
            "FROM (SELECT value, min(hour) AS hour, min(min(hour)) OVER () AS oldest FROM rollup_hour "
            "WHERE feature_id = %(feature)s AND dimension = 'version' GROUP BY value) AS first "
            "WHERE first.hour > first.oldest AND first.hour >= %(start)s - interval '1 hour' AND first.hour < %(end)s "
            "ORDER BY 2 DESC LIMIT 20",
            {"feature": feature.pk, "start": start, "end": end},
        )
        return [
            Mark(at, "deploy", f"version {version} first seen")
            for version, at in cursor.fetchall()
            if at is not None and start <= at < end
        ]


def policies_activated(feature: Feature, start: datetime, end: datetime) -> Iterable[Mark]:
    """When each version of the policy came into force."""
    versions = PolicyVersion.objects.filter(feature=feature, activated_at__gte=start, activated_at__lt=end)
    url = reverse("policy", args=[feature.slug])
    return [
        Mark(at, "policy", f"policy {number} in force", url)
        for number, at in versions.order_by("-number").values_list("number", "activated_at")[:20]
    ]
