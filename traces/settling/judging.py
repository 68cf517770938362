"""A policy version as rules that summarise can ask. Versions never change, so each is made once."""

from collections.abc import Callable
from functools import lru_cache
from uuid import UUID

import msgspec

from features.checks import Subject, Text, checker_of
from features.checks.engine import Declared
from features.models import PolicyVersion
from features.policy import PolicyDocument
from features.rules import RuleFault, compile_rule
from traces.settling.inputs import Before, TraceKey
from traces.summarise import Judged, PriceList, Rules, Seen
from traces.vocabulary import Violation


class Judges:
    """The rules for the traces of one turn: those of the version that judged a trace first, else of the one in
    force now.
    """

    def __init__(self, prices: PriceList) -> None:
        self._prices = prices
        self._in_force: dict[UUID, int | None] = {}

    def rules(self, key: TraceKey, before: Before | None) -> Rules:
        feature_id = key[1]
        number = before.policy if before else None
        if number is None:
            if feature_id not in self._in_force:
                newest = PolicyVersion.objects.filter(feature_id=feature_id).order_by("-number")
                self._in_force[feature_id] = newest.values_list("number", flat=True).first()
            number = self._in_force[feature_id]
        rules = _rules(feature_id, number) if number is not None else Rules()
        return msgspec.structs.replace(rules, prices=self._prices)


@lru_cache(maxsize=512)
def _rules(feature_id: UUID, number: int) -> Rules:
    kept = PolicyVersion.objects.values_list("document", flat=True).get(feature_id=feature_id, number=number)
    policy = PolicyDocument.model_validate(kept)
    first = PolicyVersion.objects.filter(feature_id=feature_id).earliest("number").activated_at
    return Rules(
        policy=number,
        escalation_tools=frozenset(policy.traces.escalation_tools),
        disallowed=frozenset(policy.feature.disallowed),
        context_tokens=policy.limits.context_tokens,
        named=frozenset(
            {action.name for action in policy.action}.union(
                policy.feature.disallowed, policy.traces.escalation_tools
            )
        ),
        governed=frozenset(action.name for action in policy.action if action.effect != "read"),
        since=int(first.timestamp() * 1000) * 10**6,
        success=_success(policy.traces.success),
        checks=_checks(policy),
    )


def _success(text: str | None) -> Callable[[Seen], Judged] | None:
    if text is None:
        return None
    try:
        rule = compile_rule(text)
    except RuleFault as fault:
        # A version from before rules were checked: never a success, and the reason is shown.
        said = f"traces.success {fault}"
        return lambda seen: Judged(False, said)

    def judge(seen: Seen) -> Judged:
        answer = rule.ask({"trace": seen.view()})
        return Judged(answer.holds, f"traces.success: {answer.fault}" if answer.fault else None)

    return judge


def _checks(policy: PolicyDocument) -> Callable[[Seen], tuple[list[Violation], list[str]]] | None:
    if not policy.check:
        return None
    checker = checker_of(
        Declared(
            name=one.name,
            kind=one.kind,
            on=one.on,
            pattern=one.pattern,
            must_match=one.must_match,
            texts=one.texts,
            schema=one.schema_,
            rule=one.rule,
        )
        for one in policy.check
    )

    def check(seen: Seen) -> tuple[list[Violation], list[str]]:
        result = checker.run(_subject(seen))
        found = [
            Violation(rule=failure.check, span_id=failure.span_id, detail=failure.detail)
            for failure in result.failures
        ]
        return found, [f"check {fault}" for fault in result.faults]

    return check


def _subject(seen: Seen) -> Subject:
    output = seen.summary.final_output
    written = seen.written()
    if output is not None and all(text.strip() != output for text, _ in written):
        written.append((output, seen.output_span or ""))
    return Subject(
        output=None if output is None else Text(output, seen.output_span),
        texts=[Text(text, span_id or None) for text, span_id in written],
        retrieved_ids=seen.summary.retrieved_ids,
        trace=seen.view(),
    )
