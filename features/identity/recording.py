"""What allauth does is recorded: its signals become records, in the transaction of its view."""

from typing import Any
from uuid import uuid4

from allauth.account.signals import password_changed, user_logged_in
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.signals import social_account_added, social_account_removed
from django.db import transaction
from django.http import HttpRequest

from audit.services import append
from features.acting import actor_of
from features.identity.groups import follow_groups, groups_in
from features.identity.provider import keep_tokens
from features.identity.sessions import session_mark
from features.models import Person
from features.outbox import notify


def connect() -> None:
    """Listen; called once, when the applications are ready."""
    user_logged_in.connect(_logged_in)
    password_changed.connect(_password_changed)
    authenticator_added.connect(_factor("second_factor.added"), weak=False)
    authenticator_reset.connect(_factor("second_factor.added"), weak=False)
    authenticator_removed.connect(_factor("second_factor.removed"), weak=False)
    social_account_added.connect(_linked)
    social_account_removed.connect(_unlinked)


@transaction.atomic
def _about(request: HttpRequest, person: Person, action: str, **payload: Any) -> None:
    append(actor_of(person, session_mark(request)), action, subject=("person", str(person.pk)), **payload)


def _logged_in(request: HttpRequest, user: Person, sociallogin: SocialLogin | None = None, **_: Any) -> None:
    """Who came by the provider holds what its groups say from here on."""
    if sociallogin is None:
        return
    keep_tokens(request, sociallogin.token.token, sociallogin.token.token_secret)
    follow_groups(user, groups_in(sociallogin.account.extra_data))


def _password_changed(request: HttpRequest, user: Person, **_: Any) -> None:
    _about(request, user, "password.changed")


def _factor(action: str) -> Any:
    @transaction.atomic
    def receive(request: HttpRequest, user: Person, authenticator: Authenticator, **_: Any) -> None:
        kind = str(authenticator.type)
        done = action.partition(".")[2]
        which = {"totp": "authenticator app", "webauthn": "passkey"}.get(kind, "recovery codes")
        notify("second_factor.changed", [user], once=str(uuid4()), done=done, which=which)
        _about(request, user, action, kind=kind)

    return receive


def _linked(request: HttpRequest, sociallogin: SocialLogin, **_: Any) -> None:
    assert isinstance(sociallogin.user, Person)
    _about(request, sociallogin.user, "identity.linked", account=sociallogin.account.pk)


def _unlinked(request: HttpRequest, socialaccount: SocialAccount, **_: Any) -> None:
    assert isinstance(socialaccount.user, Person)
    _about(request, socialaccount.user, "identity.unlinked", account=socialaccount.pk or 0)
