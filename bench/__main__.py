"""`make bench`: starts the product on a state folder of its own, measures, and prints the report."""

import os
import platform
import shutil
import tempfile
from pathlib import Path

import django

from tests.support import Stack


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="clearance-bench-"))
    stack = Stack(folder / "var")
    try:
        stack.start()
        os.environ.update(stack.env)
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        django.setup()
        from bench import ingest, record

        print(f"# Benchmarks\n\nPython {platform.python_version()}, {os.cpu_count()} cores.\n")
        print(ingest.report(stack.url))
        print(f"\n{record.report()}")
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
