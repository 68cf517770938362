"""A feature's policy: the version in force or an older one, with what it changed, and its file."""

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from features.models import Feature, PolicyVersion
from features.pages import page
from features.policy import PolicyDocument
from features.policy.action_rules import action_warnings
from features.policy.card import Card, card_of
from features.policy.drafts import draft_of, pending_proposal
from features.policy.narrowing import Effect, effects
from features.policy.positions import Path
from features.policy.reading import Change, changes
from features.problems import BadField
from features.queries import feature_for
from features.registry import policy_parts

_VERSIONS = 100


class Row(msgspec.Struct, frozen=True):
    """A field that differs, and what that does to what the agent may do."""

    change: Change
    widens: bool
    why: str  # empty: it means the same


def rows_of(found: list[Change], judged: list[Effect]) -> list[Row]:
    """Each changed field with the effects that stand at its path or above."""
    rows = []
    for change in found:
        here = [effect for effect in judged if change.path.startswith(effect.path)]
        words = dict.fromkeys(effect.why for effect in here)
        rows.append(Row(change, any(effect.widens for effect in here), "; ".join(words)))
    return rows


class Shown(msgspec.Struct, frozen=True):
    """A version as the page shows it, against another."""

    version: PolicyVersion
    card: Card
    rows: list[Row]
    before: PolicyVersion | None
    warnings: list[str]


def shown(feature: Feature, number: int | None = None, against: int | None = None) -> Shown | None:
    """A version with its card and what differs from `against`, the one before it if left out; None: there is none, or
    none of that number.
    """
    versions = PolicyVersion.objects.filter(feature=feature).select_related("activated_by")
    version = (versions.filter(number=number) if number is not None else versions).first()
    if version is None:
        return None
    before = versions.filter(number=version.number - 1 if against is None else against).first()
    document = PolicyDocument.model_validate(version.document)
    rows = []
    if before is not None:
        judged = effects(PolicyDocument.model_validate(before.document), document)
        rows = rows_of(changes(before.document, version.document), judged)
    warnings = [f"{said_at(document, path)}: {said}" for path, said in action_warnings(document)]
    return Shown(version, card_of(document), rows, before, warnings)


def said_at(document: PolicyDocument, path: Path) -> str:
    """The path of a field of an action, by the action's name: `refund.under`."""
    at = path[1]
    name = document.action[at].name if isinstance(at, int) else str(at)
    return ".".join([name, *(str(key) for key in path[2:])])


def parts_of(request: HttpRequest, feature: Feature, place: str, **more: object) -> list[str]:
    """What other rooms show in a place of the pages of policies."""
    return [
        render_to_string(
            part.template,
            {"feature": feature, **more, **part.context(request, feature)},
            request,
        )
        for part in policy_parts()
        if part.place == place
    ]


def _number(request: HttpRequest, name: str) -> int | None:
    given = request.GET.get(name, "")
    if given and not (given.isascii() and given.isdigit() and len(given) < 9):
        raise BadField(name, f"{name} must be a policy's number.")
    return int(given) if given else None


@page
@require_safe
def policy(request: HttpRequest, slug: str) -> HttpResponse:
    """The job and blast radius; `?version=` shows an older one, `&against=` what differs from any other."""
    feature = feature_for(request.user, slug)
    number, against = _number(request, "version"), _number(request, "against")
    found = shown(feature, number, against)
    if number is not None and found is None:
        raise Http404(f"{feature} has no policy {number}.")
    if against is not None and (found is None or found.before is None):
        raise Http404(f"{feature} has no policy {against}.")
    versions = list(PolicyVersion.objects.filter(feature=feature).select_related("activated_by")[:_VERSIONS])
    draft = draft_of(feature)
    context = {
        "feature": feature,
        "shown": found,
        "versions": versions,
        "draft": draft,
        "pending": pending_proposal(feature),
        "parts": parts_of(request, feature, "head", draft=draft),
    }
    return render(request, "features/policy.html", context)


@page
@require_safe
def policy_file(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """A version's clearance.toml, as it was written."""
    feature = feature_for(request.user, slug)
    version = PolicyVersion.objects.filter(feature=feature, number=number).first() if number < 10**9 else None
    if version is None:
        raise Http404(f"{feature} has no policy {number}.")
    name = f"{feature.slug}-policy-{version.number}.clearance.toml"
    return HttpResponse(
        version.source,
        content_type="application/toml; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
        },
    )
