"""Keys at the API's door: who calls, and whether the key's scopes allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from features.keys import find_key
from features.models import ApiKey
from features.problems import InsufficientScope
from features.services import note_key_used

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema
    from rest_framework.views import APIView  # it imports the settings, which import this module


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>`; request.auth is the ApiKey, request.user stays nobody: a key is no
    person.
    """

    def authenticate(self, request: Request) -> tuple[Any, ApiKey] | None:
        scheme, _, clear = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not clear.strip():
            return None
        key = find_key(clear.strip())
        if key is None:
            raise AuthenticationFailed("This key is unknown, expired or revoked.", code="invalid_key")
        note_key_used(key)
        return None, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="clearance"'


class HasScope(BasePermission):
    """The view's `scope` must be among the key's. No key: 401; without the scope: 403
    `insufficient_scope`.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.auth, ApiKey):
            return False
        scope: str = getattr(view, "scope", "read")
        if not request.auth.allows(scope):
            raise InsufficientScope(scope)
        return True


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document names it."""

    target_class = "features.authentication.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
