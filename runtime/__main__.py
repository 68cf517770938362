"""`python -m runtime run [--demo]`: start the product; Ctrl-C ends all of it."""

import argparse
import sys

from runtime.errors import RuntimeFault
from runtime.group import run


def main(arguments: list[str]) -> int:
    """The command line; the exit code: 0 ended when asked, 1 could not go on, 2 nothing was started."""
    parser = argparse.ArgumentParser(prog="python -m runtime", description="Run Clearance and its database.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    start = verbs.add_parser("run", help="start database, web, worker and beat; Ctrl-C ends them")
    start.add_argument("--demo", action="store_true", help="with three features, people and a live agent")
    given = parser.parse_args(arguments)
    try:
        return run(demo=given.demo)
    except RuntimeFault as fault:
        print(f"\n{fault}", file=sys.stderr, flush=True)
        return fault.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
