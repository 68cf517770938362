"""Roles by the provider's groups: given and taken as the provider says, and a person's word against one wins."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Permission
from django.db import transaction

from audit.services import Actor, append
from features.models import Feature, FeatureRole, Person, RoleDenial


def groups_in(data: Mapping[str, Any]) -> list[str]:
    """The group IDs among a provider's claims. An absent claim is no group: a provider may leave it out when there
    are too many, and what is not said grants nothing.
    """
    if settings.OIDC is None:
        return []
    claim = settings.OIDC["groups_claim"]
    for part in (data.get("userinfo"), data.get("id_token"), data):
        found = part.get(claim) if isinstance(part, Mapping) else None
        if isinstance(found, list):
            return [group for group in found if isinstance(group, str)]
    return []


@transaction.atomic
def follow_groups(person: Person, groups: Iterable[str]) -> None:
    """Make the person's roles by groups what the mapping says of these groups; roles that people gave stay."""
    # Two sign-ins of one person at once follow one after the other.
    Person.objects.select_for_update().get(pk=person.pk)
    mapping = settings.OIDC["groups"] if settings.OIDC else {}
    wanted = {pair for group in groups for pair in mapping.get(group, ())}
    features = {one.slug: one for one in Feature.objects.filter(slug__in={slug for slug, _ in wanted})}
    denied = set(RoleDenial.objects.filter(person=person).values_list("feature_id", "role"))
    due = {
        (features[slug].pk, role)
        for slug, role in wanted
        if slug in features and (features[slug].pk, role) not in denied
    }
    rows = FeatureRole.objects.filter(user=person).select_related("permission")
    held = {(row.content_object_id, row.permission.codename.removeprefix("role_")): row for row in rows}
    for key in sorted(due - held.keys(), key=str):
        permission = Permission.objects.get(content_type__app_label="features", codename=f"role_{key[1]}")
        FeatureRole.objects.create(
            user=person, permission=permission, content_object_id=key[0], by_groups=True
        )
        _record("role.given", person, *key)
    for key, row in held.items():
        if row.by_groups and key not in due:
            row.delete()
            _record("role.taken", person, *key)


def _record(action: str, person: Person, feature_id: object, role: str) -> None:
    append(
        Actor("system", "groups"),
        action,
        feature=str(feature_id),
        subject=("feature", str(feature_id)),
        role=role,
        person=str(person.pk),
    )
