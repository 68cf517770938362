"""A rotated key has a successor with the same rights and still opens for a while; a dead one has none."""

from datetime import UTC, datetime, timedelta

import pytest

from features.errors import ConflictError
from features.keys import find_key
from features.models import ApiKey
from features.services import create_feature, create_key, create_person, revoke_key, rotate_key
from tests.support import Browser, Stack, unique


def test_both_keys_open_while_the_agent_changes_over(stack: Stack) -> None:
    feature = create_feature(slug=unique("rotated"), task="One sentence.")
    key, clear = create_key(feature=feature, scopes=["ingest", "read"], label="worker")
    successor, fresh = rotate_key(key=key)
    assert (successor.scopes, successor.label) == (["ingest", "read"], "worker")
    for one in (clear, fresh):
        assert find_key(one) is not None
    old = ApiKey.objects.get(pk=key.pk)
    assert old.expires_at is not None
    assert timedelta(days=6) < old.expires_at - datetime.now(UTC) <= timedelta(days=7)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert find_key(clear) is None
    assert find_key(fresh) is not None


def test_rotating_never_lengthens_a_keys_life(stack: Stack) -> None:
    feature = create_feature(slug=unique("rotated"), task="One sentence.")
    soon = datetime.now(UTC) + timedelta(hours=1)
    key, _ = create_key(feature=feature, scopes=["read"], expires_at=soon)
    rotate_key(key=key)
    assert ApiKey.objects.get(pk=key.pk).expires_at == soon


def test_a_revoked_key_is_not_rotated(stack: Stack) -> None:
    feature = create_feature(slug=unique("rotated"), task="One sentence.")
    key, _ = create_key(feature=feature, scopes=["read"])
    revoke_key(key=key)
    with pytest.raises(ConflictError, match="opens nothing"):
        rotate_key(key=key)


def test_a_lead_rotates_on_the_settings_page_and_sees_the_new_key_once(stack: Stack) -> None:
    lead, _ = create_person(name=unique("lead"))
    feature = create_feature(slug=unique("rotated"), task="One sentence.", by=lead)
    key, _ = create_key(feature=feature, scopes=["read"])
    page = f"/features/{feature.slug}/settings/"
    browser = Browser(stack, lead)
    shown = browser.post(f"{page}keys/{key.prefix}/rotate/", {})
    assert shown.status_code == 200
    successor = ApiKey.objects.exclude(pk=key.pk).get(feature=feature)
    clear = shown.text.partition('id="new-key">')[2].partition("<")[0]
    found = find_key(clear)
    assert found is not None
    assert found.pk == successor.pk
    assert clear not in browser.get(page).text
