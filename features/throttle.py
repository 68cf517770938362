"""How much one key may ask: a token bucket for each key in each web process.

A bucket holds a minute's worth, so that a burst passes and a loop that never ends does not.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from features.models import ApiKey

if TYPE_CHECKING:
    from rest_framework.views import APIView  # it imports the settings, which import this module

_MOST_KEYS = 10_000


class Buckets:
    """Token buckets by key; safe for threads. `a_minute` tokens come back in a minute, and that many are held."""

    def __init__(self, a_minute: int) -> None:
        self._a_minute = a_minute
        self._held: OrderedDict[UUID, tuple[float, float]] = (
            OrderedDict()
        )  # tokens, and when they were counted
        self._lock = threading.Lock()

    def take(self, key: UUID, now: float | None = None) -> int:
        """0 when the request may go on; else after how many seconds the next one may."""
        now = time.monotonic() if now is None else now
        with self._lock:
            tokens, counted = self._held.pop(key, (float(self._a_minute), now))
            tokens = min(self._a_minute, tokens + (now - counted) * self._a_minute / 60)
            goes_on = tokens >= 1
            self._held[key] = (tokens - 1 if goes_on else tokens, now)
            # The one that asked longest ago is full again, or nearly: forgetting it gives little away.
            if len(self._held) > _MOST_KEYS:
                self._held.popitem(last=False)
        return 0 if goes_on else max(1, math.ceil((1 - tokens) * 60 / self._a_minute))


buckets = Buckets(settings.KEY_REQUESTS_PER_MINUTE)


class KeyThrottle(BaseThrottle):
    """The API's limit for each key: 429 with Retry-After."""

    def __init__(self) -> None:
        self._wait = 0

    def allow_request(self, request: Request, view: APIView) -> bool:
        if isinstance(request.auth, ApiKey):
            self._wait = buckets.take(request.auth.pk)
        return not self._wait

    def wait(self) -> float:
        return self._wait
