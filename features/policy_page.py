"""A feature's policy: the version in force or an older one, with what it changed."""

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from features.models import Feature, PolicyVersion
from features.pages import page
from features.policy import PolicyDocument
from features.policy.card import Card, card_of
from features.policy.reading import Change, changes
from features.problems import BadField
from features.queries import feature_for

_VERSIONS = 100


class Shown(msgspec.Struct, frozen=True):
    """A version as the page shows it."""

    version: PolicyVersion
    card: Card
    changes: list[Change]
    before: PolicyVersion | None


def shown(feature: Feature, number: int | None = None) -> Shown | None:
    """A version with its card and what it changed; None: there is none, or none of that number."""
    versions = PolicyVersion.objects.filter(feature=feature).select_related("activated_by")
    version = (versions.filter(number=number) if number is not None else versions).first()
    if version is None:
        return None
    before = PolicyVersion.objects.filter(feature=feature, number=version.number - 1).first()
    card = card_of(PolicyDocument.model_validate(version.document))
    return Shown(version, card, changes(before.document if before else None, version.document), before)


@page
@require_safe
def policy(request: HttpRequest, slug: str) -> HttpResponse:
    """The job and blast radius; `?version=` shows an older one."""
    feature = feature_for(request.user, slug)
    given = request.GET.get("version", "")
    if given and not (given.isascii() and given.isdigit() and len(given) < 9):
        raise BadField("version", "version must be a policy's number.")
    found = shown(feature, int(given) if given else None)
    if given and found is None:
        raise Http404(f"{feature} has no policy {given}.")
    versions = list(PolicyVersion.objects.filter(feature=feature).select_related("activated_by")[:_VERSIONS])
    context = {"feature": feature, "shown": found, "versions": versions}
    return render(request, "features/policy.html", context)
