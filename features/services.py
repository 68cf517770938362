"""All writes of features, people and keys: plain functions, one transaction each."""

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from allauth.mfa.models import Authenticator
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from guardian.shortcuts import assign_perm, remove_perm

from audit.services import Actor, append
from features.acting import actor_of
from features.errors import ClearanceError, ConflictError, NotFoundError
from features.keys import new_key, note_used
from features.models import ROLES, SCOPES, ApiKey, Feature, FeatureRole, Gate, Person, RoleDenial
from features.outbox import notify
from features.queries import holders, roles_on

# How long a rotated key still opens.
_OVERLAP = timedelta(days=7)
# Words that stand in the place of a slug in URLs.
_TAKEN_SLUGS = frozenset({"new"})


def _validated(instance: Feature | Person, exclude: Iterable[str] = ()) -> None:
    try:
        instance.full_clean(exclude=list(exclude), validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        field, problems = next(iter(error.message_dict.items()))
        raise ClearanceError("invalid", f"{field}: {' '.join(problems)}", field=field) from error


@transaction.atomic
def create_feature(*, slug: str, name: str = "", task: str = "", by: Person | None = None) -> Feature:
    """Register a feature; who registers it becomes its lead.

    Raises ClearanceError (`invalid`: what is wrong with which field) and ConflictError (`exists`).
    """
    if slug in _TAKEN_SLUGS:
        raise ClearanceError(
            "invalid", f"The slug {slug} is an address of the console itself.", "Choose another.", "slug"
        )
    feature = Feature(slug=slug, name=name or slug.replace("-", " ").capitalize(), task=task, created_by=by)
    _validated(feature)
    try:
        with transaction.atomic():
            feature.save(force_insert=True)
            Gate.objects.create(feature=feature)
    except IntegrityError as error:
        raise ConflictError(
            "exists", f"The slug {slug} is taken.", "Choose another: it stands in URLs.", "slug"
        ) from error
    if by is not None:
        give_role(feature=feature, person=by, role="lead", by=by)
    append(
        actor_of(by),
        "feature.created",
        feature=str(feature.pk),
        subject=("feature", str(feature.pk)),
        slug=slug,
    )
    return feature


def login_from(claims: Mapping[str, Any]) -> str:
    """The login of somebody whom a provider names: the preferred user name, else what the address begins with."""
    given = str(claims.get("preferred_username") or claims.get("email") or claims.get("sub") or "")
    name = re.sub(r"[^a-z0-9._+-]+", "-", given.partition("@")[0].lower()).strip("-._+")
    return name[:64] or "person"


def made_password() -> str:
    """A password of 80 random bits that can be read aloud and typed: four groups of four."""
    letters = [secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(16)]
    return "-".join("".join(letters[at : at + 4]) for at in range(0, 16, 4))


def _strong(password: str, person: Person) -> None:
    try:
        validate_password(password, person)
    except ValidationError as error:
        raise ClearanceError("weak_password", " ".join(error.messages), field="password") from error


@transaction.atomic
def create_person(
    *,
    name: str,
    display_name: str = "",
    email: str = "",
    password: str | None = None,
    roles: Sequence[tuple[str, str]] = (),
    administrator: bool = False,
    by: Person | None = None,
    by_provider: bool = False,
) -> tuple[Person, str]:
    """Make a person with a local account; returns it with its password (a made one when none is given). Who comes
    `by_provider` has none.

    `roles` are pairs (feature slug, role). Raises ClearanceError for a weak password, an unknown role or
    slug.
    """
    person = Person(name=name, display_name=display_name, email=email, is_administrator=administrator)
    _validated(person, exclude=["password"])
    if by_provider:
        password = ""
    elif password is None:
        password = made_password()
    else:
        _strong(password, person)
    person.set_password(None if by_provider else password)
    try:
        with transaction.atomic():
            person.save(force_insert=True)
    except IntegrityError as error:
        raise ConflictError("exists", f"{name} is taken.", "Choose another login.", "name") from error
    for slug, role in roles:
        feature = Feature.objects.filter(slug=slug).first()
        if feature is None:
            raise NotFoundError(
                "no_feature", f"There is no feature {slug}.", "Make it first: feature create."
            )
        give_role(feature=feature, person=person, role=role, by=by)
    who = Actor("system", "sign-in") if by_provider else actor_of(by)
    append(who, "person.created", subject=("person", str(person.pk)), administrator=administrator)
    return person, password


@transaction.atomic
def set_password(*, person: Person, password: str | None = None, by: Person | None = None) -> str:
    """Give a person a new password (a made one when none is given) and return it. Sessions begun with the old one end.
    Raises ClearanceError for a weak one.
    """
    if password is None:
        password = made_password()
    else:
        _strong(password, person)
    person.set_password(password)
    person.save(update_fields=["password"])
    append(actor_of(by), "password.changed", subject=("person", str(person.pk)))
    return password


@transaction.atomic
def set_active(*, person: Person, active: bool, by: Person | None = None) -> None:
    """Let a person in, or keep them out from the commit on, sessions included; the same again changes nothing."""
    if person.is_active != active:
        person.is_active = active
        person.save(update_fields=["is_active"])
        action = "person.activated" if active else "person.deactivated"
        append(actor_of(by), action, subject=("person", str(person.pk)))


@transaction.atomic
def remove_second_factors(*, person: Person, by: Person | None = None) -> int:
    """Remove a person's passkeys, app and recovery codes, for the day they lost them; returns how many."""
    found = list(Authenticator.objects.filter(user=person))
    for one in found:
        one.delete()
        append(actor_of(by), "second_factor.removed", subject=("person", str(person.pk)), kind=str(one.type))
    return len(found)


@transaction.atomic
def give_role(*, feature: Feature, person: Person, role: str, by: Person | None = None) -> None:
    """Give a person a role on a feature; again: no change. Raises ClearanceError for an unknown role."""
    role = role.replace("-", "_")
    if role not in ROLES:
        raise ClearanceError("unknown_role", f"There is no role {role}.", f"Roles: {', '.join(ROLES)}.")
    RoleDenial.objects.filter(feature=feature, person=person, role=role).delete()
    held = FeatureRole.objects.filter(
        user=person, content_object=feature, permission__codename=f"role_{role}", by_groups=False
    )
    if held.exists():
        return
    assign_perm(f"role_{role}", person, feature)
    # What a group gave stays from now on, whatever the group says.
    FeatureRole.objects.filter(
        user=person, content_object=feature, permission__codename=f"role_{role}"
    ).update(by_groups=False, given_by=by)
    if by is None or by.pk != person.pk:
        notify("role.given", [person], once=str(uuid4()), feature=feature, role=role.replace("_", "-"))
    append(
        actor_of(by),
        "role.given",
        feature=str(feature.pk),
        subject=("feature", str(feature.pk)),
        role=role,
        person=str(person.pk),
    )


@transaction.atomic
def take_role(*, feature: Feature, person: Person, role: str, by: Person | None = None) -> None:
    """Take a person's role on a feature; what they do not hold: no change. Takes effect with the commit.

    Raises ConflictError (`last_lead`) for the only lead: somebody must be able to give roles.
    """
    # Two leads who take each other's role at once wait for each other here.
    Feature.objects.select_for_update().get(pk=feature.pk)
    if role not in roles_on(person, feature):
        return
    if role == "lead" and len(holders(feature)["lead"]) == 1:
        raise ConflictError(
            "last_lead",
            f"{person} is the only lead of {feature}.",
            "Make somebody else lead first.",
            "role",
        )
    remove_perm(f"role_{role}", person, feature)
    RoleDenial.objects.get_or_create(feature=feature, person=person, role=role)
    if by is None or by.pk != person.pk:
        notify("role.taken", [person], once=str(uuid4()), feature=feature, role=role.replace("_", "-"))
    append(
        actor_of(by),
        "role.taken",
        feature=str(feature.pk),
        subject=("feature", str(feature.pk)),
        role=role,
        person=str(person.pk),
    )


@transaction.atomic
def create_key(
    *,
    feature: Feature,
    scopes: Sequence[str],
    label: str = "",
    by: Person | None = None,
    expires_at: datetime | None = None,
    lineage: UUID | None = None,
) -> tuple[ApiKey, str]:
    """Make a key for a program; the clear key is returned here and never again. `lineage`: that of the key whose
    place it takes.
    """
    wanted = list(dict.fromkeys(scopes))
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise ClearanceError(
            "unknown_scope",
            f"There is no scope {', '.join(unknown)}." if unknown else "A key needs at least one scope.",
            f"Scopes: {', '.join(SCOPES)}.",
            "scopes",
        )
    clear, prefix, digest = new_key()
    key = ApiKey.objects.create(
        feature=feature,
        prefix=prefix,
        digest=digest,
        scopes=wanted,
        label=label[:120],
        created_by=by,
        expires_at=expires_at,
        **({"lineage": lineage} if lineage else {}),
    )
    append(
        actor_of(by),
        "key.made",
        feature=str(feature.pk),
        subject=("key", str(key.pk)),
        prefix=prefix,
        scopes=wanted,
        expires=expires_at.astimezone(UTC).isoformat() if expires_at else None,
    )
    return key, clear


@transaction.atomic
def rotate_key(*, key: ApiKey, by: Person | None = None) -> tuple[ApiKey, str]:
    """Make a key's successor with the same scopes; the old one opens for seven more days at most, so that no
    agent stands before a closed door while it changes keys. Raises ConflictError for a key that opens
    nothing any more.
    """
    now = datetime.now(UTC)
    key = ApiKey.objects.select_for_update().select_related("feature").get(pk=key.pk)
    if not key.is_usable(now):
        raise ConflictError("not_usable", f"The key {key.prefix} opens nothing any more.", "Make a new one.")
    until = min(key.expires_at or now + _OVERLAP, now + _OVERLAP)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=until)
    successor, clear = create_key(
        feature=key.feature, scopes=key.scopes, label=key.label, by=by, lineage=key.lineage
    )
    append(
        actor_of(by),
        "key.rotated",
        feature=str(key.feature_id),
        subject=("key", str(key.pk)),
        prefix=key.prefix,
        successor=successor.prefix,
        until=until.isoformat(),
    )
    return successor, clear


@transaction.atomic
def revoke_key(*, key: ApiKey, by: Person | None = None) -> None:
    """From the commit on the key opens nothing. Revoking a revoked key changes nothing."""
    current = ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True)
    if current.update(revoked_at=datetime.now(UTC)):
        append(
            actor_of(by),
            "key.revoked",
            feature=str(key.feature_id),
            subject=("key", str(key.pk)),
            prefix=key.prefix,
        )


def note_key_used(key: ApiKey) -> None:
    """Keep when a key was last used, to the minute: not one write for each call."""
    note_used(key.pk, key.last_used_at)
