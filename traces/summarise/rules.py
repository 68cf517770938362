"""What a feature's policy says about the reading of its traces."""

import msgspec


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """`escalation_tools`: a run of one of these hands the task to a person."""

    escalation_tools: frozenset[str] = frozenset()
