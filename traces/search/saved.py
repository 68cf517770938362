"""Searches that people keep: for themselves, or for all who hold a role on the feature."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from features.errors import ClearanceError, ConflictError, NotFoundError
from features.models import Feature, Person
from features.queries import features_for
from traces.models import SavedSearch
from traces.search.clear_text import personal_data
from traces.search.searching import read_line

__all__ = [
    "address",
    "delete_search",
    "my_search",
    "rename_search",
    "save_search",
    "saved_searches",
    "share_search",
]

_KEPT: Final = ("window", "from", "to", "order", "columns")
MOST: Final = 200
LONGEST_NAME: Final = 80


def saved_searches(person: Person, feature: Feature | None) -> QuerySet[SavedSearch]:
    """What the person can open here, by name: their own, and those shared in the feature. Over all features: all
    their own, and what is shared in a feature of theirs.
    """
    rows = SavedSearch.objects.select_related("feature", "owner").order_by("name", "created_at")
    if feature is not None:
        return rows.filter(feature=feature).filter(Q(owner=person) | Q(shared=True))
    mine = features_for(person)
    # A feature that one may not see any more takes its searches along.
    return rows.filter(
        Q(owner=person, feature=None) | Q(feature__in=mine) & (Q(owner=person) | Q(shared=True))
    )


def address(saved: SavedSearch) -> str:
    """The list that a saved search opens."""
    path = reverse("feature_traces", args=[saved.feature.slug]) if saved.feature else reverse("traces")
    query = urlencode({**({"q": saved.line} if saved.line else {}), **dict(parse_qsl(saved.parameters))})
    return f"{path}?{query}" if query else path


def save_search(
    person: Person,
    feature: Feature | None,
    name: str,
    line: str,
    parameters: Mapping[str, str],
    *,
    shared: bool,
) -> SavedSearch:
    """Keep a search. Raises ClearanceError for a name or a line that cannot be."""
    name = _name(name)
    read_line(line)
    if personal_data([feature] if feature else list(features_for(person)), line):
        raise ClearanceError(
            "invalid", "A search that is kept holds no personal data.", "Use its token.", "q"
        )
    if SavedSearch.objects.filter(owner=person).count() >= MOST:
        raise ClearanceError("too_many", f"At most {MOST} searches are kept.", "Delete some.", "name")
    kept = {key: parameters[key] for key in _KEPT if parameters.get(key)}
    try:
        with transaction.atomic():
            return SavedSearch.objects.create(
                owner=person,
                feature=feature,
                name=name,
                line=line,
                parameters=urlencode(kept)[:500],
                shared=shared and feature is not None,
            )
    except IntegrityError:
        raise _taken(name) from None


def my_search(person: Person, id: UUID) -> SavedSearch:
    """A search of the person's own; of others it does not exist. Raises NotFoundError."""
    found = saved_searches_of(person).filter(pk=id).first()
    if found is None:
        raise NotFoundError("not_found", "No such search of yours.")
    return found


def saved_searches_of(person: Person) -> QuerySet[SavedSearch]:
    """All that the person kept."""
    return SavedSearch.objects.filter(owner=person).select_related("feature")


def rename_search(saved: SavedSearch, name: str) -> None:
    """Give it another name. Raises ClearanceError."""
    saved.name = _name(name)
    try:
        with transaction.atomic():
            saved.save(update_fields=["name"])
    except IntegrityError:
        raise _taken(saved.name) from None


def share_search(saved: SavedSearch, *, shared: bool) -> None:
    """Show it to all who hold a role on its feature, or to nobody else. Raises ClearanceError over all features."""
    if shared and saved.feature_id is None:
        raise ClearanceError("invalid", "A search over all features is one's own.", "Save it in a feature.")
    saved.shared = shared
    saved.save(update_fields=["shared"])


def delete_search(saved: SavedSearch) -> None:
    """Forget it."""
    saved.delete()


def _name(name: str) -> str:
    name = " ".join(name.replace("\x00", " ").split())
    if not name or len(name) > LONGEST_NAME:
        raise ClearanceError("invalid", f"A name has 1 to {LONGEST_NAME} characters.", field="name")
    return name


def _taken(name: str) -> ConflictError:
    return ConflictError("taken", f"You have a search called {name}.", "Choose another name.", "name")
