"""Notices: written with what causes them, delivered though the mail server or the worker fails, once."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.db import connection, transaction

from features.models import Delivery, Notice
from features.outbox import notices_of, notify, said
from features.services import create_feature, create_person, give_role, take_role
from runtime.state import StateFolder
from tests.support import Browser, Stack, free_port, unique

PASSWORD = "a long enough password"


def test_what_is_rolled_back_tells_nobody() -> None:
    person, _ = create_person(name=unique("ada"))

    def fail() -> None:
        with transaction.atomic():
            notify("sign_in.locked", [person], once=unique("occasion"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert notices_of(person) == []


def test_the_same_occasion_tells_once_though_it_comes_from_many_at_once() -> None:
    person, _ = create_person(name=unique("ada"))
    once = unique("occasion")

    def tell(_: int) -> None:
        with transaction.atomic():
            notify("sign_in.locked", [person, person], once=once)
        connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tell, range(16)))
    assert len(notices_of(person)) == 1
    assert Notice.objects.filter(once__endswith=once).count() == 1


def test_a_notice_outside_of_a_transaction_or_of_an_unknown_kind_is_an_error() -> None:
    person, _ = create_person(name=unique("ada"))
    with pytest.raises(RuntimeError, match="in the transaction"):
        notify("sign_in.locked", [person], once="x")
    with pytest.raises(KeyError), transaction.atomic():
        notify("no.such.kind", [person], once="x")


def test_roles_given_and_taken_stand_on_the_page_until_seen(stack: Stack) -> None:
    feature = create_feature(slug=unique("agent"))
    lead, _ = create_person(name=unique("lead"), roles=[(feature.slug, "lead")])
    person, _ = create_person(name=unique("ada"))
    give_role(feature=feature, person=person, role="on_call", by=lead)
    browser = Browser(stack, person)
    page = browser.get("/notices/")
    assert f"You are on-call of {feature}" in page.text
    assert "1 new" in page.text
    assert "no mail server is set up" in page.text
    browser.post("/notices/", {})
    assert "nothing new" in browser.get("/notices/").text
    take_role(feature=feature, person=person, role="on_call", by=lead)
    assert "You are no longer on-call" in browser.get("/notices/").text
    # Nobody is told of what they did themselves.
    give_role(feature=feature, person=lead, role="viewer", by=lead)
    assert "viewer" not in " ".join(said(one.notice).title for one in notices_of(lead))


def test_nobody_sees_the_notices_of_others(stack: Stack) -> None:
    feature = create_feature(slug=unique("agent"))
    person, _ = create_person(name=unique("ada"), roles=[(feature.slug, "viewer")])
    other, _ = create_person(name=unique("eve"))
    assert len(notices_of(person)) == 1
    assert feature.slug not in Browser(stack, other).get("/notices/").text
    assert str(feature) not in Browser(stack, other).get("/notices/").text


class Mailbox:
    """A mail server that can be told to refuse."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.refuses = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refuses > 0:
            self.refuses -= 1
            return "451 try again later"
        self.mails.append(message_from_bytes(envelope.content or b""))  # type: ignore[arg-type]
        return "250 taken"

    def wait(self, enough: Callable[[list[Message]], bool], seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not enough(self.mails):
            assert time.monotonic() < until, self.mails
            time.sleep(0.1)


@pytest.fixture(scope="module")
def posted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Mailbox]]:
    """The product with a mail server, on a database of its own."""
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    folder: Path = tmp_path_factory.mktemp("outbox")
    extra = {"CLEARANCE_SMTP_URL": f"smtp://127.0.0.1:{port}/", "CLEARANCE_MAIL_FROM": "console@example.org"}
    stack = Stack(folder / "var", extra=extra).start()
    assert stack.manage("feature", "create", "billing-agent").returncode == 0
    yield stack, box
    stack.stop()
    controller.stop()


def make(stack: Stack, name: str) -> None:
    made = stack.manage(
        "person", "create", name, "--role", "billing-agent:approver", "--email", f"{name}@example.org"
    )
    assert made.returncode == 0, made.stderr


def to(name: str) -> Callable[[list[Message]], bool]:
    return lambda mails: any(mail["To"] == f"{name}@example.org" for mail in mails)


def deliveries(stack: Stack, name: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(StateFolder(stack.var).database_urls().app) as database:
        return database.execute(
            "SELECT d.state, d.attempts FROM features_delivery d JOIN features_person p ON p.id = d.person_id "
            "WHERE p.name = %s AND d.channel = 'email'",
            [name],
        ).fetchall()


def settled(stack: Stack, name: str, expected: list[tuple[Any, ...]], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while deliveries(stack, name) != expected:
        assert time.monotonic() < until, deliveries(stack, name)
        time.sleep(0.1)


def test_a_mail_says_what_happened_and_where_to_look(posted: tuple[Stack, Mailbox]) -> None:
    stack, box = posted
    make(stack, "ada")
    box.wait(to("ada"))
    mail = next(mail for mail in box.mails if mail["To"] == "ada@example.org")
    assert mail["Subject"] == "You are approver of Billing agent"
    assert mail["From"] == "console@example.org"
    assert f"{stack.url}/features/billing-agent/people/" in mail.get_payload()
    settled(stack, "ada", [("delivered", 1)])


def test_a_mail_that_is_refused_is_sent_later_once(posted: tuple[Stack, Mailbox]) -> None:
    stack, box = posted
    box.refuses = 2
    make(stack, "rio")
    box.wait(to("rio"))
    settled(stack, "rio", [("delivered", 3)])
    assert sum(mail["To"] == "rio@example.org" for mail in box.mails) == 1


def test_a_killed_worker_loses_no_notice(posted: tuple[Stack, Mailbox]) -> None:
    stack, box = posted
    for pid in stack.parts("celery"):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    make(stack, "oda")
    box.wait(to("oda"))
    settled(stack, "oda", [("delivered", 1)])


def test_a_notice_of_a_kind_that_is_gone_is_still_shown() -> None:
    person, _ = create_person(name=unique("ada"))
    notice = Notice.objects.create(kind="of.yesterday", once=unique("occasion"))
    Delivery.objects.create(notice=notice, person=person, channel="console", state="delivered")
    assert [said(one.notice).title for one in notices_of(person)] == ["of.yesterday"]
