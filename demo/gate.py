"""The agents' right to act: what is no read is asked for at Clearance and runs as it was permitted."""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager

from clearance import Clearance, ClearanceError, Decision, Execution, StillPending, key_of
from demo.plan import Call

__all__ = ["Gate", "Slots"]

# A person may make what was kept as a draft their own request, later.
_KEPT = 12
READS = frozenset({"lookup_order", "look_up_company"})
_LOOK = 5.0  # seconds between two looks whether the agent is to end


class Slots:
    """How many requests may wait for people at a time, and how often a new one may begin."""

    def __init__(self, most: int, apart: float) -> None:
        self._free = threading.Semaphore(most)
        self._apart = apart
        self._latest = float("-inf")

    def take(self) -> bool:
        """Whether one more may wait; who takes it gives it back."""
        if time.monotonic() - self._latest < self._apart or not self._free.acquire(blocking=False):
            return False
        self._latest = time.monotonic()
        return True

    def give_back(self, *, unused: bool = False) -> None:
        """The next may begin; at once, where nobody was made to wait."""
        if unused:
            self._latest = float("-inf")
        self._free.release()


class Gate:
    """One agent's door to Clearance. Threads share it."""

    def __init__(self, client: Clearance, over: threading.Event) -> None:
        self._client = client
        self._over = over
        self._drafts: deque[Decision] = deque(maxlen=_KEPT)

    def guards(self, step: Call) -> bool:
        """Whether the step needs a decision."""
        return step.tool not in READS

    def permit(
        self,
        step: Call,
        *,
        run: str,
        call: str,
        claim: str,
        waiting: Callable[[], AbstractContextManager[object]],
    ) -> Execution | str:
        """The permission to run it, used up, or the words for the model why not; `waiting` surrounds the time in which
        people decide. Ending the agent takes the request back.
        """
        try:
            decision = self._client.decide(
                step.tool, step.arguments, idempotency_key=key_of(run, call), claim=claim[:2000]
            )
            if decision.pending:
                with waiting():
                    decision = self._wait(decision)
            if "draft" in decision.codes and decision.state == "denied":
                self._drafts.append(decision)
            return self._client.execute(decision)
        except ClearanceError as error:
            return error.message

    def collect(self, run: Callable[[Execution], object]) -> None:
        """Run what people made of the newest drafts and others approved; `run` does it. A draft that came to nothing is
        forgotten.
        """
        for draft in list(self._drafts):
            try:
                made = self._client.proposed(draft)
                if made is None or made.pending:
                    continue
                self._drafts.remove(draft)
                execution = self._client.execute(made)
                run(execution)
                self._client.report(execution, "succeeded")
            except ClearanceError:
                continue

    def _wait(self, decision: Decision) -> Decision:
        while decision.pending and not self._over.is_set():
            decision = self._client.wait(decision, _LOOK)
            if decision.ends is not None and decision.ends < time.monotonic():
                return decision
        if decision.pending:
            self._client.withdraw(decision)
            raise StillPending("the agent ends", decision=decision)
        return decision

    def report(self, execution: Execution, step: Call) -> None:
        """How it ended. A payment that timed out may have been booked: nobody here can tell."""
        try:
            if step.error is None:
                self._client.report(execution, "succeeded", step.result)
            elif "timeout" in step.error:
                self._client.report(execution, "unknown", {"error": step.error})
            else:
                self._client.report(execution, "failed", {"error": step.error})
        except ClearanceError as error:
            print(f"the outcome of {execution.id} could not be reported: {error}", flush=True)
