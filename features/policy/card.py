"""A policy as people read it: the job and the blast radius in words, beside the rules that say them exactly."""

import msgspec

from features.policy.document import Action, Budget, Check, PolicyDocument, Tier, Trigger
from features.policy.words import words_of

TIER_WORDS: dict[Tier, tuple[str, str]] = {
    "suggest": ("suggest", "It suggests; nothing that it proposes runs."),
    "draft": ("draft", "It drafts; a person may propose a draft as their own request."),
    "execute_with_approval": ("execute with approval", "Every action but a read waits for a person."),
    "execute_under_threshold": (
        "execute under threshold",
        "It acts alone where a rule says so; everything else waits for a person.",
    ),
}
_PII_WORDS = {
    "drop": "replaced by tokens, the originals dropped",
    "tokenise": "replaced by tokens, the originals sealed in the vault",
    "keep": "kept in the clear",
}


class ActionLine(msgspec.Struct, frozen=True):
    """One action: what it does alone, what a person decides, within what."""

    name: str
    effect: str
    classes: tuple[str, ...]
    answer: str  # what happens when the agent asks
    rule: str | None  # the expression under which it acts alone
    words: str | None  # the same in words, where it has any
    approval: str | None
    bounds: list[tuple[str, str]]  # words and the expression or figure behind them


class Card(msgspec.Struct, frozen=True):
    """The whole card."""

    task: str
    tier: str
    meaning: str
    actions: list[ActionLine]
    disallowed: tuple[str, ...]
    facts: list[tuple[str, str]]


def card_of(document: PolicyDocument) -> Card:
    """The card of a policy."""
    job, traces, limits = document.feature, document.traces, document.limits
    tier, meaning = TIER_WORDS[job.tier]
    facts = [
        ("Personal data", _PII_WORDS[traces.pii]),
        ("Traces kept", f"{traces.retention_days} days"),
        ("Context budget", f"{limits.context_tokens:,} tokens" if limits.context_tokens else "none"),
        ("Retries", str(limits.retries) if limits.retries is not None else "no cap"),
        ("After a rejection", f"the same is denied for {limits.quiet_period}"),
        (
            "Weekly sample",
            f"{document.reviews.sample} requests, {document.reviews.double_graded:.0%} graded by two",
        ),
    ]
    if traces.escalation_tools:
        facts.append(("Hands over with", ", ".join(traces.escalation_tools)))
    if traces.success:
        facts.append(("Success is", traces.success))
    if traces.patterns:
        facts.append(("Own patterns", ", ".join(traces.patterns)))
    facts += [("Check", check_words(one)) for one in document.check]
    facts += [("Trigger", trigger_words(one)) for one in document.trigger]
    return Card(
        job.task, tier, meaning, [_line(one, job.tier) for one in document.action], job.disallowed, facts
    )


def _line(action: Action, of_feature: Tier) -> ActionLine:
    tier = action.tier or of_feature
    answer, rule, waits = _answer(action, tier)
    approval = None
    if waits:
        people = "one" if action.quorum == 1 else str(action.quorum)
        approval = f"{people} {action.approvers.replace('_', '-')} within {action.ttl}"
    bounds = [(f"at most {_budget(one)}", one.cost or "") for one in action.budget]
    if action.once_per:
        bounds.append(("once per", action.once_per))
    if action.schema_ is None and action.effect != "read":
        bounds.append(("takes no arguments", ""))
    words = words_of(rule) if rule else None
    if words == "always":
        answer, words = "always runs alone", None
    return ActionLine(action.name, action.effect, action.classes, answer, rule, words, approval, bounds)


def _answer(action: Action, tier: Tier) -> tuple[str, str | None, bool]:
    """(what happens when the agent asks, its rule, whether a person may have to decide)."""
    if action.effect == "read":
        return "runs, no decision needed", None, False
    if tier == "suggest":
        return "never runs", None, False
    if tier == "draft":
        return "kept as a draft", None, False
    if action.effect == "irreversible":
        return "always needs approval", None, True
    if tier == "execute_with_approval" or action.under is None:
        return "needs approval", None, True
    return "runs alone when", action.under, True


def _budget(budget: Budget) -> str:
    what = budget.limit if budget.cost else f"{budget.limit} times"
    whose = "each subject" if budget.by == "subject" else "the feature"
    article = "an" if budget.per == "hour" else "a"
    return f"{what} {article} {budget.per} for {whose}"


def check_words(check: Check) -> str:
    """`no-cards: the output must not match [0-9]{16}`."""
    whose = "the output" if check.on == "output" else "what the agent writes"
    words = {
        "pattern": f"{whose} must {'' if check.must_match else 'not '}match {check.pattern}",
        "json_schema": "the output is JSON of its schema",
        "forbidden_text": f"{whose} holds none of: {', '.join(check.texts[:5])}",
        "required_citation": "the output cites what was retrieved",
        "cel": check.rule or "",
    }
    more = f" and {len(check.texts) - 5} more" if len(check.texts) > 5 else ""
    return f"{check.name}: {words[check.kind]}{more}"


def trigger_words(trigger: Trigger) -> str:
    """`tool failure above the baseline by 0.02 over 10m (n 200 at least): roll back`."""
    bounds = (
        ("above", trigger.above),
        ("below", trigger.below),
        ("above the baseline by", trigger.above_baseline),
        ("below the baseline by", trigger.below_baseline),
    )
    words, bound = next((words, bound) for words, bound in bounds if bound is not None)
    return (
        f"{trigger.metric.replace('_', ' ')} {words} {bound:g} over {trigger.window}"
        f" (n {trigger.min_n} at least): {trigger.then.replace('_', ' ')}"
    )
