"""What allauth asks of us: who may come in, what is recorded, which proof counts."""

import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from audit.services import Actor, append
from features.acting import actor_of
from features.identity.sealing import cipher
from features.identity.sessions import begin, session_mark
from features.identity.step_up import has_second_factor
from features.models import Person
from features.services import create_person, login_from

log = logging.getLogger("clearance.sign_in")

# How the person who signs in now proved it; the rest of an older session is not theirs to have.
_PROOFS = (AUTHENTICATION_METHODS_SESSION_KEY, f"{AUTHENTICATION_METHODS_SESSION_KEY}_user")


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts are made by operators and by the organisation's provider, never by whoever asks."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": "This login and password do not belong together.",
        "too_many_login_attempts": "Too many failed attempts: this login is locked for a few minutes.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """Behind a proxy the one that it names; an address that the server does not know counts as one."""
        if settings.BEHIND_PROXY:
            return str(super().get_client_ip(request))
        return str(request.META.get("REMOTE_ADDR") or "0.0.0.0")  # noqa: S104 - no address is bound

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Record a failed sign-in; the login that was typed is not kept: it may be a password in the wrong field."""
        known = Person.objects.filter(name=str(credentials.get("username", "")).lower()).first()
        with transaction.atomic():
            append(
                Actor("system", "sign-in"),
                "sign_in.failed",
                subject=("person", str(known.pk)) if known else ("", ""),
                known=known is not None,
            )

    def login(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        """A new session for the person, also for whoever signs in again: a session ID that was known before is worth
        nothing after. No record, no session.
        """
        assert isinstance(user, Person)
        with transaction.atomic():
            if SESSION_KEY in request.session:
                proofs = {name: request.session[name] for name in _PROOFS if name in request.session}
                request.session.flush()
                request.session.update(proofs)
            super().login(request, user)
            begin(request)
            append(
                actor_of(user, session_mark(request)), "sign_in.succeeded", subject=("person", str(user.pk))
            )

    def get_reauthentication_methods(self, user: AbstractBaseUser | AnonymousUser) -> list[dict[str, Any]]:
        """The second factor where there is one; a password alone proves too little then."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        if isinstance(user, Person) and has_second_factor(user):
            return [method for method in methods if method["id"] != "reauthenticate"]
        return methods

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Pages say by themselves what was done; allauth's messages would say it twice."""


class MfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Names that people see in their authenticator apps."""

    def encrypt(self, text: str) -> str:
        """Secrets of second factors are sealed: whoever reads the table cannot make codes."""
        return cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return cipher().decrypt(encrypted_text.encode()).decode()

    def get_totp_label(self, user: AbstractBaseUser) -> str:
        return user.get_username()

    def get_totp_issuer(self) -> str:
        return f"Clearance {settings.CLEARANCE_ENVIRONMENT}".strip()


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """People who come by the organisation's provider: one person is one identity, known by issuer and subject."""

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Refuse whoever would become a second identity of somebody who is here, and the inactive."""
        if sociallogin.is_existing or sociallogin.state.get("process") == "connect":
            return
        name, email = login_from(_said(sociallogin)), _email(sociallogin)
        taken = Person.objects.filter(name=name).exists()
        if taken or (email and Person.objects.filter(email__iexact=email).exists()):
            raise ImmediateHttpResponse(_refused(request, "taken", 409))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True

    def is_auto_signup_allowed(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: object = None) -> Person:
        """The first sign-in of somebody new: an account without a password."""
        said = _said(sociallogin)
        with transaction.atomic():
            person, _ = create_person(
                name=login_from(said),
                display_name=str(said.get("name") or "")[:120],
                email=_email(sociallogin),
                by_provider=True,
            )
            sociallogin.user = person
            sociallogin.email_addresses = []
            sociallogin.save(request)
        return person

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> Person:
        assert isinstance(sociallogin.user, Person)
        return sociallogin.user

    def on_authentication_error(self, request: HttpRequest, provider: object, **kwargs: Any) -> None:
        """What the provider sent cannot be used, or it did not answer: said in one page, and recorded."""
        with transaction.atomic():
            append(Actor("system", "sign-in"), "sign_in.failed", known=False)
        exception = kwargs.get("exception")
        log.warning("a sign-in by the provider failed: %s %s", type(exception).__name__, str(exception)[:200])
        cancelled = str(kwargs.get("error")) == "cancelled"
        raise ImmediateHttpResponse(_refused(request, "cancelled" if cancelled else "unusable", 400))


def _said(sociallogin: SocialLogin) -> dict[str, Any]:
    data = sociallogin.account.extra_data
    return {**(data.get("id_token") or {}), **(data.get("userinfo") or {})}


def _email(sociallogin: SocialLogin) -> str:
    return str(_said(sociallogin).get("email") or "")[:254]


def _refused(request: HttpRequest, why: str, status: int) -> HttpResponse:
    return render(request, "accounts/provider_refused.html", {"why": why}, status=status)
