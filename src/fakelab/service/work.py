"""What a worker does with a job: fetch its file if it is a link, analyse it, keep the run, make a copy that plays.

Each step may be done twice, when the process was killed in the middle of it, and leaves one result.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fakelab.errors import DamagedMediaError, EnvironmentBrokenError, FakeLabError
from fakelab.reports.json_report import error_document, rfc3339
from fakelab.service.copies import make_copies
from fakelab.service.engine import Answer, Engine, EngineLostError, Order, StoppedError
from fakelab.service.history import History
from fakelab.service.jobs import DONE, FAILED, Job, Jobs
from fakelab.service.recipe import recipe_of_document, recipe_of_settings
from fakelab.settings import Settings, changed

TELL_S = 0.5
"""Progress is written down at most this often."""
log = logging.getLogger("fakelab.work")


@dataclass
class Workshop:
    """What jobs are done with: the history, some engines, the settings. `worker` names this process in the jobs."""

    history: History
    settings: Settings
    worker: str
    engines: int = 1
    _free: queue.SimpleQueue[Engine] = field(default_factory=queue.SimpleQueue)
    _all: list[Engine] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.history)
        for _ in range(self.engines):
            engine = Engine()
            self._all.append(engine)
            self._free.put(engine)

    def close(self) -> None:
        """Ends the engines and downloads, and with them what they are doing."""
        self._stopping.set()
        for engine in self._all:
            engine.stop()

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """An engine for as long as it is needed."""
        engine = self._free.get()
        try:
            yield engine
        finally:
            self._free.put(engine)

    # -- the steps ---------------------------------------------------------------------------------------------

    def analyse(self, job_id: str, turn: int) -> str:
        """Does a job: its run is in the history afterwards, or it failed with a reason. Returns its new state."""
        try:
            job = self.jobs.begin(job_id, turn, self.worker)
            if job is None:
                return self._outcome(job_id, turn)
            if job.url and not job.place:
                job = self._fetched(job)
            answer = self._answer(job)
            if answer is not None:
                _check_same(job, answer)
        except EnvironmentBrokenError:
            # The machine's fault, not the file's: the queue tries again, as often as a job is begun.
            raise
        except FakeLabError as error:
            if not self._wanted(job_id, turn):
                return "cancelled"
            log.info("job %s failed: %s", job_id, error.code)
            self._failed(self.jobs.get(job_id), error)
            return "failed"
        if answer is None or not self._wanted(job_id, turn):
            return "cancelled"
        self._keep(self.jobs.get(job_id), answer)
        self.jobs.finish(job_id)
        return "done"

    def copy(self, job_id: str) -> bool:
        """Makes what the page's player needs beside the file; whether all of it could be made."""
        job = self.jobs.find(job_id)
        if job is None or job.state != "done":
            return False
        file = self.history.document(job_id)["file"]
        return make_copies(self.history.media_of(job_id), job.place, file, self.settings)

    def _wanted(self, job_id: str, turn: int) -> bool:
        job = self.jobs.find(job_id)
        return job is not None and job.open and job.round == turn

    def _outcome(self, job_id: str, turn: int) -> str:
        """The state of a job that was finished before this process was killed and could say so; else empty."""
        job = self.jobs.find(job_id)
        return job.state if job is not None and job.round == turn and job.state in (DONE, FAILED) else ""

    # -- inside ------------------------------------------------------------------------------------------------

    def _answer(self, job: Job) -> Answer | None:
        threads = self.settings.threads or max(1, (os.cpu_count() or 1) // self.engines)
        order = Order(
            place=job.place,
            name=job.name,
            choices={**self.settings.model_dump(), "threads": threads, **job.choices},
            keep_faces=self.settings.keep_faces,
        )
        last = 0.0

        def tell(stage: str, done: int, total: int | None) -> bool:
            nonlocal last
            now = time.monotonic()
            if now - last < TELL_S:
                return True
            last = now
            return self.jobs.progress(job.id, stage, done, total)

        with self.engine() as engine:
            try:
                return engine.ask(order, tell)
            except EngineLostError:
                # Once more, in a process of its own: the machine may have been short of memory for a moment.
                return engine.ask(order, tell)

    def _fetched(self, job: Job) -> Job:
        from fakelab.media.download import NotWantedError, download

        def wanted() -> bool:
            if self._stopping.is_set():
                raise StoppedError
            return self._wanted(job.id, job.round) and self.jobs.progress(job.id, "fetch", 0, None)

        self.jobs.progress(job.id, "fetch", 0, None)
        folder = self.history.media_of(job.id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            place = download(job.url, folder, "download", most_bytes=self.settings.upload_mb << 20, wanted=wanted)
        except NotWantedError:
            now = self.jobs.find(job.id)
            if now is None or now.round == job.round:  # else it was put back, and goes on from what is here
                shutil.rmtree(folder, ignore_errors=True)
            raise
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        recipe = recipe_of_settings(digest, changed(self.settings, **job.choices))
        size = place.stat().st_size
        self.jobs.place(job.id, place, name=job.name or place.name, size_bytes=size, sha256=digest, recipe=recipe)
        return self.jobs.get(job.id)

    def _keep(self, job: Job, answer: Answer) -> None:
        self.history.add_document(
            answer.document,
            run_id=job.id,
            recipe=recipe_of_document(answer.document),
            actor=job.actor,
            acquired=job.acquired,
            owner=job.owner,
            ended=rfc3339(datetime.now(UTC)),
            place=job.place,
            phash=answer.phash,
            artifacts=answer.files,
        )

    def _failed(self, job: Job, error: FakeLabError) -> None:
        shown = _without_folder(error, self.history.media_of(job.id))
        doc = error_document(job.name, job.name, shown.code, shown.what, shown.why, shown.do)
        if job.sha256:
            # It could not be read as media; its bytes are known all the same.
            doc["file"] |= {"sha256": job.sha256, "size_bytes": job.size_bytes}
            for known in ("sha256", "size_bytes"):
                doc["file"]["reason"].pop(known, None)
        self.history.add_document(
            doc,
            run_id=job.id,
            actor=job.actor,
            acquired=job.acquired,
            owner=job.owner,
            ended=rfc3339(datetime.now(UTC)),
            place=job.place,
        )
        self.jobs.fail(job.id, shown)


def _check_same(job: Job, answer: Answer) -> None:
    if job.sha256 and answer.document["file"]["sha256"] != job.sha256:
        raise DamagedMediaError(
            f"'{job.name}' was altered after it came in", "its SHA-256 is another now", "Hand it in again."
        )


def _without_folder(error: FakeLabError, folder: Path) -> FakeLabError:
    """The error without the place on this machine where the file was kept."""
    parts = [part.replace(f"{folder}{os.sep}", "") for part in (error.what, error.why, error.do)]
    return type(error)(*parts)
