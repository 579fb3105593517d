"""Analyses that were asked for: from the moment a file is handed in until its run is in the history, or it failed.

A job and its run share their identifier, so that an analysis has one address from the start. Jobs are rows of the
history's database, so that every server and worker sees the same ones; `fakelab.service.queue` decides who does them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update

from fakelab.errors import ConflictError, FakeLabError, UnknownNameError
from fakelab.reports.json_report import rfc3339
from fakelab.service.database import JobRow
from fakelab.service.history import History, new_id

WAITING, RUNNING, DONE, FAILED, CANCELLED = STATES = ("waiting", "running", "done", "failed", "cancelled")
OPEN = (WAITING, RUNNING)
MOST_ATTEMPTS = 6
"""How often a job is begun when the process that does it is killed each time; then the file is to blame."""


@dataclass(frozen=True, slots=True)
class Job:
    """An analysis that was asked for, as pages and workers see it."""

    id: str
    owner: str
    actor: str
    acquired: str
    name: str
    place: str
    url: str
    size_bytes: int | None
    sha256: str
    choices: dict[str, Any]
    state: str
    stage: str
    done: int
    total: int | None
    error: dict[str, str]
    """code, what, why, do; empty while nothing failed."""
    created: str
    started: str
    ended: str
    changed: str
    round: int
    attempts: int
    worker: str
    webhook: str
    recipe: str = ""
    repeats: str = ""
    batch: str = ""

    @property
    def open(self) -> bool:
        """Whether it still waits or runs."""
        return self.state in OPEN


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client hands in. `place` is the file, or `url` a link to it; `id` that of the folder it was put in."""

    name: str
    owner: str
    actor: str
    acquired: str
    place: str = ""
    url: str = ""
    size_bytes: int | None = None
    sha256: str = ""
    recipe: str = ""
    choices: Mapping[str, Any] = field(default_factory=dict)
    request_key: str = ""
    request_hash: str = ""
    webhook: str = ""
    id: str = ""
    repeats: str = ""
    batch: str = ""


