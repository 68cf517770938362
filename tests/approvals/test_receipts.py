"""A receipt proves, for a minute, what may run: to whoever has the public keys."""

import httpx
import jwt
import pytest

from tests.approvals.support import make_agent, refund
from tests.support import Stack


def test_a_receipt_names_exactly_what_may_run_and_is_signed(stack: Stack) -> None:
    agent = make_agent(stack)
    asked = agent.ask(refund("20.00")).json()
    run = agent.execute(asked["id"]).json()
    keys = httpx.get(f"{stack.url}/.well-known/jwks.json").json()
    header = jwt.get_unverified_header(run["receipt"])
    (key,) = [jwt.PyJWK(one) for one in keys["keys"] if one["kid"] == header["kid"]]
    claims = jwt.decode(run["receipt"], key, ["EdDSA"])
    assert header["typ"] == "receipt+jwt"
    assert (claims["jti"], claims["feature"], claims["action"]) == (run["execution"], agent.slug, "refund")
    assert claims["digest"] == run["digest"] == asked["digest"]
    assert claims["exp"] - claims["iat"] == 60
    assert "d" not in keys["keys"][0], "no private part"
    head, body, signature = run["receipt"].split(".")
    other = agent.execute(agent.ask(refund("21.00")).json()["id"]).json()["receipt"].split(".")
    for forged in (f"{head}.{other[1]}.{signature}", f"{head}.{body}.{other[2]}", f"{head}.{body}."):
        with pytest.raises(jwt.InvalidTokenError):
            jwt.decode(forged, key, ["EdDSA"])
