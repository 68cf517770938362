"""The outbox: notices to people, written in the transaction that causes them and delivered by the worker.

A notice stands on the person's page from its commit on, and goes out by e-mail where an address and a server are
known. A mail is sent at least once: one that was sent just before its worker was killed goes out again, under the same
Message-ID. Later rooms add kinds by `register_kind`.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import DatabaseError, connection, transaction
from django.urls import reverse

from features.models import Delivery, Feature, Notice, Person

log = logging.getLogger("clearance.outbox")

_MOST_ATTEMPTS = 12
_FIRST_WAIT = timedelta(seconds=2)
_LONGEST_WAIT = timedelta(hours=1)
Facts = dict[str, Any]


class Kind(msgspec.Struct, frozen=True):
    """What a kind of notice says: a title, a sentence, and the path where something can be done about it."""

    title: Callable[[Feature | None, Facts], str]
    text: Callable[[Feature | None, Facts], str]
    path: Callable[[Feature | None, Facts], str]


def _at(name: str) -> Callable[[Feature | None, Facts], str]:
    return lambda feature, facts: reverse(name, args=[feature.slug] if feature else [])


_kinds: dict[str, Kind] = {
    "role.given": Kind(
        lambda feature, facts: f"You are {facts['role']} of {feature}",
        lambda feature, facts: "The page of the feature shows what that lets you do.",
        _at("people"),
    ),
    "role.taken": Kind(
        lambda feature, facts: f"You are no longer {facts['role']} of {feature}",
        lambda feature, facts: "If this is a mistake, ask a lead of the feature.",
        lambda feature, facts: reverse("features"),
    ),
    "policy.activated": Kind(
        lambda feature, facts: f"Policy {facts['number']} of {feature} is in force",
        lambda feature, facts: f"{facts['changes']} fields changed: the page of the policy shows each.",
        _at("policy"),
    ),
    "policy.proposed": Kind(
        lambda feature, facts: f"{facts['who']} proposes a policy for {feature}",
        lambda feature, facts: (
            f"{facts['widens']} changes widen what it may do: another lead accepts or declines it."
        ),
        lambda feature, facts: reverse(
            "policy_proposal", args=[feature.slug, facts["proposal"]] if feature else []
        ),
    ),
    "policy.declined": Kind(
        lambda feature, facts: f"{facts['who']} declined a policy for {feature}",
        lambda feature, facts: "The page of the proposal says why; the draft is as it was.",
        lambda feature, facts: reverse(
            "policy_proposal", args=[feature.slug, facts["proposal"]] if feature else []
        ),
    ),
    "key.ending": Kind(
        lambda feature, facts: f"The key {facts['prefix']} of {feature} ends on {facts['on']}",
        lambda feature, facts: "Rotate it, so that the agent does not stand before a closed door.",
        _at("settings"),
    ),
    "pii.revealed": Kind(
        lambda feature, facts: f"Personal data of {feature} was shown to {facts['who']}",
        lambda feature, facts: "The record says when and of which trace; the reason is kept with it.",
        lambda feature, facts: reverse("audit"),
    ),
    "sign_in.locked": Kind(
        lambda feature, facts: "Your login was locked for a few minutes",
        lambda feature, facts: "Somebody typed five wrong passwords. If it was not you, change yours.",
        lambda feature, facts: reverse("account_change_password"),
    ),
    "second_factor.changed": Kind(
        lambda feature, facts: f"A second factor was {facts['done']}: {facts['which']}",
        lambda feature, facts: "If it was not you, sign out everywhere and tell an administrator.",
        lambda feature, facts: reverse("mfa_index"),
    ),
}


def register_kind(key: str, kind: Kind) -> None:
    """Add a kind of notice; called once, when the application is ready."""
    _kinds[key] = kind


class Said(msgspec.Struct, frozen=True):
    """A notice in words."""

    title: str
    text: str
    path: str


def said(notice: Notice) -> Said:
    """What the notice says; a kind that is not known any more says its name."""
    kind = _kinds.get(notice.kind)
    if kind is None:
        return Said(notice.kind, "", reverse("features"))
    about = (notice.feature, notice.facts)
    return Said(kind.title(*about), kind.text(*about), kind.path(*about))


def notify(
    kind: str,
    people: Iterable[Person],
    *,
    once: str,
    feature: Feature | None = None,
    wake: bool = True,
    **facts: Any,
) -> None:
    """Write a notice to people, in the transaction of what causes it. `once` names the occasion: the same occasion
    again writes nothing. Without `wake` the worker's next sweep delivers.

    Raises KeyError for an unknown kind, RuntimeError outside of a transaction.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("a notice is written in the transaction of what causes it")
    _kinds[kind]
    told = [person for person in {person.pk: person for person in people}.values() if person.is_active]
    if not told:
        return
    notice, new = Notice.objects.get_or_create(
        once=f"{kind} {once}"[:200], defaults={"kind": kind, "feature": feature, "facts": facts}
    )
    if not new:
        return
    now = datetime.now(UTC)
    for person in told:
        Delivery.objects.create(
            notice=notice, person=person, channel="console", state="delivered", delivered_at=now
        )
        missing = _why_no_mail(person)
        Delivery.objects.create(
            notice=notice,
            person=person,
            channel="email",
            state="failed" if missing else "pending",
            error=missing,
        )
    if wake:
        transaction.on_commit(_wake)


