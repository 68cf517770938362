"""The addresses of the requests behind figures."""

from collections.abc import Mapping
from urllib.parse import urlencode

from django.urls import reverse

from features.models import Feature
from traces.search.state import line_of
from traces.terms import MAX_VALUE


def traces_url(feature: Feature, window: Mapping[str, str], **filters: str) -> str:
    """The address of the requests behind a figure: the feature's list over a window (`Window.query`), narrowed by any
    key of the search line (`outcome="failed"`), by `violation`, `tool_error` or `incomplete` = "1", by `q` as it
    stands; `order` chooses the order.
    """
    order = filters.pop("order", "")
    # A lexeme holds no more of a value, so what is cut is not compared.
    line = line_of({name: value if name == "q" else value[:MAX_VALUE] for name, value in filters.items()})
    query = {**({"q": line} if line else {}), **window, **({"order": order} if order else {})}
    return f"{reverse('feature_traces', args=[feature.slug])}?{urlencode(query)}"
