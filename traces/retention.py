"""How long a feature's traces are kept."""

from django.conf import settings

from features.policy import PolicyDocument


def retention_days(policy: PolicyDocument | None) -> int:
    """As the policy says, and never longer than the installation keeps any."""
    longest: int = settings.RETENTION_DAYS
    return min(longest, policy.traces.retention_days) if policy else longest
