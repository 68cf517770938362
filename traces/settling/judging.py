"""A policy version as rules that summarise can ask. Versions never change, so each is made once."""

from functools import lru_cache
from uuid import UUID

import msgspec

from features.models import PolicyVersion
from features.policy import PolicyDocument
from traces.settling.inputs import Before, TraceKey
from traces.summarise import PriceList, Rules


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
    return Rules(
        policy=number,
        escalation_tools=frozenset(policy.traces.escalation_tools),
        disallowed=frozenset(policy.feature.disallowed),
        context_tokens=policy.limits.context_tokens,
    )
