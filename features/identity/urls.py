"""Addresses of sign-in and of one's own account: of allauth's only those that this console has a use for.

Each runs in one transaction, so that what it changes and its record are there together or not at all.
"""

from collections.abc import Callable
from typing import Any

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from allauth.socialaccount import views as social
from django.db import transaction
from django.urls import path

from features import sign_in
from features.identity import provider

View = Callable[..., Any]


def whole(view: View) -> View:
    """The view in one transaction."""
    return transaction.atomic(view)


urlpatterns = [
    path("login/", whole(sign_in.SignIn.as_view()), name="account_login"),
    path("logout/", sign_in.sign_out, name="account_logout"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    path("reauthenticate/", whole(account.reauthenticate), name="account_reauthenticate"),
    path("password/", whole(account.password_change), name="account_change_password"),
    path("sessions/", sign_in.sessions, name="usersessions_list"),
    path("2fa/", mfa.index, name="mfa_index"),
    path("2fa/authenticate/", whole(mfa.authenticate), name="mfa_authenticate"),
    path("2fa/reauthenticate/", whole(mfa.reauthenticate), name="mfa_reauthenticate"),
    path("2fa/app/", whole(totp.activate_totp), name="mfa_activate_totp"),
    path("2fa/app/remove/", whole(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("2fa/codes/", codes.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("2fa/codes/new/", whole(codes.generate_recovery_codes), name="mfa_generate_recovery_codes"),
    path("2fa/codes/download/", codes.download_recovery_codes, name="mfa_download_recovery_codes"),
    path("2fa/passkeys/", webauthn.list_webauthn, name="mfa_list_webauthn"),
    path("2fa/passkeys/add/", whole(webauthn.add_webauthn), name="mfa_add_webauthn"),
    path("2fa/passkeys/login/", whole(webauthn.login_webauthn), name="mfa_login_webauthn"),
    path(
        "2fa/passkeys/reauthenticate/",
        whole(webauthn.reauthenticate_webauthn),
        name="mfa_reauthenticate_webauthn",
    ),
    path("2fa/passkeys/<int:pk>/remove/", whole(webauthn.remove_webauthn), name="mfa_remove_webauthn"),
    path("2fa/passkeys/<int:pk>/edit/", whole(webauthn.edit_webauthn), name="mfa_edit_webauthn"),
    path("links/", whole(social.connections), name="socialaccount_connections"),
    path("oidc/<str:provider_id>/login/", whole(provider.login), name="openid_connect_login"),
    path("oidc/<str:provider_id>/callback/", whole(provider.callback), name="openid_connect_callback"),
]
