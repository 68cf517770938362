"""`python -m demo.agent`: plays the three agents against a running server, a request every few seconds.

Real are the SDK, its batch processor and its OTLP exporter; the model is `perform.FakeModel`.
"""

import json
import os
import random
import signal
import sys
import threading
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from demo import billing, policy, sales
from demo.perform import LiveClock, perform

_PAUSE = 2.0


def _provider(slug: str, url: str, key: str) -> TracerProvider:
    provider = TracerProvider(resource=Resource({"service.name": slug}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{url}/v1/traces", headers={"Authorization": f"Bearer {key}"}, timeout=10)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    return provider


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
    chance = random.Random()
    plans = {
        billing.SLUG: lambda: billing.plan(chance, canary=0.05),
        sales.SLUG: lambda: sales.plan(chance),
        policy.SLUG: lambda: policy.plan(chance),
    }
    providers = {slug: _provider(slug, url, keys[slug]) for slug in plans}
    turn = 0
    while not over.is_set():
        slug = (billing.SLUG, policy.SLUG, billing.SLUG, sales.SLUG)[turn % 4]
        turn += 1
        plan = plans[slug]()
        perform(plan, providers[slug].get_tracer("demo"), LiveClock())
        print(
            f"{slug:14} {plan.request_id}  {plan.outcome or 'unknown':9}  {plan.answer.splitlines()[0][:70] if plan.answer else ''}"
        )
        over.wait(_PAUSE)
    for provider in providers.values():
        provider.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
