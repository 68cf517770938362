"""Memory of web, worker and database while spans come at full speed: sampled each second, written as CSV and SVG.

`MINUTES` says for how long (1). Counted is what a process has for itself: resident without shared pages, so that
the database's buffers are not counted once for each connection.
"""

import csv
import http.client
import os
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import pstdev
from urllib.parse import urlsplit

from bench.bodies import SPANS_A_BODY, make_bodies, renewed
from features.services import create_feature, create_key
from tests.support import ROOT, Stack

_CONNECTIONS = 4
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIB = 1024 * 1024
_WARM_UP = 0.25  # of the run: pools, caches and the allocator's arenas fill
_FLAT = 0.05  # growth after the warm-up, of what it is then, that is no growth; nor is what drowns in the ups and downs
_PARTS = {"uvicorn": "web", "celery": "worker", "postgres": "database"}
_COLOURS = {"web": "#2563eb", "worker": "#d97706", "database": "#059669"}

Samples = list[tuple[float, Counter[str]]]  # seconds since the start, bytes by part


def report(stack: Stack, folder: Path = ROOT / "var" / "bench") -> str:
    """The run's figures as Markdown; `memory.csv` and `memory.svg` go into the folder."""
    seconds = float(os.environ.get("MINUTES", "1")) * 60
    samples, spans = _run(stack, seconds)
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(folder / "memory.csv", samples)
    (folder / "memory.svg").write_text(_svg(samples), encoding="utf-8")
    lines = [
        "## Memory",
        "",
        f"{seconds:.0f} s at full speed, {_CONNECTIONS} connections, {spans:,} spans acknowledged "
        f"({spans / seconds:,.0f}/s); all processes of a part together, without shared pages; the trend is fitted "
        f"after the first {_WARM_UP:.0%}. Samples: `{folder.name}/memory.csv`, plot: `{folder.name}/memory.svg`.",
        "",
        "| part | MiB after warm-up | MiB at the end | most | trend over the rest | flat |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for part in _PARTS.values():
        values = [(at, held[part] / _MIB) for at, held in samples]
        warm = [pair for pair in values if pair[0] >= seconds * _WARM_UP]
        growth = _slope(warm) * (warm[-1][0] - warm[0][0])
        flat = growth <= max(_FLAT * warm[0][1], 2 * pstdev(held for _, held in warm))
        lines.append(
            f"| {part} | {warm[0][1]:.0f} | {warm[-1][1]:.0f} | {max(held for _, held in values):.0f} "
            f"| {growth:+.1f} MiB | {'yes' if flat else 'NO'} |"
        )
    return "\n".join(lines)


def _run(stack: Stack, seconds: float) -> tuple[Samples, int]:
    """Send for so long; the samples, and how many spans were acknowledged."""
    feature = create_feature(slug="bench-memory", task="Measure the memory.")
    _, key = create_key(feature=feature, scopes=["ingest"])
    bodies = make_bodies(_CONNECTIONS, personal=True)
    over = threading.Event()
    acknowledged: Counter[int] = Counter()

    def send(n: int) -> None:
        link = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=60)
        headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {key}"}
        while not over.is_set():
            link.request("POST", "/v1/traces", renewed(bodies[n]), headers)
            answer = link.getresponse()
            answer.read()
            if answer.status == 200:
                acknowledged[n] += SPANS_A_BODY
            else:
                time.sleep(float(answer.headers.get("Retry-After", "1")))

    senders = [threading.Thread(target=send, args=(n,)) for n in range(_CONNECTIONS)]
    for sender in senders:
        sender.start()
    started = time.monotonic()
    samples: Samples = []
    assert stack.process is not None
    try:
        while (at := time.monotonic() - started) < seconds:
            samples.append((at, _held(stack.process.pid)))
            time.sleep(max(0.0, started + len(samples) - time.monotonic()))
    finally:
        over.set()
        for sender in senders:
            sender.join()
    return samples, sum(acknowledged.values())


def _held(supervisor: int) -> Counter[str]:
    """Bytes that each part's processes have for themselves now."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    held: Counter[str] = Counter()
    for pid in parents:
        above = pid
        while above in parents and above != supervisor:
            above = parents[above]
        if above != supervisor or pid == supervisor:
            continue
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
            _, resident, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[:3])
        except OSError:
            continue
        for word, part in _PARTS.items():
            if word in command:
                held[part] += (resident - shared) * _PAGE
                break
    return held


def _slope(values: list[tuple[float, float]]) -> float:
    """The slope of the line of least squares."""
    mean_x = sum(x for x, _ in values) / len(values)
    mean_y = sum(y for _, y in values) / len(values)
    spread = sum((x - mean_x) ** 2 for x, _ in values)
    return sum((x - mean_x) * (y - mean_y) for x, y in values) / spread if spread else 0.0


def _write_csv(path: Path, samples: Samples) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["seconds", *_PARTS.values()])
        writer.writerows([f"{at:.1f}", *(held[part] for part in _PARTS.values())] for at, held in samples)


def _svg(samples: Samples) -> str:
    """The samples as lines over time."""
    width, height, left, bottom = 760, 300, 60, 40
    last = max(samples[-1][0], 1.0)
    most = max(max(held.values(), default=1) for _, held in samples) / _MIB * 1.1

    def x(at: float) -> float:
        return left + at / last * (width - left - 20)

    def y(mebibytes: float) -> float:
        return height - bottom - mebibytes / most * (height - bottom - 20)

    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12" role="img" aria-label="Memory over time">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for step in range(5):
        value = most * step / 4
        drawn.append(
            f'<path d="M{left} {y(value):.1f}H{width - 20}" stroke="#ddd"/>'
            f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.0f}</text>'
        )
        at = last * step / 4
        drawn.append(f'<text x="{x(at):.1f}" y="{height - 20}" text-anchor="middle">{at:.0f} s</text>')
    drawn.append('<text x="4" y="14">MiB</text>')
    for n, part in enumerate(_PARTS.values()):
        points = " ".join(f"{x(at):.1f},{y(held[part] / _MIB):.1f}" for at, held in samples)
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="{_COLOURS[part]}" stroke-width="2"/>'
            f'<text x="{left + 20 + n * 110}" y="{height - 4}" fill="{_COLOURS[part]}">{part}</text>'
        )
    return "\n".join([*drawn, "</svg>", ""])
