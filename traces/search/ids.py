"""IDs typed into the search line: what they name, whatever the time and the feature, or why they name nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from django.db import connection

from features.models import Feature
from traces.models import FactRow, IngestReceipt, Reveal, Trace
from traces.queries import is_settling, locate
from traces.redaction_key import redactor_for
from traces.search.compiled import lexeme

__all__ = ["Absence", "Named", "absence", "looks_like_id", "named"]

MAX_ID: Final = 300
_HEX: Final = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{16}")
_MOST: Final = 50


@dataclass(frozen=True, slots=True)
class Named:
    """What an ID names: traces, newest first. A session may name many; the others open the newest."""

    kind: Literal["trace", "span", "session"]
    traces: list[Trace]
    span: str | None = None


@dataclass(frozen=True, slots=True)
class Absence:
    """Why an ID names nothing that one may see."""

    why: Literal["settling", "past_retention", "refused", "unknown"]
    feature: Feature | None = None
    receipts: list[IngestReceipt] = field(default_factory=list)


def looks_like_id(text: str) -> bool:
    """Whether the text has the form of a trace ID or a span ID."""
    return bool(_HEX.fullmatch(text))


def named(features: Sequence[Feature], text: str) -> Named | None:
    """What the text names as a trace ID, request ID, span ID or session ID, in this order."""
    text = text.replace("\x00", "").strip()
    if not text or len(text) > MAX_ID or not features:
        return None
    if found := locate(features, text):
        return Named("trace", found)
    mine = Trace.objects.filter(feature_id__in=[one.pk for one in features]).select_related("feature")
    if len(text) == 16 and looks_like_id(text) and (found := _by_span(features, text)):
        return Named("span", found, text.lower())
    spelt = sorted({text, *(redactor_for(one.pk).redact_text(text)[0] for one in features)})
    in_session = mine.filter(session_id__in=spelt).order_by("-started_at", "-trace_id")[:_MOST]
    return Named("session", list(in_session)) if in_session else None


def _by_span(features: Sequence[Feature], span_id: str) -> list[Trace]:
    ids = [one.pk for one in features]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT trace_id, feature_id FROM search_document "
            "WHERE feature_id = ANY(%s::uuid[]) AND terms @@ %s::tsquery LIMIT 10",
            [ids, lexeme("span", span_id)],
        )
        keys = [(bytes(trace_id), feature_id) for trace_id, feature_id in cursor.fetchall()]
    found = [trace for key in keys for trace in Trace.objects.filter(pk=key).select_related("feature")]
    return sorted(found, key=lambda trace: trace.started_at, reverse=True)


def absence(features: Sequence[Feature], text: str) -> Absence:
    """Why nothing has this ID: it is still being settled, its spans are past retention, bodies were refused in the
    last day, or nobody knows it.
    """
    for one in features:
        if is_settling([one], text):
            return Absence("settling", one)
    ids = [one.pk for one in features]
    if looks_like_id(text) and len(text) == 32:
        trace_id = bytes.fromhex(text)
        known = FactRow.objects.filter(feature_id__in=ids, trace_id=trace_id).exists()
        if known or Reveal.objects.filter(feature_id__in=ids, trace_id=trace_id).exists():
            return Absence("past_retention")
    refused = IngestReceipt.objects.filter(feature_id__in=ids).exclude(reason="").select_related("feature")
    latest = list(refused.order_by("-at", "-id")[:5])
    return Absence("refused" if latest else "unknown", receipts=latest)
