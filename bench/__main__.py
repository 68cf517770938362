"""`make bench`: starts the product on a state folder of its own, makes its data, measures, prints the report and
writes it with plots to `bench-report/`.

`N=10000000` measures at ten million spans too; `ONLY=pages,ingest` chooses parts; `RACES=100000` and `KILLS=50` race
longer; `RUNS=5000` simulates more weeks, `TRACES=1000000` grades in a larger store; `BENCH_FOLDER` is where the state
stands (default: the system's temporary folder).
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import django

from bench.machine import machine
from bench.written import Report
from tests.support import Stack, discard_databases

PARTS = ("ingest", "lag", "trace", "pages", "record", "approvals", "reviews", "grading", "memory")


def main() -> None:
    chosen = [name for name in os.environ.get("ONLY", ",".join(PARTS)).split(",") if name in PARTS]
    folder = Path(tempfile.mkdtemp(prefix="clearance-bench-", dir=os.environ.get("BENCH_FOLDER")))
    stack = Stack(folder / "var", extra={"CLEARANCE_KEY_REQUESTS_PER_MINUTE": "1000000"})
    report = Report(Path(__file__).resolve().parent.parent / "bench-report")
    try:
        stack.start()
        os.environ.update(stack.env)
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        django.setup()
        report.add(machine())
        measures = _measures(stack, report)
        for name in chosen:
            measures[name]()
    finally:
        stack.stop()
        discard_databases()
        shutil.rmtree(folder, ignore_errors=True)
    report.write()


def _measures(stack: Stack, report: Report) -> dict[str, Callable[[], None]]:
    from bench import deciding, grading, ingest, lag, memory, one_trace, pages, record, reviews
    from bench.bodies import make_bodies
    from config.settings import STATE
    from features.services import create_feature, create_key, create_person, give_role
    from traces.ingest import ingest_traces

    feature = create_feature(slug="bench-agent", task="Be measured.")
    _, key = create_key(feature=feature, scopes=["ingest", "read"])
    person, _ = create_person(name="bench-lead")
    give_role(feature=feature, person=person, role="lead")

    def _settle_rate() -> float:
        for body in make_bodies(20, seed=5):
            ingest_traces(feature, body, "application/x-protobuf")
        return ingest.settled_rate(feature)

    def under_load() -> None:
        rate = float(os.environ.get("RATE", "0")) or _settle_rate() / 2
        measured = lag.measure(stack.url, key, rate)
        report.add(lag.report(measured), lag.figure(measured))

    def over_sizes() -> None:
        stages = pages.measure(stack, STATE.database_urls().owner, report.say)
        report.add(pages.report(stages), *pages.figures(stages))

    return {
        "ingest": lambda: report.add(ingest.report(stack.url)),
        "lag": under_load,
        "trace": lambda: report.add(one_trace.report(stack, feature, person, key)),
        "pages": over_sizes,
        "record": lambda: report.add(record.report()),
        "approvals": lambda: report.add(deciding.report(stack, report.say)),
        "reviews": lambda: report.add(*reviews.report(report.say)),
        "grading": lambda: report.add(grading.report(stack, STATE.database_urls().owner, report.say)),
        "memory": lambda: report.add(memory.report(stack, report.folder)),
    }


if __name__ == "__main__":
    main()
