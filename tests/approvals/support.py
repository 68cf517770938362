"""An agent with a policy, and people who decide, for the tests of approvals."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

import httpx

from features.models import Feature, Person
from features.policy import read_policy
from features.policy.activation import apply_policy
from features.services import create_person
from tests.conftest import make_client
from tests.support import Browser, Client, Stack, unique

POLICY = """
[feature]
slug = "{slug}"
task = "Resolve tier-1 billing tickets."
tier = "{tier}"
disallowed = ["data_export", "delete_customer"]

[[action]]
name = "lookup_order"
effect = "read"

[[action]]
name = "refund"
effect = "reversible"
classes = ["money_movement"]
under = 'args.currency == "USD" && decimal(args.amount) <= decimal("50")'
subject = "args.order_id"
{once}
quorum = {quorum}
ttl = "{ttl}"
grant_ttl = "{grant_ttl}"
deadline = "{deadline}"
[action.schema]
type = "object"
required = ["order_id", "amount", "currency"]
[action.schema.properties]
order_id = {{ type = "string", maxLength = 64 }}
amount = {{ type = "string", pattern = "^[0-9]{{1,9}}\\\\.[0-9]{{2}}$" }}
currency = {{ enum = ["USD", "EUR"] }}
[[action.budget]]
cost = "decimal(args.amount)"
limit = "{limit}"
per = "day"

[[action]]
name = "close_account"
effect = "irreversible"
[action.schema]
type = "object"
required = ["account"]
[action.schema.properties]
account = {{ type = "string", maxLength = 64 }}

[limits]
quiet_period = "24h"
"""


def policy_text(slug: str, **changed: Any) -> str:
    """The policy of the tests; `changed`: tier, once, quorum, ttl, grant_ttl, deadline, limit."""
    given = {
        "tier": "execute_under_threshold",
        "once": "",
        "quorum": 1,
        "ttl": "30m",
        "grant_ttl": "10m",
        "deadline": "5m",
        "limit": "100000",
        **changed,
    }
    return POLICY.format(slug=slug, **given)


def apply(slug: str, **changed: Any) -> None:
    text = policy_text(slug, **changed)
    apply_policy(read_policy(text).document, text)


def refund(amount: str = "20.00", order: str | None = None, **more: Any) -> dict[str, Any]:
    """The body that asks for a refund; of an order of its own unless told."""
    args = {"order_id": order or f"order-{secrets.token_hex(6)}", "amount": amount, "currency": "USD"}
    return {"action": "refund", "args": args, **more}


@dataclass
class Agent:
    """An agent that asks, waits, executes and reports over HTTP."""

    client: Client

    @property
    def slug(self) -> str:
        return self.client.slug

    @property
    def feature(self) -> Feature:
        return Feature.objects.get(slug=self.slug)

    def send(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        return self.client.post(path, raw, "application/json", **headers)

    def ask(self, body: Any, key: str | None = None) -> httpx.Response:
        return self.send("/api/v1/decisions", body, **{"Idempotency-Key": key or secrets.token_hex(8)})

    def look(self, decision: str, wait: int = 0) -> dict[str, Any]:
        response = self.client.get(f"/api/v1/decisions/{decision}", wait=str(wait))
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def execute(self, decision: str, **body: str) -> httpx.Response:
        return self.send(f"/api/v1/decisions/{decision}/execute", body)

    def report(self, execution: str, status: str, **more: Any) -> httpx.Response:
        return self.send(f"/api/v1/executions/{execution}/outcome", {"status": status, **more})


def make_agent(stack: Stack, **changed: Any) -> Agent:
    """An agent with a feature, a key and the policy of the tests."""
    agent = Agent(make_client(stack))
    apply(agent.slug, **changed)
    return agent


def make_person(slug: str, role: str = "approver") -> Person:
    person, _ = create_person(name=unique(role.replace("_", "-")), roles=[(slug, role)])
    return person


def cast(
    stack: Stack, person: Person, request_id: str, vote: str = "approve", revision: int = 1, reason: str = ""
) -> httpx.Response:
    """A vote by the person's browser, as api.md has it."""
    form = {"vote": vote, "revision": str(revision), "reason": reason}
    return Browser(stack, person).post(f"/approvals/{request_id}/vote", form)
