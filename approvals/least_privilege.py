"""Least privilege: what is allowed and never used, what is used and not allowed, by what the last weeks show."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from django.db import connection
from django.db.models import Count, Max

from approvals.models import Decision, Execution, Vote
from features.models import ApiKey, Feature, FeatureRole, PolicyVersion
from features.policy import PolicyDocument, active_policy

__all__ = ["ActionUse", "KeyUse", "Privileges", "RoleUse", "ToolSeen", "privileges_of"]

USED_WITHIN = timedelta(days=30)
VOTED_WITHIN = timedelta(days=90)
# Of each kind on one page; the rest is counted.
MOST: int = 200


class ActionUse(msgspec.Struct, frozen=True):
    """An action of the policy: how often it was started and in how many requests its tool ran, in 30 days."""

    name: str
    effect: str
    executions: int
    requests: int

    @property
    def unused(self) -> bool:
        return not self.executions and not self.requests


class ToolSeen(msgspec.Struct, frozen=True):
    """A tool that ran in so many requests and that the policy does not name, or disallows."""

    name: str
    requests: int
    kind: Literal["unlisted", "disallowed"]


class KeyUse(msgspec.Struct, frozen=True):
    """A usable key that is older than the window and was not used in it, or never decided although it may."""

    prefix: str
    label: str
    scopes: tuple[str, ...]
    last_used_at: datetime | None
    why: Literal["unused", "never_decided"]


class RoleUse(msgspec.Struct, frozen=True):
    """An approver of more than 90 days who has not voted in them."""

    person: str
    given_at: datetime
    voted_at: datetime | None


class Privileges(msgspec.Struct, frozen=True, kw_only=True):
    """`requests` and `executions` are what it was judged by: with few of them, unused says little. `since`: when the
    feature's first policy came into force. `new_keys` and `new_approvers` are too new to be judged.
    """

    policy: int | None
    since: datetime | None
    requests: int
    executions: int
    actions: list[ActionUse]
    tools: list[ToolSeen]
    keys: list[KeyUse]
    usable_keys: int
    new_keys: int
    approvers: int
    idle: list[RoleUse]
    new_approvers: int

    @property
    def unused(self) -> list[ActionUse]:
        return [action for action in self.actions if action.unused]

    @property
    def days_in_force(self) -> int | None:
        return None if self.since is None else (datetime.now(UTC) - self.since).days


def privileges_of(feature: Feature) -> Privileges:
    """What the last 30 days (90 for votes) say of a feature's rights."""
    now = datetime.now(UTC)
    since = now - USED_WITHIN
    policy = active_policy(feature.pk)
    versions = PolicyVersion.objects.filter(feature=feature).order_by("number")
    newest, first = versions.last(), versions.first()
    requests, tools = _tools(feature, since)
    counted = Execution.objects.filter(feature=feature, started_at__gte=since).values_list("action")
    executions = dict(counted.annotate(n=Count("id")).order_by())
    usable = [key for key in ApiKey.objects.filter(feature=feature, revoked_at=None) if key.is_usable(now)]
    judged = [key for key in usable if key.created_at < since]
    idle, approvers, new = _approvers(feature, now - VOTED_WITHIN)
    return Privileges(
        policy=newest.number if newest else None,
        since=first.activated_at if first else None,
        requests=requests,
        executions=sum(executions.values()),
        actions=_actions(policy, executions, tools),
        tools=_unlisted(policy, tools),
        keys=_idle_keys(feature, judged, since),
        usable_keys=len(usable),
        new_keys=len(usable) - len(judged),
        approvers=approvers,
        idle=idle,
        new_approvers=new,
    )


def _tools(feature: Feature, since: datetime) -> tuple[int, dict[str, int]]:
    """(requests since, requests by the tool that ran in them)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tool, count(*) FROM trace t, unnest(t.tools) tool "
            "WHERE t.feature_id = %s AND t.started_at >= %s GROUP BY tool",
            [feature.pk, since],
        )
        tools = dict(cursor.fetchall())
        cursor.execute(
            "SELECT count(*) FROM trace t WHERE t.feature_id = %s AND t.started_at >= %s", [feature.pk, since]
        )
        return int(cursor.fetchone()[0]), tools


def _actions(
    policy: PolicyDocument | None, executions: Mapping[str, int], tools: Mapping[str, int]
) -> list[ActionUse]:
    used = [
        ActionUse(one.name, one.effect, executions.get(one.name, 0), tools.get(one.name, 0))
        for one in (policy.action if policy else ())
    ]
    return sorted(used, key=lambda one: (not one.unused, one.name))


def _unlisted(policy: PolicyDocument | None, tools: Mapping[str, int]) -> list[ToolSeen]:
    """Most requests first, disallowed ones before all. Without a policy none is accused."""
    if policy is None:
        return []
    named = {one.name for one in policy.action}.union(policy.traces.escalation_tools)
    barred = set(policy.feature.disallowed)
    found = [
        ToolSeen(name, n, "disallowed" if name in barred else "unlisted")
        for name, n in tools.items()
        if name in barred or name not in named
    ]
    return sorted(found, key=lambda one: (one.kind, -one.requests, one.name))


def _idle_keys(feature: Feature, judged: list[ApiKey], since: datetime) -> list[KeyUse]:
    deciding = set(
        Decision.objects.filter(feature=feature, created_at__gte=since)
        .values_list("lineage", flat=True)
        .distinct()
    )
    found: list[KeyUse] = []
    for key in judged:
        why: Literal["unused", "never_decided"] | None = None
        if key.last_used_at is None or key.last_used_at < since:
            why = "unused"
        elif "decide" in key.scopes and key.lineage not in deciding:
            why = "never_decided"
        if why:
            found.append(KeyUse(key.prefix, key.label, tuple(key.scopes), key.last_used_at, why))
    return found


def _approvers(feature: Feature, since: datetime) -> tuple[list[RoleUse], int, int]:
    """(who has not voted since, how many approvers there are, how many are newer than that)."""
    rows = list(
        FeatureRole.objects.filter(
            content_object=feature, user__is_active=True, permission__codename="role_approver"
        ).select_related("user")
    )
    voted = dict(
        Vote.objects.filter(request__feature=feature, person__in=[row.user_id for row in rows])
        .values_list("person")
        .annotate(at=Max("at"))
        .order_by()
    )
    old = [row for row in rows if row.given_at < since]
    idle = [
        RoleUse(str(row.user), row.given_at, at)
        for row in old
        if (at := voted.get(row.user_id)) is None or at < since
    ]
    return sorted(idle, key=lambda one: one.person), len(rows), len(rows) - len(old)
