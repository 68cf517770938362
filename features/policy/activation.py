"""Making a policy the one in force."""

import hashlib
from typing import Any

import msgspec
import rfc8785
from django.db import transaction

from audit.services import Receipt, append
from features.acting import actor_of
from features.gate import close_gate, raise_epoch
from features.models import Feature, Person, PolicyVersion
from features.outbox import notify
from features.policy.active import active_version
from features.policy.document import PolicyDocument
from features.policy.reading import Change, changes
from features.queries import holders
from features.services import create_feature


class Applied(msgspec.Struct, frozen=True):
    """What applying a policy changed; no changes: the version in force says the same already."""

    feature: Feature | None  # None in a rehearsal for a feature that is not there yet
    number: int
    changes: list[Change]
    receipt: Receipt | None


def digest_of(kept: dict[str, Any]) -> bytes:
    """SHA-256 of a kept document's canonical JSON (RFC 8785)."""
    return hashlib.sha256(rfc8785.dumps(kept)).digest()


def lock_policy(feature: Feature, *, to_activate: bool = False) -> None:
    """From here to the end of the transaction nobody else changes the feature's draft, proposals, policy or roles.
    `to_activate`: nor starts a tool; the gate comes before every other lock.
    """
    if to_activate:
        close_gate(feature.pk)
    # No key is changed: rows that point at the feature are written meanwhile.
    Feature.objects.select_for_update(no_key=True).get(pk=feature.pk)


@transaction.atomic
def apply_policy(
    document: PolicyDocument,
    source: str,
    *,
    by: Person | None = None,
    proposed_by: Person | None = None,
    alone: bool = False,
    rehearse: bool = False,
) -> Applied:
    """Make the document the feature's newest version, and the feature where there is none; the same as in
    force makes no version. `source` is the text as it was written. With `rehearse` nothing is written. Who may
    do so was decided before: `proposed_by` another lead, or `alone` because there was none.

    In force with the commit: the next body is redacted, the next trace settled by it.
    """
    slug = document.feature.slug
    feature = Feature.objects.filter(slug=slug).first()
    if feature is not None and not rehearse:
        lock_policy(feature, to_activate=True)
    newest = active_version(feature.pk) if feature else None
    kept = document.kept()
    found = changes(newest.document if newest else None, kept)
    number = newest.number if newest else 0
    if not found or rehearse:
        return Applied(feature, number + bool(found), found, None)
    if feature is None:
        feature = create_feature(slug=slug, name=document.feature.name, task=document.feature.task, by=by)
    raise_epoch(feature)
    feature.name, feature.task = document.feature.name or feature.name, document.feature.task
    feature.save(update_fields=["name", "task"])
    digest = digest_of(kept)
    version = PolicyVersion.objects.create(
        feature=feature,
        number=number + 1,
        document=kept,
        digest=digest,
        source=source,
        activated_by=by,
    )
    told = [person for person in holders(feature)["lead"] if by is None or person.pk != by.pk]
    notify(
        "policy.activated",
        told,
        once=str(version.pk),
        feature=feature,
        number=version.number,
        changes=len(found),
    )
    receipt = append(
        actor_of(by),
        "policy.activated",
        feature=str(feature.pk),
        subject=("policy", str(version.pk)),
        number=version.number,
        digest=digest.hex(),
        changes=len(found),
        proposed_by=str(proposed_by.pk) if proposed_by else None,
        alone=alone,
    )
    return Applied(feature, version.number, found, receipt)
