"""The log of events, each bound to the one before by a hash: what was taken out, put in or changed later shows.

An event's hash is the SHA-256 of its canonical JSON, which holds the hash of the event before. The hash of the last
event (the head) is printed in every report, so that the log up to that moment cannot be rewritten without the reports
telling of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

START = "0" * 64
"""What the first event names as the one before."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log. `seq` counts from 1 without a gap; `at` is RFC 3339 in UTC; `run` may be empty."""

    seq: int
    at: str
    actor: str
    action: str
    """created, viewed, exported, re-run, reviewed, deleted, ..."""
    run: str
    detail: dict[str, Any]
    before: str
    """The hash of the event before."""

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal."""
        return sha256_of_json(asdict(self))


def canonical(value: Any) -> bytes:
    """The one way to write a value as JSON: sorted keys, no spaces, UTF-8. Raises ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_of_json(value: Any) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def first_break(events: Iterable[tuple[Event, str]]) -> str | None:
    """What is wrong with the first event that does not fit, or None. Takes (event, stored hash) in order."""
    before = START
    for seq, (event, stored) in enumerate(events, start=1):
        if event.seq != seq:
            return f"event {seq} is missing: event {event.seq} stands in its place"
        if event.before != before:
            return f"event {seq} does not follow the event before it"
        if event.hash != stored:
            return f"event {seq} ({event.action}) was altered"
        before = stored
    return None
