"""The vault: what tokens stand for, sealed, where a feature's policy says `tokenise`. Showing it is a
permission with a reason, and is recorded; erasing it is for ever.

Sealed with Fernet (AES-128-CBC and HMAC-SHA256, https://github.com/fernet/spec) under keys of its own, never
in the database; the first key seals, all of them open. What is sealed names its feature and token, so that no
row can be passed for another.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import rfc8785
from cryptography.fernet import InvalidToken, MultiFernet
from django.db import connection, transaction

from audit.services import Actor, append
from features.acting import actor_of
from features.errors import ClearanceError
from features.identity.sealing import cipher as _cipher
from features.models import Feature, Person
from features.outbox import notify
from features.queries import holders
from traces.models import Reveal, VaultEntry
from traces.redact import TOKEN_PATTERN, is_token

SHORTEST_REASON = 10
_BATCH = 500


def _seal(cipher: MultiFernet, feature_id: UUID, token: str, original: str) -> bytes:
    return cipher.encrypt(f"{feature_id}\0{token}\0{original}".encode())


def _unseal(cipher: MultiFernet, entry: VaultEntry) -> str | None:
    """None for what no key of ours opens, or what was sealed as another row."""
    try:
        opened = cipher.decrypt(bytes(entry.sealed or b"")).decode()
    except InvalidToken:
        return None
    head = f"{entry.feature_id}\0{entry.token}\0"
    return opened.removeprefix(head) if opened.startswith(head) else None


def keep_originals(feature_id: UUID, originals: Mapping[str, str]) -> None:
    """Seal what each token stands for; what is known stays, what was erased stays erased."""
    cipher = _cipher()
    today = datetime.now(UTC).date()
    tokens = sorted(
        originals
    )  # in one order: two bodies with the same people do not wait for each other crosswise
    known = set(
        VaultEntry.objects.filter(feature_id=feature_id, token__in=tokens, seen_on=today).values_list(
            "token", flat=True
        )
    )
    rows = [
        (
            feature_id,
            token,
            token[1:].partition(":")[0],
            _seal(cipher, feature_id, token, originals[token]),
            today,
        )
        for token in tokens
        if token not in known
    ]
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO vault_entry (feature_id, token, kind, sealed, seen_on) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (feature_id, token) DO UPDATE SET seen_on = excluded.seen_on "
            "WHERE vault_entry.seen_on < excluded.seen_on",
            rows,
        )


def kept_tokens(feature: Feature, tokens: Sequence[str]) -> list[str]:
    """Those of the tokens whose original can be shown."""
    rows = VaultEntry.objects.filter(feature=feature, token__in=tokens, sealed__isnull=False)
    return sorted(rows.values_list("token", flat=True))


def tokens_in(texts: Sequence[str]) -> list[str]:
    """The tokens that stand in the texts, each once."""
    return sorted({found[0] for text in texts for found in TOKEN_PATTERN.finditer(text)})


@transaction.atomic
def reveal(
    *, feature: Feature, trace_id: bytes, tokens: Sequence[str], reason: str, by: Person, session: str = ""
) -> dict[str, str]:
    """What the tokens stand for, recorded with who, when, which trace and a commitment to the reason.

    The caller has checked that `by` may do it and that the tokens stand in the trace. Raises ClearanceError
    without a reason or without a token that can be shown.
    """
    reason = " ".join(reason.split())
    if len(reason) < SHORTEST_REASON:
        raise ClearanceError(
            "reason", "Say why you need it.", f"{SHORTEST_REASON} letters at least, 500 at most.", "reason"
        )
    cipher = _cipher()
    entries = VaultEntry.objects.filter(feature=feature, token__in=tokens, sealed__isnull=False)
    found = {entry.token: original for entry in entries if (original := _unseal(cipher, entry)) is not None}
    if not found:
        raise ClearanceError("nothing", "None of these can be shown.", "Choose what is still kept.", "tokens")
    salt = secrets.token_bytes(16)
    row = Reveal.objects.create(
        feature=feature, trace_id=trace_id, person=by, tokens=sorted(found), reason=reason[:500], salt=salt
    )
    told = [person for person in holders(feature)["lead"] if person.pk != by.pk]
    notify("pii.revealed", told, once=str(row.pk), feature=feature, who=str(by))
    append(
        actor_of(by, session),
        "pii.revealed",
        feature=str(feature.pk),
        subject=("trace", trace_id.hex()),
        reveal=str(row.pk),
        kinds=_by_kind(found),
        reason=commitment(salt, {"reason": row.reason, "tokens": row.tokens}),
    )
    return dict(sorted(found.items()))


def commitment(salt: bytes, value: Any) -> str:
    """SHA-256(salt || canonical JSON), hexadecimal: proves a value to whoever holds the salt, tells nothing
    without.
    """
    return hashlib.sha256(salt + rfc8785.dumps(value)).hexdigest()


def _by_kind(tokens: Mapping[str, str] | Sequence[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for token in tokens:
        kind = token[1:].partition(":")[0]
        counted[kind] = counted.get(kind, 0) + 1
    return counted


@transaction.atomic
def erase(*, feature: Feature, tokens: Sequence[str], by: Person | None) -> int:
    """Erase what the tokens stand for, and never keep it again; returns how many had something to erase.

    Tokens are pseudonyms: in traces they stay. Raises ClearanceError for what is no token.
    """
    wanted = sorted({token.strip() for token in tokens if token.strip()})
    for token in wanted:
        if not is_token(token):
            raise ClearanceError(
                "token",
                f"{token[:60]} is no token.",
                "One looks like [email:7f3a1c9e2b4d6f8090ab].",
                "tokens",
            )
    if not wanted:
        raise ClearanceError("token", "Name at least one token.", field="tokens")
    had = VaultEntry.objects.filter(feature=feature, token__in=wanted, sealed__isnull=False).count()
    today = datetime.now(UTC).date()
    VaultEntry.objects.bulk_create(
        [
            VaultEntry(feature=feature, token=token, kind=token[1:].partition(":")[0], seen_on=today)
            for token in wanted
        ],
        ignore_conflicts=True,
    )
    VaultEntry.objects.filter(feature=feature, token__in=wanted).update(
        sealed=None, erased_at=datetime.now(UTC)
    )
    append(
        actor_of(by),
        "pii.erased",
        feature=str(feature.pk),
        subject=("feature", str(feature.pk)),
        kinds=_by_kind(wanted),
        erased=had,
    )
    return had


def reseal(by: Actor) -> int:
    """Seal everything anew with the first key, so that the others can be thrown away; returns how many. Safe
    to run again, and while bodies come in.
    """
    cipher, done, after = _cipher(), 0, 0
    while True:
        with transaction.atomic():
            entries = list(
                VaultEntry.objects.select_for_update()
                .filter(pk__gt=after, sealed__isnull=False)
                .order_by("pk")[:_BATCH]
            )
            if not entries:
                append(by, "vault.resealed", entries=done)
                return done
            for entry in entries:
                try:
                    entry.sealed = cipher.rotate(bytes(entry.sealed or b""))
                except InvalidToken as error:
                    raise ClearanceError(
                        "vault_key",
                        f"No key opens entry {entry.pk}.",
                        "Keep the older key until all are resealed.",
                    ) from error
            VaultEntry.objects.bulk_update(entries, ["sealed"])
        done += len(entries)
        after = entries[-1].pk


def forget_originals(feature_id: UUID, before: date, kept: Sequence[str] = ()) -> int:
    """Delete what was last seen before a day, but for the tokens `kept`; returns how many. What was erased by hand
    is remembered as erased.
    """
    due = VaultEntry.objects.filter(feature_id=feature_id, seen_on__lt=before, sealed__isnull=False)
    gone, _ = due.exclude(token__in=kept).delete()
    Reveal.objects.filter(feature_id=feature_id, at__lt=datetime.now(UTC) - timedelta(days=400)).delete()
    return gone
