"""The organisation's OpenID provider: its tokens are checked in full, its people asked about again and again.

OpenID Connect Core 1.0, 3.1.3.7 (validating ID tokens) and 5.3 (UserInfo); RFC 7636 (PKCE) is on in the settings.
"""

import logging
import secrets
import time
from typing import Any

import jwt
import requests
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from features.identity.configuration import Oidc
from features.identity.groups import follow_groups, groups_in
from features.identity.sealing import cipher
from features.models import Person

log = logging.getLogger("clearance.sign_in")

# How far the provider's clock may be off, in seconds.
LEEWAY = 60
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_TOKENS, _NONCES = "clearance_provider_tokens", "clearance_provider_nonces"


class VerifiedProvider(OpenIDConnectProvider):  # type: ignore[misc]
    """allauth's provider, which ties each ID token to the browser that asked for it by a nonce."""

    def get_auth_params_from_request(self, request: HttpRequest, action: str) -> dict[str, Any]:
        nonce = secrets.token_urlsafe(24)
        # Some tabs may be on their way at once.
        request.session[_NONCES] = [*request.session.get(_NONCES, [])[-7:], nonce]
        return {**super().get_auth_params_from_request(request, action), "nonce": nonce}


class ProviderClient(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    """allauth's client, which checks every ID token's signature, issuer, audience and times, and knows a person by
    issuer and subject together.
    """

    def get_provider(self) -> VerifiedProvider:
        return VerifiedProvider(self.request, app=super().get_provider().app)

    def _decode_id_token(self, app: SocialApp, id_token: str) -> dict[str, Any]:
        return decoded(id_token, self.openid_config, app.client_id)

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any
    ) -> SocialLogin:
        if not kwargs["response"].get("id_token"):
            raise OAuth2Error("The provider sent no ID token.")
        try:
            login: SocialLogin = super().complete_login(request, app, token, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise OAuth2Error("The provider's answer is malformed.") from error
        said = login.account.extra_data
        subject = said["id_token"]["sub"]
        if said.get("userinfo", {}).get("sub", subject) != subject:
            raise OAuth2Error("The provider's user info is about somebody else.")
        nonces = request.session.get(_NONCES, [])
        if said["id_token"].get("nonce") not in nonces:
            raise OAuth2Error("The ID token answers another request.")
        request.session[_NONCES] = [one for one in nonces if one != said["id_token"]["nonce"]]
        login.account.uid = uid_of(said["id_token"]["iss"], subject)
        return login


def uid_of(issuer: str, subject: str) -> str:
    """How a person is known: issuer and subject (at most 191 characters, as the column holds)."""
    uid = f"{issuer}#{subject}"
    if len(uid) > 191:
        raise OAuth2Error("The provider's issuer and subject are too long.")
    return uid


def decoded(id_token: str, config: dict[str, Any], audience: str) -> dict[str, Any]:
    """The claims of an ID token that is signed by the provider, for us, and in its time. Raises OAuth2Error."""
    try:
        keys = jwt.PyJWKSet.from_dict(_got(config["jwks_uri"]))
        header = jwt.get_unverified_header(id_token)
        key = next((key for key in keys.keys if key.key_id == header.get("kid")), None)
        if key is None and len(keys.keys) == 1 and "kid" not in header:
            key = keys.keys[0]
        if key is None:
            raise OAuth2Error("The ID token is signed by no key of the provider.")
        claims: dict[str, Any] = jwt.decode(
            id_token,
            # Bare: a key set may leave the algorithm to the token, and PyJWT would guess. Only asymmetric ones pass.
            key.key,
            algorithms=list(_ALGORITHMS),
            audience=audience,
            issuer=config["issuer"],
            leeway=LEEWAY,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
    except jwt.PyJWTError as error:
        raise OAuth2Error(f"The ID token cannot be used: {type(error).__name__}.") from error
    if "azp" in claims and claims["azp"] != audience:
        raise OAuth2Error("The ID token was made for another client.")
    return claims


def _got(url: str, **headers: str) -> dict[str, Any]:
    with get_adapter().get_requests_session() as session:
        response = session.get(url, headers=headers)
        response.raise_for_status()
        found = response.json()
    if not isinstance(found, dict):
        raise OAuth2Error("The provider's answer is malformed.")
    return found


def keep_tokens(request: HttpRequest, access: str, refresh: str | None) -> None:
    """Keep the provider's tokens in the session, sealed: whoever reads the sessions' table must not get them."""
    sealed = cipher().encrypt(f"{access}\0{refresh or ''}".encode())
    request.session[_TOKENS] = sealed.decode()


def vouches_for(request: HttpRequest, person: Person) -> bool:
    """Ask the provider about the person again and follow the groups it names now. False when it does not know the
    session any more, or when it does not answer: what cannot be checked does not go on.
    """
    oidc, sealed = settings.OIDC, request.session.get(_TOKENS)
    if oidc is None or sealed is None:
        return True  # a local session of a linked person
    client = ProviderClient(request, oidc["provider_id"])
    try:
        access, _, refresh = cipher().decrypt(sealed.encode()).decode().partition("\0")
        said = _asked(client, oidc, request, access, refresh)
        account = SocialAccount.objects.get(
            user_id=person.pk, uid=uid_of(client.openid_config["issuer"], said["sub"])
        )
    except (
        requests.RequestException,
        OAuth2Error,
        SocialAccount.DoesNotExist,
        KeyError,
        ValueError,
    ) as error:
        log.warning("the provider does not vouch for person %s: %s", person.pk, type(error).__name__)
        return False
    with transaction.atomic():
        follow_groups(person, groups_in(said))
    SocialAccount.objects.filter(pk=account.pk).update(extra_data=said)
    return True


def _asked(
    client: ProviderClient, oidc: Oidc, request: HttpRequest, access: str, refresh: str
) -> dict[str, Any]:
    """The provider's claims now: by a refreshed token where there is one, which also brings a new ID token."""
    claims: dict[str, Any] = {}
    if refresh:
        with get_adapter().get_requests_session() as session:
            response = session.post(
                client.access_token_url,
                data={
                    "grant_type": "refresh_token",
                    "refresh_token": refresh,
                    "client_id": oidc["client_id"],
                    "client_secret": oidc["secret"],
                },
            )
            response.raise_for_status()
            answer = response.json()
        access = answer["access_token"]
        keep_tokens(request, access, answer.get("refresh_token") or refresh)
        if answer.get("id_token"):
            claims = decoded(answer["id_token"], client.openid_config, oidc["client_id"])
    return {
        **claims,
        **_got(client.profile_url, Authorization=f"Bearer {access}"),
        "checked_at": int(time.time()),
    }


def _view(request: HttpRequest, provider_id: str, kind: type) -> HttpResponse:
    if not settings.OIDC or provider_id != settings.OIDC["provider_id"]:
        raise Http404("There is no such provider.")
    try:
        answer: HttpResponse = kind.adapter_view(ProviderClient(request, provider_id))(request)  # type: ignore[attr-defined]
    except (requests.RequestException, KeyError, ValueError) as error:
        log.warning("the provider cannot be reached or read: %s", type(error).__name__)
        return render(request, "accounts/provider_refused.html", {"why": "unreachable"}, status=503)
    return answer


def login(request: HttpRequest, provider_id: str) -> HttpResponse:
    """On to the provider. What does not answer is said on a page of ours."""
    return _view(request, provider_id, OAuth2LoginView)


def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Back from the provider."""
    return _view(request, provider_id, OAuth2CallbackView)
