"""A client with a feature of its own on the running product, and the rows that its calls leave."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from approvals.models import ApprovalRequest, Decision, Execution
from clearance import AsyncClearance, Clearance
from features.models import Person
from tests.approvals.support import Agent, cast, make_agent, make_person
from tests.support import Stack

SMALL = {"order_id": "A-1", "amount": "12.00", "currency": "USD"}
LARGE = {"order_id": "A-2", "amount": "180.00", "currency": "USD"}


class Side:
    """An agent's side: the client under test and what the product keeps of it."""

    def __init__(self, stack: Stack, **policy: Any) -> None:
        self.stack = stack
        self.agent: Agent = make_agent(stack, **policy)
        self.slug = self.agent.slug
        self.key = self.agent.client.key
        self.client = Clearance(stack.url, self.key)
        self.approver: Person = make_person(self.slug)

    def asynchronous(self) -> AsyncClearance:
        return AsyncClearance(self.stack.url, self.key)

    def decisions(self) -> list[Decision]:
        return list(Decision.objects.filter(feature__slug=self.slug).order_by("created_at"))

    def executions(self) -> list[str]:
        found = Execution.objects.filter(feature__slug=self.slug).order_by("started_at")
        return [f"{one.action} {one.state}" for one in found]

    def request(self, seconds: float = 30) -> ApprovalRequest:
        """The request that waits for people, once it is there."""
        until = time.monotonic() + seconds
        while True:
            found = ApprovalRequest.objects.filter(feature__slug=self.slug, state="pending").first()
            if found is not None:
                return found
            assert time.monotonic() < until, "nothing waits for people"
            time.sleep(0.05)

    def vote(self, answer: str = "approve", reason: str = "") -> None:
        request = self.request()
        done = cast(self.stack, self.approver, str(request.pk), answer, request.revision, reason)
        assert done.status_code == 303, done.text

    @contextmanager
    def meanwhile(self, act: Callable[[], object]) -> Iterator[None]:
        """`act` in a thread while the body waits; what it raises is raised here."""
        raised: list[BaseException] = []

        def run() -> None:
            from django.db import connection

            try:
                act()
            except BaseException as error:
                raised.append(error)
            finally:
                connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            thread.join()
        if raised:
            raise raised[0]
