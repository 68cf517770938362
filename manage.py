#!/usr/bin/env python
"""Clearance's commands; each says what it does with `--help`."""

import os
import sys

from django.core.management import execute_from_command_line
from environs import EnvError

from runtime.errors import RuntimeFault

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        execute_from_command_line(sys.argv)
    except (RuntimeFault, EnvError) as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
