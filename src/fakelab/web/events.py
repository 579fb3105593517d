"""What changes, told to the pages that look on: one look at the database for all of them, twice a second."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.concurrency import run_in_threadpool

from fakelab.errors import FakeLabError
from fakelab.reports.json_report import rfc3339
from fakelab.service.jobs import Job, Jobs

LOOK_S = 0.5
ALIVE_S = 15.0
"""A line is sent at least this often, so that nobody on the way takes the silence for the end."""
_OVERLAP = timedelta(seconds=2)
"""Changes are looked for a little into the past: other workers' clocks, and rows that were committed late."""
_MOST_WAITING = 256


class Hub:
    """Tells subscribers of the jobs of their desk. Lives in one event loop."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._subscribers: dict[asyncio.Queue[Job | None], tuple[str, str]] = {}
        self._task: asyncio.Task[None] | None = None
        self.closing = False

    async def close(self) -> None:
        """Ends every stream, so that the server can stop."""
        self.closing = True
        for queue in list(self._subscribers):
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(None)
        if self._task:
            self._task.cancel()

    async def stream(self, *, owner: str, job: str = "") -> AsyncIterator[str]:
        """Server-sent events of this desk's jobs, or of one job, which end with it."""
        queue: asyncio.Queue[Job | None] = asyncio.Queue(_MOST_WAITING)
        self._subscribers[queue] = (owner, job)
        if self._task is None or self._task.done() or self._task.get_loop() is not asyncio.get_running_loop():
            self._task = asyncio.create_task(self._look())
        try:
            yield ": here\n\n"
            if job:
                found = await run_in_threadpool(self._jobs.find, job, owner=owner)
                if found is not None:
                    yield as_event(found)
                if found is None or not found.open:
                    return
            while not self.closing:
                try:
                    each = await asyncio.wait_for(queue.get(), ALIVE_S)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if each is None:
                    return
                yield as_event(each)
                if job and not each.open:
                    return
        finally:
            self._subscribers.pop(queue, None)

    async def _look(self) -> None:
        since = datetime.now(UTC)
        told: dict[str, str] = {}
        while self._subscribers and not self.closing:
            await asyncio.sleep(LOOK_S)
            now = datetime.now(UTC)
            try:
                changed = await run_in_threadpool(self._jobs.changed_since, rfc3339(since - _OVERLAP))
            except FakeLabError:
                continue
            fresh = [each for each in changed if told.get(each.id) != each.changed]
            told = {each.id: each.changed for each in changed}
            since = now
            for each in fresh:
                for queue, (owner, job) in list(self._subscribers.items()):
                    if each.owner == owner and job in ("", each.id):
                        if queue.full():
                            # A reader who is that slow misses steps, and sees the newest.
                            queue.get_nowait()
                        queue.put_nowait(each)


def as_event(job: Job) -> str:
    """A job as a server-sent event."""
    return f"event: job\ndata: {json.dumps(shown(job), separators=(',', ':'))}\n\n"


def shown(job: Job) -> dict[str, Any]:
    """A job as clients see it: without where its file lies, and without what its owner's settings are."""
    return {
        "id": job.id,
        "name": job.name,
        "state": job.state,
        "stage": job.stage,
        "done": job.done,
        "total": job.total,
        "size_bytes": job.size_bytes,
        "sha256": job.sha256 or None,
        "error": job.error or None,
        "created": job.created,
        "started": job.started or None,
        "ended": job.ended or None,
    }
