"""How often one client may ask: a bucket of tokens for each, refilled at an even rate (a token bucket)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fakelab.errors import TooManyError

MOST_CLIENTS = 10_000


class Rates:
    """`per_s` requests a second for each client in the long run, `burst` at once. 0 lets everybody ask as they like."""

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, client: str) -> None:
        """Counts a request. Raises TooManyError, which says when there is room again."""
        if not self._per_s:
            return
        now = self._clock()
        with self._lock:
            left, at = self._buckets.pop(client, (self._burst, now))
            left = min(self._burst, left + (now - at) * self._per_s)
            # Put back at the end: the first are those that were not seen for longest.
            self._buckets[client] = (max(0.0, left - 1) if left >= 1 else left, now)
            while len(self._buckets) > MOST_CLIENTS:
                del self._buckets[next(iter(self._buckets))]
        if left < 1:
            wait_s = (1 - left) / self._per_s
            raise TooManyError("too many requests", f"at most {self._per_s:g} a second", "Ask more slowly.", wait_s)
