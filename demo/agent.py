"""`python -m demo.agent`: plays the three agents against a running server, a request every few seconds.

Real are the SDK, its batch processor and its OTLP exporter, and the client that asks Clearance before a tool runs; the
model is `perform.FakeModel`. What waits for a person waits in a thread of its own while the others go on.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from clearance import Clearance
from demo import billing, policy, sales
from demo.gate import Gate, Slots
from demo.perform import LiveClock, perform, perform_draft
from demo.plan import Plan

_PAUSE = 2.0
_LAST_WORDS = 6.0
_DRAWS = 12
_COLLECT = 5  # turns
SLUGS = (billing.SLUG, policy.SLUG, sales.SLUG)
_TURNS = (billing.SLUG, policy.SLUG, billing.SLUG, sales.SLUG)


def _provider(slug: str, url: str, key: str) -> TracerProvider:
    provider = TracerProvider(resource=Resource({"service.name": slug}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{url}/v1/traces", headers={"Authorization": f"Bearer {key}"}, timeout=10)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    return provider


class Agents:
    """The three agents, with their keys."""

    def __init__(self, url: str, keys: dict[str, str], over: threading.Event) -> None:
        self.over = over
        self._chance = random.Random()
        self._providers = {slug: _provider(slug, url, keys[slug]) for slug in SLUGS}
        self._gates = {slug: Gate(Clearance(url, keys[slug]), over) for slug in SLUGS}
        # Seconds between two requests that wait for people: a new refund each minute is enough to look at.
        self._slots = {billing.SLUG: Slots(6, 60), policy.SLUG: Slots(2, 300)}
        self._waiting: list[threading.Thread] = []

    def take_turn(self, slug: str) -> None:
        """One request; one that will wait for a person goes on by itself."""
        slots = self._slots.get(slug)
        free = slots is not None and slots.take()
        plan = self._drawn(slug, waits=free)
        if slots is None or not free:
            self._play(slug, plan)
        elif not plan.waits:
            slots.give_back(unused=True)
            self._play(slug, plan)
        else:
            thread = threading.Thread(target=self._play_waiting, args=(slug, plan, slots), daemon=True)
            self._waiting = [*(one for one in self._waiting if one.is_alive()), thread]
            thread.start()

    def collect(self) -> None:
        """Run what people made of drafts."""
        for slug, gate in self._gates.items():
            tracer = self._providers[slug].get_tracer("demo")
            gate.collect(partial(perform_draft, tracer=tracer, clock=LiveClock()))

    def end(self) -> None:
        """Let what waits take its request back, and send the last spans."""
        until = time.monotonic() + _LAST_WORDS
        for thread in self._waiting:
            thread.join(max(0.0, until - time.monotonic()))
        for provider in self._providers.values():
            provider.shutdown()

    def _drawn(self, slug: str, *, waits: bool) -> Plan:
        """A plan that waits for a person, where one is drawn soon, or one that certainly does not."""
        plan = self._plan(slug, waits)
        drawn = 1
        while plan.waits != waits and not (waits and drawn >= _DRAWS):
            plan = self._plan(slug, waits)
            drawn += 1
        return plan

    def _plan(self, slug: str, may_wait: bool) -> Plan:
        if slug == billing.SLUG:
            return billing.plan(self._chance, canary=0.05, asks_above_limit=may_wait)
        return policy.plan(self._chance) if slug == policy.SLUG else sales.plan(self._chance)

    def _play_waiting(self, slug: str, plan: Plan, slots: Slots) -> None:
        try:
            self._play(slug, plan)
        finally:
            slots.give_back()

    def _play(self, slug: str, plan: Plan) -> None:
        whole = perform(plan, self._providers[slug].get_tracer("demo"), LiveClock(), self._gates[slug])
        outcome = plan.outcome if whole else plan.otherwise_outcome
        text = plan.answer if whole else plan.other_answer
        print(
            f"{slug:14} {plan.request_id}  {outcome or 'unknown':9}  {text.splitlines()[0][:70] if text else ''}",
            flush=True,
        )


def main() -> int:
    url = os.environ.get("CLEARANCE_URL", "http://127.0.0.1:8000")
    path = Path(os.environ.get("CLEARANCE_VAR", "var")) / "demo" / "keys.json"
    try:
        keys: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        print(f"{path} is not there: run `manage.py demo load` first.", file=sys.stderr)
        return 2
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    agents = Agents(url, keys, over)
    turn = 0
    while not over.is_set():
        agents.take_turn(_TURNS[turn % len(_TURNS)])
        turn += 1
        if turn % _COLLECT == 0:
            agents.collect()
        over.wait(_PAUSE)
    agents.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
