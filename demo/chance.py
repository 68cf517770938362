"""What all three agents draw from: people who do not exist, times, IDs."""

import random

FIRST = "Pat Sam Alex Robin Kim Jo Max Toni Chris Jamie Lou Nic".split()
LAST = "Example Sample Placeholder Testcase Mockup Specimen Dummy Fictitious Demo Madeup".split()


def person(chance: random.Random) -> tuple[str, str]:
    """(name, e-mail) of a customer; `.example` belongs to nobody (RFC 2606)."""
    first, last = chance.choice(FIRST), chance.choice(LAST)
    return f"{first} {last}", f"{first}.{last}@mail.example".lower()


def request_id(chance: random.Random) -> str:
    return f"req-{chance.randrange(16**4):04x}-{chance.randrange(16**4):04x}"


def seconds(chance: random.Random, median: float, spread: float = 0.45) -> float:
    """A log-normal time, as latencies are."""
    return min(median * chance.lognormvariate(0, spread), median * 8)
