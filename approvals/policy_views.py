"""Trying an action on a policy, and replaying the last 30 days by the next one."""

import json
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from approvals.proposal import canonical_object
from approvals.replay import replay
from approvals.trying import Tried, try_action
from features.canonical import NotCanonical, NotJson, parse_canonical
from features.forms import Form
from features.models import Feature, PolicyProposal
from features.pages import page
from features.policy import PolicyDocument, active_policy, active_version
from features.policy.drafts import draft_of, look_at
from features.problems import BadField
from features.queries import feature_for
from features.views import led_by_me

_MOST = 64 * 1024
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class JsonObject(forms.CharField):
    """A JSON object as an agent would send it, read as strictly as at the door."""

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text.strip():
            return {}
        try:
            found = parse_canonical(text.encode("utf-8", "surrogatepass"))
        except (NotJson, NotCanonical) as error:
            raise forms.ValidationError(str(error).replace("the body", "this")) from error
        if not isinstance(found, dict):
            raise forms.ValidationError('This must be an object, such as {"amount": "20.00"}.')
        return canonical_object(found)


_CODE = {"rows": "7", "spellcheck": "false", "autocapitalize": "none", "autocomplete": "off", "class": "code"}


class TryForm(Form):
    """An action as an agent would propose it."""

    action = forms.CharField(
        label="Action",
        max_length=64,
        widget=forms.TextInput({"list": "actions", "autocomplete": "off", "autocapitalize": "none"}),
    )
    args = JsonObject(
        label="Arguments",
        max_length=_MOST,
        required=False,
        help_text='As JSON, such as {"order_id": "A-1", "amount": "20.00", "currency": "USD"}.',
        widget=forms.Textarea(_CODE),
    )
    context = JsonObject(
        label="Context",
        max_length=_MOST,
        required=False,
        help_text="What the agent says besides, as JSON. It never makes an action freer.",
        widget=forms.Textarea({**_CODE, "rows": "3"}),
    )


class Outcome(msgspec.Struct, frozen=True):
    """What one policy answers."""

    title: str
    tried: Tried


def _policies(feature: Feature) -> tuple[list[tuple[str, PolicyDocument]], bool]:
    """(the policies to try with their names, whether there is a draft that cannot be asked)."""
    found = []
    if (version := active_version(feature.pk)) is not None:
        policy = active_policy(feature.pk)
        assert policy is not None
        found.append((f"Policy {version.number}, in force", policy))
    draft = draft_of(feature)
    document = look_at(feature, draft.text).document if draft else None
    if document is not None:
        found.append(("The draft", document))
    return found, draft is not None and document is None


@page
@require_http_methods(["GET", "HEAD", "POST"])
def try_page(request: HttpRequest, slug: str) -> HttpResponse:
    """What the policy in force and the draft answer to an action, and why. Nothing is kept."""
    feature = feature_for(request.user, slug)
    policies, broken = _policies(feature)
    form = TryForm(request.POST if request.method == "POST" else None)
    outcomes: list[Outcome] = []
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        outcomes = [
            Outcome(title, try_action(policy, asked["action"], asked["args"], asked["context"]))
            for title, policy in policies
        ]
    context = {
        "feature": feature,
        "form": form,
        "outcomes": outcomes,
        "policies": policies,
        "broken": broken,
        "actions": list(dict.fromkeys(one.name for _, policy in policies for one in policy.action)),
        "example": _example(form, outcomes),
    }
    return render(request, "approvals/policy_try.html", context, status=400 if form.errors else 200)


def _example(form: TryForm, outcomes: list[Outcome]) -> str:
    """The table that keeps what was tried as an example in the file."""
    if not outcomes:
        return ""
    lines = ["[[action.example]]"]
    for name in ("args", "context"):
        if form.cleaned_data[name]:
            try:
                lines.append(f"{name} = {_toml(form.cleaned_data[name])}")
            except TypeError:  # null, which TOML does not have
                return ""
    return "\n".join([*lines, f'expect = "{outcomes[-1].tried.answer}"'])


def _toml(value: Any) -> str:
    """A JSON value in TOML, on one line. Raises TypeError for null."""
    if isinstance(value, dict):
        pairs = (
            f"{key if _BARE.fullmatch(key) else _toml(key)} = {_toml(inner)}" for key, inner in value.items()
        )
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    if value is None:
        raise TypeError("TOML has no null")
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@page
@require_safe
def replay_page(request: HttpRequest, slug: str) -> HttpResponse:
    """The last 30 days judged by the draft, or by `?proposal=` (leads: it opens sealed arguments, and shows none)."""
    feature = led_by_me(request, slug)
    proposal = _proposal(request, feature)
    draft = draft_of(feature)
    text = proposal.source if proposal else draft.text if draft else None
    document = look_at(feature, text).document if text is not None else None
    context = {
        "feature": feature,
        "proposal": proposal,
        "draft": draft,
        "document": document,
        "replay": replay(feature, document, datetime.now(UTC)) if document else None,
    }
    return render(request, "approvals/policy_replay.html", context)


def _proposal(request: HttpRequest, feature: Feature) -> PolicyProposal | None:
    given = request.GET.get("proposal", "")
    if not given:
        return None
    try:
        found = PolicyProposal.objects.filter(feature=feature, pk=UUID(given)).first()
    except ValueError as error:
        raise BadField("proposal", "proposal must be a proposal's ID.") from error
    if found is None:
        raise Http404("This feature has no such proposal.")
    return found
