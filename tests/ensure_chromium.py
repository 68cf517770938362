"""Find Chromium for the browser tests; on Debian, as root, install it; elsewhere say what to install."""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """The path of the first Chromium there is."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def main() -> int:
    if find_chromium():
        return 0
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing Chromium for the browser tests ...", flush=True)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            done = subprocess.run(["apt-get", "-qq", *command], env=quiet, capture_output=True, text=True)
            if done.returncode:
                print(done.stderr.strip()[-2000:], file=sys.stderr)
        if find_chromium():
            return 0
    print(
        "The browser tests need Chromium: install it (on Debian: apt-get install chromium).", file=sys.stderr
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
