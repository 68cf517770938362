"""A feature's job and blast radius as code: reading a clearance.toml, its versions, what is in force."""

from features.policy.active import active_policy, active_version, number_of, policy_of
from features.policy.document import Action, Budget, PolicyDocument, Trigger, seconds
from features.policy.reading import PolicyFault, UnreadablePolicy, read_policy

__all__ = [
    "Action",
    "Budget",
    "PolicyDocument",
    "PolicyFault",
    "Trigger",
    "UnreadablePolicy",
    "active_policy",
    "active_version",
    "number_of",
    "policy_of",
    "read_policy",
    "seconds",
]
