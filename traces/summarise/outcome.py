"""How a task ended and who says so; violations; retries."""

from collections.abc import Callable, Sequence
from typing import Literal, cast, get_args

from traces.summarise.calls import Call, encoded
from traces.summarise.rules import Judged, Rules
from traces.vocabulary import Claims, Fact, Span, Violation

Outcome = Literal["success", "escalated", "failed", "abandoned", "unknown"]
_OUTCOMES = frozenset(get_args(Outcome))


def facts_in_order(facts: Sequence[Fact]) -> list[Fact]:
    """Each fact once, by time and content."""
    once = {(fact.created_at, fact.kind, fact.source, encoded(fact.value)): fact for fact in facts}
    return [once[key] for key in sorted(once)]


def _word(value: object) -> Outcome | None:
    word = value.strip().lower() if isinstance(value, str) else None
    return cast(Outcome, word) if word in _OUTCOMES else None


def outcome_of(
    facts: Sequence[Fact],
    claims: Claims,
    root: Span | None,
    tools: Sequence[Span],
    rules: Rules,
    succeeded: Callable[[], Judged] | None = None,
) -> tuple[Outcome, str]:
    """(outcome, who says so), in the order of the design: feedback, the attribute, an escalation, the root's
    error, the policy's success rule.

    Of several facts the newest wins; `facts` in order. A rule that cannot be judged is never a success.
    """
    if told := _told(facts):
        return told
    if word := _word(claims.outcome):
        return word, "attribute"
    if claims.escalated:
        return "escalated", "attribute:escalated"
    for span in tools:
        if span.tool_name in rules.escalation_tools and span.status == "ok":
            return "escalated", f"escalation_tool:{span.tool_name}"
    if root is not None and root.status == "error":
        return "failed", "root_error"
    if succeeded is not None:
        judged = succeeded()
        if judged.fault is not None:
            return "unknown", "success_rule_fault"
        return ("success" if judged.holds else "failed"), "success_rule"
    return "unknown", "none"


def _told(facts: Sequence[Fact]) -> tuple[Outcome, str] | None:
    for fact in reversed(facts):
        if fact.kind == "outcome" and (word := _word(fact.value)):
            return word, f"feedback:{fact.source}"
        if fact.kind == "escalated" and fact.value is True:
            return "escalated", f"feedback:{fact.source}"
    return None


def violations_of(
    facts: Sequence[Fact], tools: Sequence[Span], rules: Rules, checked: Sequence[Violation] = ()
) -> list[Violation]:
    """What facts tell of, the runs of tools that the policy disallows, and the checks that failed: each once."""
    found: dict[tuple[str, str, str], Violation] = {}
    for violation in (*_disallowed(tools, rules), *checked):
        found[(violation.rule, violation.span_id or "", violation.detail or "")] = violation
    for fact in facts:
        if fact.kind != "violation":
            continue
        value = fact.value if isinstance(fact.value, dict) else {"rule": fact.value}
        rule = value.get("rule")
        if not isinstance(rule, str) or not rule:
            continue
        span_id, detail = value.get("span_id"), value.get("detail")
        violation = Violation(
            rule=rule,
            span_id=span_id if isinstance(span_id, str) else None,
            detail=detail if isinstance(detail, str) else None,
        )
        found[(rule, violation.span_id or "", violation.detail or "")] = violation
    return [found[key] for key in sorted(found)]


def _disallowed(tools: Sequence[Span], rules: Rules) -> list[Violation]:
    return [
        Violation(
            rule="disallowed_tool",
            span_id=span.span_id.hex(),
            detail=f"the policy disallows {span.tool_name}, and it ran",
        )
        for span in tools
        if span.tool_name in rules.disallowed
    ]


def retries_of(calls: Sequence[Call], tools: Sequence[Span]) -> int:
    """Calls that repeat one: the same tool and arguments, or the same model and messages, after an error of
    it; or an attribute that says so.
    """
    failed: dict[bytes, int] = {}
    retries = 0
    attempts = [
        *((encoded(["tool", span.tool_name, span.content.arguments]), span) for span in tools),
        *(
            (encoded(["model", call.span.model_asked, call.span.content.input]), call.span)
            for call in calls
            if call.span.content.input
        ),
        *((b"", call.span) for call in calls if not call.span.content.input),
    ]
    for key, span in sorted(attempts, key=lambda attempt: (attempt[1].started_at, attempt[1].span_id)):
        ended = failed.get(key) if key else None
        if span.claims.retry_of or (ended is not None and ended <= span.started_at):
            retries += 1
        if key and span.status == "error":
            failed[key] = span.ended_at
        elif key:
            failed.pop(key, None)
    return retries