class Jobs:
    """The jobs of a history. Every method raises EnvironmentBrokenError where the database does not answer."""

    def __init__(self, history: History) -> None:
        self.history = history

    # -- asked for ---------------------------------------------------------------------------------------------

    def add(self, asked: Asked) -> Job:
        """A new job, waiting. Raises UsageError where `choices` cannot be used."""
        now = _now()
        row = JobRow(
            **{name: getattr(asked, name) for name in ("owner", "actor", "acquired", "name", "place", "url")},
            **{
                name: getattr(asked, name)
                for name in ("size_bytes", "sha256", "recipe", "request_key", "webhook", "repeats", "batch")
            },
            id=asked.id or new_id(),
            request_hash=asked.request_hash,
            choices=json.dumps(dict(asked.choices), sort_keys=True),
            state=WAITING,
            stage="",
            done=0,
            total=None,
            error="",
            created=now,
            started="",
            ended="",
            changed=now,
            round=1,
            attempts=0,
            worker="",
        )
        made = _job(row)
        with self.history.writing() as session:
            session.add(row)
        return made

    def of_request(self, key: str, request_hash: str, *, owner: str) -> Job | None:
        """The job that this owner's key made before. Raises ConflictError if that request asked for something else."""
        if not key:
            return None
        query = select(JobRow).where(JobRow.owner == owner, JobRow.request_key == key)
        with self.history.reading() as session:
            row = session.scalar(query.limit(1))
        if row is not None and row.request_hash != request_hash:
            raise ConflictError(
                "this Idempotency-Key was used for another request", "", "Take a new key for each new request."
            )
        return _job(row) if row else None

    def under_way(self, recipe: str, *, owner: str) -> Job | None:
        """A job of this owner that already waits or runs for the same file asked the same way."""
        query = select(JobRow).where(JobRow.recipe == recipe, JobRow.owner == owner, JobRow.state.in_(OPEN))
        with self.history.reading() as session:
            row = session.scalar(query.limit(1)) if recipe else None
            return _job(row) if row else None

    # -- read --------------------------------------------------------------------------------------------------

    def get(self, job: str, *, owner: str = "") -> Job:
        """The job with this identifier. Raises UnknownNameError, also for a job of somebody else."""
        found = self.find(job, owner=owner)
        if found is None:
            raise not_there()
        return found

    def find(self, job: str, *, owner: str = "") -> Job | None:
        """The job with this identifier, if there is one and it is this owner's."""
        with self.history.reading() as session:
            row = session.get(JobRow, job)
        return None if row is None or (owner and row.owner != owner) else _job(row)

    def recent(self, *, owner: str, limit: int = 50) -> list[Job]:
        """Jobs, newest first."""
        query = select(JobRow).where(JobRow.owner == owner).order_by(JobRow.created.desc(), JobRow.id).limit(limit)
        with self.history.reading() as session:
            return [_job(row) for row in session.scalars(query)]

    def of_batch(self, batch: str, *, owner: str) -> list[Job]:
        """The jobs of one request to do many again, in its order."""
        query = select(JobRow).where(JobRow.batch == batch, JobRow.owner == owner).order_by(JobRow.created, JobRow.id)
        with self.history.reading() as session:
            return [_job(row) for row in session.scalars(query)] if batch else []

    def repeating(self, run: str, *, owner: str) -> list[Job]:
        """The jobs that do this run again, newest first."""
        query = select(JobRow).where(JobRow.repeats == run, JobRow.owner == owner)
        with self.history.reading() as session:
            return [_job(row) for row in session.scalars(query.order_by(JobRow.created.desc(), JobRow.id))]

    def changed_since(self, moment: str) -> list[Job]:
        """Jobs of all owners that changed at or after this moment (RFC 3339), in the order of their change."""
        query = select(JobRow).where(JobRow.changed >= moment).order_by(JobRow.changed)
        with self.history.reading() as session:
            return [_job(row) for row in session.scalars(query)]

    def waiting_before(self, job: Job) -> int:
        """How many jobs of anybody stand before this one in the queue."""
        query = select(func.count()).where(JobRow.state == WAITING, JobRow.created < job.created)
        with self.history.reading() as session:
            return session.scalar(query) or 0

    def counts(self, *, owner: str = "") -> dict[str, int]:
        """How many jobs there are in each state."""
        query = select(JobRow.state, func.count()).group_by(JobRow.state)
        with self.history.reading() as session:
            found = dict(session.execute(query.where(JobRow.owner == owner) if owner else query).all())
        return {state: found.get(state, 0) for state in STATES}

    def open_ones(self) -> list[Job]:
        """Every job that waits or runs, oldest first."""
        query = select(JobRow).where(JobRow.state.in_(OPEN)).order_by(JobRow.created)
        with self.history.reading() as session:
            return [_job(row) for row in session.scalars(query)]

    # -- done --------------------------------------------------------------------------------------------------

    def begin(self, job: str, turn: int, worker: str) -> Job | None:
        """Marks that `worker` begins this round of a job; None where it is over, cancelled, or in a later round."""
        found = self.find(job)
        if found is None or not found.open or found.round != turn:
            return None
        now = _now()
        begun = found.attempts + 1
        self._set(
            job,
            state=RUNNING,
            stage="open",
            done=0,
            total=None,
            attempts=begun,
            worker=worker,
            started=found.started or now,
            only_if=OPEN,
        )
        if begun > MOST_ATTEMPTS:
            raise FakeLabError(
                f"'{found.name}' cannot be analysed",
                f"the process that analysed it was stopped {MOST_ATTEMPTS} times",
                "Look into the server's log; try the file with `fakelab analyze`.",
            )
        return self.get(job)

    def progress(self, job: str, stage: str, done: int, total: int | None) -> bool:
        """Writes down how far a job is; False where it is no longer wanted."""
        return self._set(job, stage=stage, done=done, total=total, only_if=(RUNNING,))

    def place(self, job: str, place: Path, *, name: str, size_bytes: int, sha256: str, recipe: str) -> bool:
        """Writes down where the file behind a link now lies."""
        values = {"place": str(place), "name": name, "size_bytes": size_bytes, "sha256": sha256, "recipe": recipe}
        return self._set(job, **values, only_if=(RUNNING,))

    def finish(self, job: str) -> None:
        """The run of this job is in the history."""
        self._set(job, state=DONE, stage="done", ended=_now(), only_if=(RUNNING,))

    def fail(self, job: str, error: FakeLabError) -> None:
        """The file could not be analysed, and will not be tried again by itself."""
        told = {"code": error.code, "what": error.what, "why": error.why, "do": error.do}
        self._set(job, state=FAILED, stage="done", error=json.dumps(told), ended=_now(), only_if=OPEN)

    def cancel(self, job: str, *, owner: str = "", actor: str) -> Job:
        """Takes a job out of the queue, or stops it. Raises ConflictError if it is over."""
        found = self.get(job, owner=owner)
        if not found.open or not self._set(job, state=CANCELLED, stage="done", ended=_now(), only_if=OPEN):
            raise ConflictError(f"'{found.name}' cannot be cancelled", "it is over", "Delete its record, if you want.")
        self.history.note(actor, "cancelled", job, name=found.name)
        return self.get(job)

    def again(self, job: str, *, owner: str = "", actor: str) -> Job:
        """Puts a cancelled job back into the queue. Raises ConflictError for any other."""
        found = self.get(job, owner=owner)
        fresh = {"state": WAITING, "stage": "", "error": "", "started": "", "ended": "", "attempts": 0}
        if not self._set(job, **fresh, round=found.round + 1, only_if=(CANCELLED,)):
            raise ConflictError(f"'{found.name}' cannot be put back", f"it is {found.state}", "Hand the file in again.")
        self.history.note(actor, "retried", job, name=found.name)
        return self.get(job)

    def prune_cancelled(self, before: str, *, actor: str) -> int:
        """Takes away cancelled jobs, with their files, that ended before this time; how many. Each is in the log."""
        query = select(JobRow.id).where(JobRow.state == CANCELLED, JobRow.ended < before)
        with self.history.reading() as session:
            old = list(session.scalars(query))
        for each in old:
            self.forget(each)
            self.history.note(actor, "deleted", each, why=f"retention: cancelled before {before}")
        return len(old)

    def forget(self, job: str) -> None:
        """Takes a job without a run away, with its file."""
        import shutil

        from sqlalchemy import delete

        with self.history.writing() as session:
            session.execute(delete(JobRow).where(JobRow.id == job))
        shutil.rmtree(self.history.media_of(job), ignore_errors=True)

    def _set(self, job: str, *, only_if: Sequence[str] = (), **values: Any) -> bool:
        change = update(JobRow).where(JobRow.id == job).values(changed=_now(), **values)
        with self.history.writing() as session:
            done = session.execute(change.where(JobRow.state.in_(only_if)) if only_if else change)
            return bool(done.rowcount)  # type: ignore[attr-defined]


def not_there() -> UnknownNameError:
    """The error for an analysis that is not there, or not for whoever asks: which of the two is not said."""
    return UnknownNameError("there is no such analysis", "", "It may have been deleted, or belong to another desk.")


def _now() -> str:
    return rfc3339(datetime.now(UTC))


def _job(row: JobRow) -> Job:
    plain = [name for name in Job.__slots__ if name not in ("choices", "error")]
    return Job(
        **{name: getattr(row, name) for name in plain},
        choices=json.loads(row.choices),
        error=json.loads(row.error) if row.error else {},
    )
