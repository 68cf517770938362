"""How the requests of a feature went: held, approved, edited, rejected, expired, how fast; by rule and by person."""

from pathlib import Path
from typing import Any

import msgspec
from django.db import connection

from features.models import Feature, Person
from features.policy import active_policy
from features.window import Window

_SQL = {path.stem: path.read_text() for path in (Path(__file__).parent / "sql").glob("insights*.sql")}
# A rule says something about itself only after so many decisions.
ENOUGH = 20
OFTEN = 0.3


class Insights(msgspec.Struct, frozen=True):
    """The figures of a page; `hints` are what they suggest, each with the action that it is about."""

    actions: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    people: list[dict[str, Any]]
    hints: list[tuple[str, str]]


def insights(feature: Feature, window: Window) -> Insights:
    """A feature's requests that were asked in the window."""
    given = {"feature": feature.pk, "start": window.start, "end": window.end}
    actions = _rows("insights", given)
    people = _rows("insights_by_person", given)
    names = Person.objects.in_bulk([one["person_id"] for one in people])
    for one in people:
        one["person"] = names.get(one["person_id"])
    return Insights(actions, _rows("insights_by_rule", given), people, _hints(feature, actions))


def _rows(name: str, given: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name], given)
        columns = [column.name for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _hints(feature: Feature, actions: list[dict[str, Any]]) -> list[tuple[str, str]]:
    policy = active_policy(feature.pk)
    rules = {one.name: one.under for one in policy.action} if policy else {}
    found = []
    for one in actions:
        n = one["decided"]
        if n < ENOUGH:
            continue
        if one["approved"] == n and not one["edited"] and rules.get(one["action"]):
            found.append((one["action"], f"All {n} were approved as asked: raise its threshold?"))
        if one["edited"] / n >= OFTEN:
            found.append((one["action"], f"{one['edited']} of {n} were edited: is the prompt wrong?"))
        if one["rejected"] / n >= OFTEN:
            found.append(
                (one["action"], f"{one['rejected']} of {n} were rejected: should it be asked at all?")
            )
    return found
