"""The organisation's OpenID provider, from the environment."""

import json
from typing import Any, TypedDict

from environs import Env

PROVIDER_ID = "sso"


class Oidc(TypedDict):
    """`groups` maps a group's ID at the provider to roles on features, as pairs of slug and role."""

    provider_id: str
    issuer: str
    client_id: str
    secret: str
    name: str
    groups_claim: str
    groups: dict[str, list[tuple[str, str]]]
    scopes: list[str]
    only: bool


def oidc_from_environment(env: Env) -> Oidc | None:
    """The provider's settings; None: there is none. ValueError names the variable that is wrong."""
    issuer = env.str("CLEARANCE_OIDC_ISSUER", "").rstrip("/")
    if not issuer:
        return None
    if not issuer.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise ValueError("CLEARANCE_OIDC_ISSUER must be an https:// URL")
    client_id = env.str("CLEARANCE_OIDC_CLIENT_ID", "")
    if not client_id:
        raise ValueError("CLEARANCE_OIDC_CLIENT_ID must name this console at the provider")
    return Oidc(
        provider_id=PROVIDER_ID,
        issuer=issuer,
        client_id=client_id,
        secret=env.str("CLEARANCE_OIDC_CLIENT_SECRET", ""),
        name=env.str("CLEARANCE_OIDC_NAME", "your organisation"),
        groups_claim=env.str("CLEARANCE_OIDC_GROUPS_CLAIM", "groups"),
        groups=_groups(env.str("CLEARANCE_OIDC_GROUPS", "{}")),
        scopes=env.list("CLEARANCE_OIDC_SCOPES", ["openid", "profile", "email"]),
        only=env.bool("CLEARANCE_OIDC_ONLY", False),
    )


def _groups(text: str) -> dict[str, list[tuple[str, str]]]:
    wrong = 'CLEARANCE_OIDC_GROUPS must be JSON such as {"group-id": ["billing-agent:approver"]}'
    try:
        given = json.loads(text)
        pairs = {
            group: [tuple(one.replace("on-call", "on_call").split(":")) for one in roles]
            for group, roles in given.items()
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(wrong) from error
    known = {"lead", "approver", "reviewer", "on_call", "viewer"}
    if any(len(pair) != 2 or pair[1] not in known for roles in pairs.values() for pair in roles):
        raise ValueError(wrong)
    return pairs


def allauth_apps(oidc: Oidc | None) -> list[dict[str, Any]]:
    """The provider as allauth wants it."""
    if oidc is None:
        return []
    return [
        {
            "provider_id": oidc["provider_id"],
            "name": oidc["name"],
            "client_id": oidc["client_id"],
            "secret": oidc["secret"],
            "settings": {"server_url": oidc["issuer"], "scope": oidc["scopes"]},
        }
    ]
