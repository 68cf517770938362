"""A plan: what one request of an agent will do, decided before it runs, so that history and the live agent
are one.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["success", "escalated", "failed", "abandoned"] | None


@dataclass(frozen=True)
class Document:
    """A section of a handbook or a mail archive. No ID: the retriever forgot to say it."""

    id: str | None
    title: str
    text: str
    score: float


@dataclass(frozen=True)
class Retrieve:
    """Look something up in an index."""

    query: str
    documents: tuple[Document, ...]
    seconds: float


@dataclass(frozen=True)
class Ask:
    """Call the model: it answers with text, with tool calls, or not at all (`error`)."""

    text: str = ""
    calls: tuple["Call", ...] = ()
    error: str | None = None
    seconds: float = 1.0


@dataclass(frozen=True)
class Call:
    """Run a tool."""

    tool: str
    arguments: dict[str, Any]
    result: Any = None
    error: str | None = None
    seconds: float = 0.2


Step = Retrieve | Ask | Call


@dataclass(frozen=True)
class Plan:
    """One request."""

    agent: str  # the feature's slug
    name: str  # the root span's
    system: str | None  # None: the agent does not show it
    asked: str
    model: str  # as asked for
    answers_as: str  # as the provider names it
    provider: str
    steps: tuple[Step, ...]
    outcome: Outcome  # None: nobody says
    session: str
    user: str | None
    request_id: str
    variant: str
    segments: dict[str, str] = field(default_factory=dict)
    violation: str | None = None  # a rule that a reviewer says was broken
    waits: bool = False  # a tool call of it will wait for a person
    otherwise: tuple[Step, ...] = ()  # how it ends when a tool is not permitted, and in what
    otherwise_outcome: Outcome = None

    @property
    def answer(self) -> str:
        """What the request ends in."""
        return _last_text(self.steps)

    @property
    def other_answer(self) -> str:
        """What it ends in when a tool is not permitted."""
        return _last_text(self.otherwise)


def _last_text(steps: tuple[Step, ...]) -> str:
    texts = [step.text for step in steps if isinstance(step, Ask) and step.text]
    return texts[-1] if texts else ""