def _why_no_mail(person: Person) -> str:
    if not settings.EMAIL_IS_SET_UP:
        return "no mail server is set up"
    return "" if person.email else "no address is known"


def _wake() -> None:
    from features.tasks import deliver

    try:
        deliver.delay()
    except Exception:  # noqa: BLE001 - any broker's; the sweep finds what no message announced
        log.warning("the worker could not be woken; the sweep delivers")


def deliver_due(limit: int = 50) -> int:
    """Send what is due, each in a transaction of its own; returns how many were tried. A mail that cannot be sent is
    tried again, later and later, twelve times.
    """
    tried = 0
    while tried < limit and _deliver_one():
        tried += 1
    return tried


@transaction.atomic
def _deliver_one() -> bool:
    due = Delivery.objects.filter(state="pending", due_at__lte=datetime.now(UTC)).order_by("due_at")
    delivery = due.select_for_update(skip_locked=True, of=("self",)).first()
    if delivery is None:
        return False
    try:
        _mail(delivery).send()
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the mail server or the network does
        _put_off(delivery, type(error).__name__)
    else:
        delivery.state, delivery.delivered_at, delivery.error = "delivered", datetime.now(UTC), ""
        delivery.attempts += 1
        delivery.save()
    return True


def _put_off(delivery: Delivery, error: str) -> None:
    delivery.attempts += 1
    delivery.error = error[:200]
    delivery.state = "failed" if delivery.attempts >= _MOST_ATTEMPTS else "pending"
    delivery.due_at = datetime.now(UTC) + min(_FIRST_WAIT * 2 ** (delivery.attempts - 1), _LONGEST_WAIT)
    delivery.save()
    log.warning("notice %s was not delivered (%s), attempt %s", delivery.notice_id, error, delivery.attempts)


def _mail(delivery: Delivery) -> EmailMessage:
    words = said(delivery.notice)
    return EmailMessage(
        subject=words.title.replace("\r", " ").replace("\n", " "),
        body=f"{words.title}.\n\n{words.text}\n\n{settings.CLEARANCE_URL}{words.path}\n",
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[delivery.person.email],
        headers={"Message-ID": f"<{delivery.pk}@{settings.PUBLIC_HOST}>", "Auto-Submitted": "auto-generated"},
    )


def notices_of(person: Person, limit: int = 100) -> list[Delivery]:
    """A person's notices as the console shows them, the newest first."""
    rows = Delivery.objects.filter(person=person, channel="console").select_related(
        "notice", "notice__feature"
    )
    return list(rows.order_by("-notice__created_at")[:limit])


def mails_of(person: Person, notices: Iterable[UUID]) -> dict[UUID, Delivery]:
    """What became of the mails of these notices, by notice."""
    rows = Delivery.objects.filter(person=person, channel="email", notice__in=list(notices))
    return {row.notice_id: row for row in rows}


def unseen(person: Person) -> int:
    """How many notices the person has not looked at."""
    return Delivery.objects.filter(person=person, channel="console", seen_at__isnull=True).count()


def mark_seen(person: Person) -> None:
    """Everything that is there was looked at."""
    Delivery.objects.filter(person=person, channel="console", seen_at__isnull=True).update(
        seen_at=datetime.now(UTC)
    )


def forget_old_notices() -> int:
    """Delete notices older than 400 days; returns how many."""
    gone, _ = Notice.objects.filter(created_at__lt=datetime.now(UTC) - timedelta(days=400)).delete()
    return gone


@transaction.atomic
def tell_of_ending_keys() -> None:
    """Tell leads of keys that end within a week, once a key and end."""
    from features.models import ApiKey
    from features.queries import holders

    now = datetime.now(UTC)
    soon = ApiKey.objects.filter(
        revoked_at__isnull=True,
        expires_at__gt=now,
        expires_at__lt=now + timedelta(days=7),
        last_used_at__isnull=False,
    ).select_related("feature")
    for key in soon:
        notify(
            "key.ending",
            holders(key.feature)["lead"],
            once=f"{key.pk} {key.expires_at:%Y-%m-%d}",
            feature=key.feature,
            prefix=key.prefix,
            on=f"{key.expires_at:%d %B %Y}",
        )
