"""`python -m runtime run`: Clearance with everything it needs, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys

import psycopg

from runtime.console import Console
from runtime.errors import RuntimeFault
from runtime.product import run, run_database


def main(arguments: list[str]) -> int:
    """The command line. Returns 0 after an end that was asked for, 1 after a failure, 2 when nothing was
    started.
    """
    parser = argparse.ArgumentParser(
        prog="python -m runtime",
        description="Run Clearance. Variables: HOST (127.0.0.1), PORT (8000), "
        "CLEARANCE_VAR (the state "
        "folder, var), DATABASE_URL and DATABASE_OWNER_URL (a PostgreSQL of your own).",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|database")
    whole = commands.add_parser("run", help="database, web, worker and clock, until Ctrl-C")
    whole.add_argument("--demo", action="store_true", help="load the demo's data and start its agent")
    commands.add_parser("database", help="the embedded database alone, until Ctrl-C")
    given = parser.parse_args(arguments)
    console = Console()
    try:
        if given.command == "run":
            run(os.environ, console, demo=given.demo)
        else:
            run_database(os.environ, console)
    except RuntimeFault as fault:
        print(f"Clearance: {fault}", file=sys.stderr)
        return fault.exit_code
    except KeyboardInterrupt:  # before the group listened to signals
        return 130
    except psycopg.Error as error:
        print(f"Clearance: the database refused: {str(error).strip()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
