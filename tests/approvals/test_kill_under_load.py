"""The kill switch while agents run at full speed, and while everything else is stuck."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from approvals.models import Execution, Grant
from tests.approvals.support import Agent, make_agent, refund
from tests.support import Client, Stack


def _kill(agent: Agent, reason: str = "test") -> Any:
    return agent.send(f"/api/v1/features/{agent.slug}/kill", {"reason": reason})


def test_after_kill_returned_no_client_of_eight_starts_anything(stack: Stack) -> None:
    for _ in range(3):
        agent = make_agent(stack)
        over = threading.Event()
        sent_after: list[int] = []

        def work(agent: Agent = agent, over: threading.Event = over, sent: list[int] = sent_after) -> None:
            while True:
                late = over.is_set()
                asked = agent.ask(refund("1.00")).json()
                if asked["decision"] == "allow":
                    run = agent.execute(asked["id"])
                    if late:
                        sent.append(run.status_code)
                elif late:
                    sent.append(423)
                if late:
                    return

        with ThreadPoolExecutor(8) as pool:
            workers = [pool.submit(work) for _ in range(8)]
            while Execution.objects.filter(feature__slug=agent.slug).count() < 16:
                time.sleep(0.02)
            answer = _kill(agent)
            with connection.cursor() as cursor:
                cursor.execute("SELECT clock_timestamp()")
                returned: datetime = cursor.fetchone()[0]
            over.set()
            for worker in workers:
                worker.result(60)
        assert answer.status_code == 200, answer.text
        started = {str(one.pk): one.started_at for one in Execution.objects.filter(feature__slug=agent.slug)}
        assert started, "they must have been at work"
        assert set(started) == set(answer.json()["in_flight"])
        assert max(started.values()) < returned
        assert set(sent_after) <= {423}


def test_kill_works_while_starts_hang_and_every_connection_is_taken(stack: Stack) -> None:
    agent = make_agent(stack)
    decisions = [agent.ask(refund("1.00")).json()["id"] for _ in range(30)]
    with ThreadPoolExecutor(30) as pool:
        # While this transaction is open, none of the starts can end by itself.
        with transaction.atomic():
            list(Grant.objects.select_for_update().filter(decision__in=decisions))
            hanging = [pool.submit(agent.execute, decision) for decision in decisions]
            time.sleep(2)
            killed = _kill(agent)
        answers = [one.result(60).status_code for one in hanging]
    assert killed.status_code == 200, killed.text
    assert killed.json()["in_flight"] == []
    assert set(answers) <= {423, 503}
    assert not Execution.objects.filter(feature__slug=agent.slug).exists()


def test_kill_works_without_worker_and_broker(tmp_path: Any) -> None:
    """A house of its own, whose worker stands still and whose queue cannot be written."""
    folder = tmp_path / "var"
    alone = Stack(folder)
    try:
        alone.start()
        made = alone.manage("feature", "create", "lone-agent", "--task", "Be stopped in time.")
        assert made.returncode == 0, made.stderr
        key = alone.manage("key", "create", "lone-agent", "--scope", "decide").stdout.split()[-1]
        for process in alone.parts("celery"):
            os.kill(process, signal.SIGSTOP)
        queue = folder / "queue"
        queue.rename(folder / "queue-is-gone")
        queue.write_text("no folder")
        agent = Agent(Client(alone, "lone-agent", key))
        killed = _kill(agent)
        assert killed.status_code == 200, killed.text
        assert killed.json()["record"]["number"] > 0
        assert agent.ask(refund()).json()["reasons"][0]["code"] == "killed"
    finally:
        for process in alone.parts("celery"):
            os.kill(process, signal.SIGCONT)
        alone.stop()
