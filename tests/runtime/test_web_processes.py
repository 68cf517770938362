"""Several web processes on one socket: none of them is missed, and all of them end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import ROOT, Stack


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "var", extra={"CLEARANCE_WEB_PROCESSES": "2"})
    try:
        yield stack.start()
    finally:
        stack.stop()


def web_processes(stack: Stack, at_least: int) -> set[int]:
    until = time.monotonic() + 60
    while len(found := set(stack.parts("uvicorn"))) < at_least and time.monotonic() < until:
        time.sleep(0.1)
    return found


def test_with_one_killed_the_other_answers_and_it_comes_back(two: Stack) -> None:
    before = web_processes(two, 2)
    assert len(before) == 2
    for pid in before:  # one after the other: whichever it is
        os.kill(pid, signal.SIGKILL)
        assert httpx.get(f"{two.url}/healthz", timeout=60).status_code == 200
        assert len(web_processes(two, 2)) == 2
    assert not before & web_processes(two, 2)


def test_all_of_them_end_with_the_product(two: Stack) -> None:
    running = web_processes(two, 2)
    assert len(running) == 2
    two.stop()
    assert [pid for pid in running if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.parametrize("number", ["0", "many", "-1", "65"])
def test_a_number_that_makes_no_sense_is_refused_by_name(tmp_path: Path, number: str) -> None:
    env = Stack(tmp_path / "var", extra={"CLEARANCE_WEB_PROCESSES": number}).env
    ended = subprocess.run(
        [sys.executable, "-m", "runtime", "run"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert "CLEARANCE_WEB_PROCESSES" in ended.stderr
    assert not (tmp_path / "var" / "postgres").exists()
