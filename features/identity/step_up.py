"""Step-up: a dangerous act needs a fresh proof of who is at the keyboard."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import urlsplit

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ReauthenticationRequired
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from features.models import Person

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def has_second_factor(person: AbstractBaseUser) -> bool:
    """Whether the person set up an authenticator app or a passkey."""
    return bool(is_mfa_enabled(person, types=[Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]))


def is_fresh(request: HttpRequest) -> bool:
    """Whether the person proved who they are a short while ago: with the second factor where one is set up, else by
    password or at their provider.
    """
    if not isinstance(request.user, Person):
        return False
    enough = {"mfa"} if has_second_factor(request.user) else {"mfa", "password", "socialaccount"}
    since = time.time() - settings.STEP_UP_SECONDS
    records = get_authentication_records(request, request.user)
    return any(record["method"] in enough and record["at"] >= since for record in records)


def _at_provider(request: HttpRequest) -> HttpResponse:
    """Who has neither password nor second factor here proves it where they sign in; the form is sent once more."""
    came_from = request.headers.get("Referer", "")
    local = url_has_allowed_host_and_scheme(
        came_from, {request.get_host()}, require_https=request.is_secure()
    )
    context = {"provider": settings.OIDC, "back": urlsplit(came_from).path if local and came_from else "/"}
    return render(request, "accounts/confirm_at_provider.html", context, status=403)


def step_up(view: View[P]) -> View[P]:
    """For what only a fresh proof may do: a POST without one is kept, asks for it, and then goes on by itself."""

    @wraps(view)
    def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.method == "POST" and not is_fresh(request):
            if settings.OIDC and not get_adapter(request).get_reauthentication_methods(request.user):
                return _at_provider(request)
            raise ReauthenticationRequired
        return view(request, *args, **kwargs)

    return answer
