"""What was measured on: cores, memory, versions."""

import os
import platform
from importlib.metadata import version

from django.db import connection


def machine() -> str:
    """The report's head in Markdown."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        postgres = cursor.fetchone()[0]
        cursor.execute("SHOW shared_buffers")
        cache = cursor.fetchone()[0]
    return "\n".join(
        [
            "# Benchmarks",
            "",
            f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, {platform.system()} {platform.release()}, "
            f"Python {platform.python_version()}, PostgreSQL {postgres} (shared_buffers {cache}), "
            f"Django {version('django')}, psycopg {version('psycopg')}.",
            "The client runs on the same machine. Figures compare inside one run only.",
        ]
    )
