"""Versions of a rubric, and the draft of the next."""

import hashlib
from typing import Any

import rfc8785
from django.db import transaction

from audit.services import append
from features.acting import actor_of
from features.clock import clock
from features.errors import ConflictError
from features.models import Feature, Person
from reviews.models import RubricDraft, RubricVersion
from reviews.queries import rubric_in_force
from reviews.rubric import DEFAULT, Rubric


@transaction.atomic
def publish(feature: Feature, rubric: Rubric, by: Person | None = None, session: str = "") -> RubricVersion:
    """Make the rubric the newest version; the same as in force makes none. Samples that are drawn keep theirs: their
    grades stay comparable.
    """
    _lock(feature)
    kept = rubric.kept()
    digest = hashlib.sha256(rfc8785.dumps(kept)).digest()
    newest = rubric_in_force(feature)
    RubricDraft.objects.filter(feature=feature).delete()
    if newest is not None and bytes(newest.digest) == digest:
        return newest
    version = RubricVersion.objects.create(
        feature=feature,
        number=newest.number + 1 if newest else 1,
        document=kept,
        digest=digest,
        published_by=by,
    )
    append(
        actor_of(by, session),
        "rubric.published",
        feature=str(feature.pk),
        subject=("rubric", str(version.pk)),
        number=version.number,
        digest=digest.hex(),
    )
    return version


def ensure_rubric(feature: Feature) -> RubricVersion:
    """The version in force; the default becomes the first one where there is none."""
    return rubric_in_force(feature) or publish(feature, DEFAULT)


@transaction.atomic
def save_rubric_draft(feature: Feature, document: dict[str, Any], revision: int, by: Person) -> RubricDraft:
    """Keep what was typed, right or not. `revision` is the one that was looked at, 0: there was no draft. Raises
    ConflictError (`draft_changed`) when somebody saved since.
    """
    _lock(feature)
    draft = RubricDraft.objects.filter(feature=feature).first()
    if (draft.revision if draft else 0) != revision:
        who = str(draft.edited_by) if draft else "Somebody"
        raise ConflictError(
            "draft_changed",
            f"{who} changed the draft after you opened it.",
            "Open it in another tab and compare: nothing of yours is lost on this page.",
        )
    values = {"document": document, "edited_by": by, "edited_at": clock(), "revision": revision + 1}
    saved, _ = RubricDraft.objects.update_or_create(feature=feature, defaults=values)
    return saved


@transaction.atomic
def discard_draft(feature: Feature) -> None:
    """Throw the draft away; again: nothing."""
    RubricDraft.objects.filter(feature=feature).delete()


def _lock(feature: Feature) -> None:
    Feature.objects.select_for_update(no_key=True).get(pk=feature.pk)
