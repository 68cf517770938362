"""Kept examples of a policy: for these arguments the answer must be this. They are asked whenever it is read.

The judgement of actions belongs to the approvals' room, which gives it here when the application is ready.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from features.policy.document import PolicyDocument
from features.policy.schemas import Fault

# (policy, action, args, context) -> (allow, needs_approval or deny; why)
Judge = Callable[[PolicyDocument, str, Mapping[str, Any], Mapping[str, Any]], tuple[str, str]]
_judges: list[Judge] = []


def register_judge(judge: Judge) -> None:
    """Give the judgement of actions."""
    _judges[:] = [judge]


def example_faults(document: PolicyDocument) -> Iterator[Fault]:
    """The examples for which the policy answers otherwise than they expect."""
    for at, action in enumerate(document.action):
        for n, example in enumerate(action.example):
            path = ("action", at, "example", n, "expect")
            if not _judges:
                yield path, "cannot be asked here: nothing judges actions"
                continue
            answer, why = _judges[0](document, action.name, example.args, example.context)
            if answer != example.expect:
                yield path, f"is {example.expect}, and the policy answers {answer}: {why}"
