"""Keys that open nothing: one clear answer at both doors, and nothing lost of what was there."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from features.keys import digest_of
from features.models import ApiKey
from features.services import create_feature, create_key, revoke_key, rotate_key
from tests.support import Stack, unique
from tests.traces.test_api import body


def answers(stack: Stack, key: str) -> dict[str, httpx.Response]:
    """What the API and the OTLP door say to a key."""
    headers = {b"Authorization": b"Bearer " + key.encode("latin-1", "replace")}
    ingest = httpx.post(
        f"{stack.url}/v1/traces",
        content=body({}),
        headers={**headers, b"Content-Type": b"application/json"},
        timeout=30,
    )
    return {"api": httpx.get(f"{stack.url}/api/v1/traces", headers=headers, timeout=30), "otlp": ingest}


def made(**fields: Any) -> tuple[ApiKey, str]:
    feature = create_feature(slug=unique("agent"))
    return create_key(feature=feature, scopes=["ingest", "read"], **fields)


def expired() -> str:
    return made(expires_at=datetime.now(UTC) - timedelta(seconds=1))[1]


def revoked() -> str:
    key, clear = made()
    revoke_key(key=key)
    return clear


def deleted() -> str:
    key, clear = made()
    key.delete()
    return clear


def half_deleted_digest() -> str:
    """The row is there, what recognises the key is gone."""
    key, clear = made()
    ApiKey.objects.filter(pk=key.pk).update(digest=b"")
    return clear


def half_copied() -> str:
    return made()[1][:-4]


def prefix_alone() -> str:
    return made()[0].prefix


def another_keys_secret() -> str:
    """The prefix of one key with the secret of another."""
    (_, first), (_, second) = made(), made()
    return first[:12] + second[12:]


def digest_as_key() -> str:
    """Whoever read the table has no key."""
    return digest_of(made()[1]).hex()


def rotated_out() -> str:
    """The old key after the overlap."""
    key, clear = made()
    rotate_key(key=key)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    return clear


def nonsense() -> str:
    return "clr_\u00e9" + "x" * 500


BAD = (
    expired,
    revoked,
    deleted,
    half_deleted_digest,
    half_copied,
    prefix_alone,
    another_keys_secret,
    digest_as_key,
    rotated_out,
    nonsense,
)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_a_key_that_opens_nothing_is_401_at_both_doors_and_says_so(stack: Stack, bad: Any) -> None:
    found = answers(stack, bad())
    assert {door: answer.status_code for door, answer in found.items()} == {"api": 401, "otlp": 401}
    assert found["api"].json()["code"] == "invalid_key"
    assert found["api"].headers["Content-Type"] == "application/problem+json"
    assert "expired or revoked" in found["api"].json()["detail"]
    assert found["otlp"].headers["WWW-Authenticate"].startswith("Bearer")
    assert "No usable key" in found["otlp"].json()["message"]


def test_a_key_sees_and_touches_its_own_feature_only(stack: Stack) -> None:
    (mine, clear), (other, _) = made(), made()
    headers = {"Authorization": f"Bearer {clear}"}
    for slug, expected in ((mine.feature.slug, 200), (other.feature.slug, 404), ("no-such-feature", 404)):
        answer = httpx.get(f"{stack.url}/api/v1/features/{slug}/metrics", headers=headers, timeout=30)
        assert answer.status_code == expected
    hidden = httpx.get(f"{stack.url}/api/v1/traces", params={"feature": other.feature.slug}, headers=headers)
    absent = httpx.get(f"{stack.url}/api/v1/traces", params={"feature": "no-such-feature"}, headers=headers)
    assert (hidden.status_code, hidden.json()) == (absent.status_code, absent.json())
    assert hidden.status_code == 404
