"""How much one key may ask: a token bucket for each key, shared by all web processes of one machine.

A bucket holds a minute's worth, so that a burst passes and a loop that never ends does not. The buckets lie in a
file that the processes map: asking costs no query, and what one process gives away the others see.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from features.models import ApiKey

if TYPE_CHECKING:
    from rest_framework.views import APIView  # it imports the settings, which import this module

# A bucket: the key's ID, tokens, and when they were counted (the machine's monotonic clock, in seconds).
_BUCKET = struct.Struct("=16sdd")
_BUCKETS = 16_384
_TRIED = 8  # places where a key's bucket may lie
_NOBODY = bytes(16)


class Buckets:
    """Token buckets by key; safe for threads, and for processes that share the file. `a_minute` tokens come back in
    a minute, and that many are held.
    """

    def __init__(self, a_minute: int, shared: Path | None = None) -> None:
        self._a_minute = a_minute
        self._lock = threading.Lock()
        self._file: int | None = None
        size = _BUCKET.size * _BUCKETS
        if shared is None:
            self._held = mmap.mmap(-1, size)
        else:
            self._file = os.open(shared, os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(self._file, size)
            self._held = mmap.mmap(self._file, size)

    def take(self, key: UUID, now: float | None = None) -> int:
        """0 when the request may go on; else after how many seconds the next one may."""
        now = time.monotonic() if now is None else now
        full = float(self._a_minute)
        with self._alone():
            at, found = self._place(key.bytes)
            tokens, counted = _BUCKET.unpack_from(self._held, at)[1:] if found else (full, now)
            # What the machine's last start left, or a killed process half wrote, is as good as nothing.
            if not (0 <= tokens <= full and counted <= now):
                tokens, counted = full, now
            tokens = min(full, tokens + (now - counted) * full / 60)
            goes_on = tokens >= 1
            _BUCKET.pack_into(self._held, at, key.bytes, tokens - 1 if goes_on else tokens, now)
        return 0 if goes_on else max(1, math.ceil((1 - tokens) * 60 / full))

    def _place(self, key: bytes) -> tuple[int, bool]:
        """Where the key's bucket lies, and whether it is there; else where it may: in a free place, or in that of
        the key that asked longest ago, whose bucket is full again, or nearly.
        """
        first = int.from_bytes(key[-8:])  # the random end of a UUIDv7
        places = [(first + n) % _BUCKETS * _BUCKET.size for n in range(_TRIED)]
        oldest, oldest_counted = places[0], math.inf
        for at in places:
            holder, _, counted = _BUCKET.unpack_from(self._held, at)
            if holder == key:
                return at, True
            if holder == _NOBODY:
                counted = -math.inf
            if counted < oldest_counted:
                oldest, oldest_counted = at, counted
        return oldest, False

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Neither another thread nor another process is at the buckets. The kernel takes back a killed one's lock."""
        with self._lock:
            if self._file is None:
                yield
                return
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)


buckets = Buckets(settings.KEY_REQUESTS_PER_MINUTE, settings.STATE.folder("web") / "buckets")


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
