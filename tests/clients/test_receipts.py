"""A gateway acts on a receipt exactly, in time and once."""

import base64
import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from clearance import (
    FileSeen,
    JwksUrl,
    MemorySeen,
    Receipt,
    ReceiptInvalid,
    ReceiptReplayed,
    Seen,
    Unavailable,
    digest_of,
    verify_receipt,
)
from tests.clients.hostile import ARGS, Asked, Say, hostile

OURS = Ed25519PrivateKey.generate()
THEIRS = Ed25519PrivateKey.generate()


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def jwks(kid: str = "k1", key: Ed25519PrivateKey = OURS) -> dict[str, Any]:
    return {
        "keys": [{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(key.public_key().public_bytes_raw())}]
    }


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    found = {
        "iss": "https://clearance.example",
        "jti": "e-1",
        "feature": "billing-agent",
        "action": "refund",
        "digest": digest_of("refund", ARGS),
        "iat": now,
        "exp": now + 60,
        "record": {"number": 7, "hash": "ab"},
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


def token(body: dict[str, Any] | None = None, key: Ed25519PrivateKey = OURS, **head: Any) -> str:
    header = {"alg": "EdDSA", "typ": "receipt+jwt", "kid": "k1", **head}
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(body or claims()).encode())}"
    return f"{signed}.{b64(key.sign(signed.encode()))}"


def verify(given: str, seen: Seen | None = None, **changes: Any) -> Receipt:
    wanted: dict[str, Any] = {"feature": "billing-agent", "action": "refund", "args": ARGS, **changes}
    keys = wanted.pop("jwks", None) or jwks()
    return verify_receipt(given, keys, seen=seen or MemorySeen(), **wanted)


def test_a_right_receipt_holds_once() -> None:
    seen, given = MemorySeen(), token()
    found = verify(given, seen, issuer="https://clearance.example")
    assert (found.execution, found.claims["record"]) == ("e-1", {"number": 7, "hash": "ab"})
    with pytest.raises(ReceiptReplayed):
        verify(given, seen)
    with pytest.raises(ReceiptReplayed):  # the same execution in another token
        verify(token(claims(iat=int(time.time()) - 1)), seen)


@pytest.mark.parametrize(
    "make",
    [
        lambda: token(key=THEIRS),
        lambda: token(alg="none"),
        lambda: token(alg="HS256"),
        lambda: token(typ="JWT"),
        lambda: token(kid="k2"),
        lambda: token(kid=None),
        lambda: token(crit=["exp"]),
        lambda: token(claims(exp=int(time.time()) - 6)),
        lambda: token(claims(iat=int(time.time()) + 30, exp=int(time.time()) + 90)),
        lambda: token(claims(exp=int(time.time()) + 10_000)),
        lambda: token(claims(exp=str(int(time.time()) + 60))),
        lambda: token(claims(exp=True)),
        lambda: token(claims(exp=None)),
        lambda: token(claims(jti="")),
        lambda: token(claims(jti=None)),
        lambda: token(claims(feature="other")),
        lambda: token(claims(action="lookup_order")),
        lambda: token(claims(digest=digest_of("refund", {**ARGS, "amount": "120.00"}))),
        lambda: token(claims(digest=digest_of("refund", ARGS).upper())),
        lambda: token() + ".more",
        lambda: token().rsplit(".", 1)[0] + ".",
        lambda: token().replace(".", "=.", 1),
        lambda: token()[:-2] + "ÄÄ",
        lambda: "",
        lambda: "a.b.c",
        lambda: token(claims(jti="x" * 9_000)),
    ],
)
def test_any_other_receipt_is_refused_and_uses_nothing_up(make: Callable[[], str]) -> None:
    seen = MemorySeen()
    with pytest.raises(ReceiptInvalid) as raised:
        verify(make(), seen)
    assert not isinstance(raised.value, ReceiptReplayed)
    verify(token(), seen)


def test_a_receipt_is_for_these_arguments_however_they_are_spelled() -> None:
    body = claims(digest=digest_of("pay", {"b": 1, "a": [1.0]}), action="pay")
    assert verify(token(body), action="pay", args={"a": [1], "b": 1e0}).action == "pay"
    for other in ({"a": [1], "b": "1"}, {"a": [1], "b": 1, "c": None}, {"a": [1]}):
        with pytest.raises(ReceiptInvalid):
            verify(token(body), action="pay", args=other)


def test_a_changed_byte_anywhere_is_found() -> None:
    given = token()
    for at in range(0, len(given), 7):
        changed = given[:at] + ("A" if given[at] != "A" else "B") + given[at + 1 :]
        with pytest.raises(ReceiptInvalid):
            verify(changed)


def test_another_issuer_is_refused_where_one_is_named() -> None:
    with pytest.raises(ReceiptInvalid):
        verify(token(), issuer="https://other.example")


def test_keys_are_fetched_once_and_anew_for_an_unknown_one() -> None:
    def answering(asked: Asked) -> Say:
        return Say(body=jwks())

    with hostile(answering) as server:
        keys = JwksUrl(f"{server.url}/.well-known/jwks.json")
        for n in range(3):
            verify(token(claims(jti=f"e-{n}")), jwks=keys)
        with pytest.raises(ReceiptInvalid):
            verify(token(kid="k9"), jwks=keys)
        assert len(server.asked) == 1  # a stranger's key ID does not make it fetch more than once a minute


def test_keys_that_cannot_be_had_permit_nothing() -> None:
    with hostile(lambda asked: Say(500, b"")) as server, pytest.raises(Unavailable):
        verify(token(), jwks=server.url)
    with pytest.raises(ValueError, match="https"):
        JwksUrl("http://clearance.example/.well-known/jwks.json")


def _take(path: str, names: list[str]) -> list[str]:
    seen = FileSeen(path)
    return [name for name in names if seen.add(name, time.time() + 60)]


def test_of_racing_processes_one_may_act_on_a_receipt(tmp_path: Path) -> None:
    names = [f"e-{n}" for n in range(200)]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        took = pool.starmap(_take, [(str(tmp_path / "seen.db"), names)] * 4)
    assert sorted(name for names_of_one in took for name in names_of_one) == sorted(names)


def test_what_was_seen_is_remembered_by_the_next_process_and_forgotten_long_after(tmp_path: Path) -> None:
    path = tmp_path / "seen.db"
    assert FileSeen(path).add("e-1", time.time() + 60)
    assert not FileSeen(path).add("e-1", time.time() + 60)
    assert FileSeen(path).add("old", time.time() - 7200)
    assert FileSeen(path).add("e-2", time.time() + 60)
    assert FileSeen(path).add("old", time.time() + 60)
