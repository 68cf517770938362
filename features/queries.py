"""All reads that decide what a person may know. One code path: absent and forbidden give the same answer."""

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.http import Http404

from features.models import ROLES, Feature, FeatureRole, Person


def features_for(person: Person | AnonymousUser) -> QuerySet[Feature]:
    """The features on which the person holds a role, by name; nobody and people without a role: none."""
    if not person.is_authenticated or not person.is_active:
        return Feature.objects.none()
    held = FeatureRole.objects.filter(user_id=person.pk).values("content_object_id")
    return Feature.objects.filter(pk__in=held)


def feature_for(person: Person | AnonymousUser, slug: str) -> Feature:
    """The feature, if the person holds a role on it; Http404 otherwise, whether it exists or not."""
    feature = features_for(person).filter(slug=slug).first()
    if feature is None:
        raise Http404("No such feature, or none that you may see.")
    return feature


def roles_on(person: Person | AnonymousUser, feature: Feature) -> frozenset[str]:
    """The person's roles on the feature: lead, approver, reviewer, on_call, viewer."""
    if not person.is_authenticated or not person.is_active:
        return frozenset()
    codenames = FeatureRole.objects.filter(user_id=person.pk, content_object=feature).values_list(
        "permission__codename", flat=True
    )
    return frozenset(name.removeprefix("role_") for name in codenames)


def holders(feature: Feature) -> dict[str, list[Person]]:
    """Who holds each role on the feature, by login; every role is there."""
    found: dict[str, list[Person]] = {role: [] for role in ROLES}
    rows = FeatureRole.objects.filter(content_object=feature, user__is_active=True)
    for row in rows.select_related("user", "permission").order_by("user__name"):
        found[row.permission.codename.removeprefix("role_")].append(row.user)
    return found
