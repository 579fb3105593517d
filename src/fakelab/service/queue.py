"""Who does the jobs, and that each is done: a durable queue by DBOS, on the history's database or beside it.

With SQLite the queue lives in the data folder, and the server does the jobs itself. With PostgreSQL any number of
`fakelab worker` processes take jobs from the same queue. What was being done when a process was killed is begun anew
when a process of the same name comes back, or when `fakelab worker recover NAME` hands it to the others.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from fakelab.errors import EnvironmentBrokenError, UsageError
from fakelab.service.history import History
from fakelab.service.jobs import Job
from fakelab.service.work import Workshop

if TYPE_CHECKING:
    from dbos import Queue

QUEUE = "analyses"
TELL_QUEUE = "told"
TELLERS = 4
FILE_NAME = "queue.sqlite3"
LOCK_NAME = "server.lock"
PROTOCOL = "1"
"""What a waiting job consists of. The same over versions of FakeLab, so that an upgrade loses no job."""
LOOK_S = 0.3
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
log = logging.getLogger("fakelab.queue")


def default_name() -> str:
    """The name of this machine, as a worker's name must be."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "worker"


def default_jobs(cores: int | None = None, memory_bytes: int | None = None) -> int:
    """How many files are analysed at once: one for two cores, and 2 GB of memory each; at least one."""
    cores = cores or os.cpu_count() or 1
    if memory_bytes is None:
        try:
            memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (ValueError, OSError, AttributeError):
            memory_bytes = 4 << 30
    return max(1, min(cores // 2, memory_bytes // (2 << 30)))


class JobQueue:
    """The queue, as one process takes part in it. `workshop` is None in a process that only puts jobs in.

    Only one in a process, since DBOS is one.
    """

    def __init__(self, history: History, name: str, workshop: Workshop | None) -> None:
        if not _NAME.fullmatch(name):
            raise UsageError(f"a worker cannot be called '{name}'", "", "Use letters, digits, dots and hyphens.")
        self.history, self.name, self.workshop = history, name, workshop
        self._lock: Any = None
        self._workflow: Callable[[str, int], str] | None = None
        self._queue: Queue | None = None
        self.hooks: list[Callable[[Job], object]] = []
        """Called with each job that is over, in the worker."""

    def start(self) -> None:
        """Begins to take jobs; those that were being done when a process of this name was killed come first.

        Raises EnvironmentBrokenError if another live process has this name.
        """
        from dbos import DBOS

        self._take_name()
        _quiet()
        DBOS(
            config={
                "name": "fakelab",
                "system_database_url": self._url(),
                "application_version": PROTOCOL,
                "executor_id": self.name,
                "log_level": "ERROR",
                "enable_otlp": False,
                "notification_listener_polling_interval_sec": LOOK_S,
            }
        )
        # DBOS marks what it is given, which a method does not allow.
        # What fails because of the machine (a database that is busy, a full disk) is tried again for some minutes.
        again: Any = {"retries_allowed": True, "max_attempts": 10, "interval_seconds": 2.0, "backoff_rate": 1.6}
        analyse = DBOS.step(name="analyse", **again)(lambda job_id, turn: self._analyse(job_id, turn))
        copy = DBOS.step(name="copy")(lambda job_id: self._copy(job_id))
        tell = DBOS.step(name="tell")(lambda job_id: self._tell(job_id))

        def told(job_id: str) -> None:
            tell(job_id)

        tell_flow = DBOS.workflow(name="tell", max_recovery_attempts=1000)(told)

        def job(job_id: str, turn: int) -> str:
            state: str = analyse(job_id, turn)
            if state:
                # Waits between its attempts, and must not keep a place where files are analysed meanwhile.
                DBOS.enqueue_workflow(TELL_QUEUE, tell_flow, job_id)
            if state == "done":
                copy(job_id)
            return state

        self._workflow = DBOS.workflow(name="job", max_recovery_attempts=1000)(job)
        if self.workshop is None:
            DBOS.listen_queues([])
        DBOS.launch()
        most = self.workshop.engines if self.workshop else 1
        # The row is everybody's: who only puts jobs in must not tell the workers how many to take.
        keep: Any = "always_update" if self.workshop else "never_update"
        self._queue = DBOS.register_queue(QUEUE, worker_concurrency=most, polling_interval_sec=LOOK_S, on_conflict=keep)
        DBOS.register_queue(TELL_QUEUE, worker_concurrency=TELLERS, polling_interval_sec=LOOK_S)
        self.put_lost_ones()

    def put(self, job: Job) -> None:
        """Hands a job to whoever is free. Doing so twice does no harm."""
        from dbos import SetWorkflowID

        assert self._queue is not None and self._workflow is not None
        with SetWorkflowID(f"{job.id}.{job.round}"):
            self._queue.enqueue(self._workflow, job.id, job.round)

    def cancel(self, job: Job) -> None:
        """Takes a job that was cancelled out of the queue; whoever does it notices within a second."""
        from dbos import DBOS

        DBOS.cancel_workflow(f"{job.id}.{job.round}")

    def recover(self, name: str) -> int:
        """Hands the unfinished jobs of a worker that is gone to the others; how many. Raises if it is alive."""
        from dbos import DBOS

        if not self._is_free(name):
            raise UsageError(f"worker '{name}' is alive", "", "Stop it first; two must not do the same job.")
        pending = DBOS.list_workflows(status=["PENDING"], executor_id=name)
        for each in pending:
            DBOS.resume_workflow(each.workflow_id, queue_name=QUEUE)
        return len(pending)

    def close(self) -> None:
        """Stops taking jobs. What is being done is begun anew at the next start."""
        from dbos import DBOS

        if self.workshop is not None:
            self.workshop.close()
        DBOS.destroy(destroy_registry=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # -- inside ------------------------------------------------------------------------------------------------

    def _analyse(self, job_id: str, turn: int) -> str:
        assert self.workshop is not None
        return self.workshop.analyse(job_id, turn)

    def _copy(self, job_id: str) -> bool:
        assert self.workshop is not None
        return self.workshop.copy(job_id)

    def _tell(self, job_id: str) -> None:
        assert self.workshop is not None
        job = self.workshop.jobs.find(job_id)
        for hook in self.hooks if job else ():
            assert job is not None
            hook(job)

    def put_lost_ones(self) -> None:
        """Jobs that were written down, and not yet put into the queue when the server was killed."""
        from fakelab.service.jobs import WAITING, Jobs

        for job in Jobs(self.history).open_ones():
            if job.state == WAITING:
                self.put(job)

    def _url(self) -> str:
        url = self.history.engine.url
        if url.get_backend_name() == "sqlite":
            return f"sqlite:///{self.history.folder / FILE_NAME}"
        return url.render_as_string(hide_password=False)

    def _take_name(self) -> None:
        if self.history.engine.dialect.name == "postgresql":
            connection = self.history.engine.connect()
            taken = connection.execute(text("SELECT pg_try_advisory_lock(4277003, :n)"), {"n": _number(self.name)})
            if not taken.scalar():
                connection.close()
                raise _taken(f"a worker called '{self.name}'", "Give this one another name with --name.")
            # Without a transaction held open: the lock belongs to the connection.
            connection.commit()
            self._lock = connection
            return
        self._lock = _locked(self.history.folder / LOCK_NAME)

    def _is_free(self, name: str) -> bool:
        if self.history.engine.dialect.name != "postgresql":
            raise UsageError("there are no workers to recover", "the history is on SQLite", "Start the server again.")
        with self.history.engine.connect() as connection:
            taken = connection.execute(text("SELECT pg_try_advisory_lock(4277003, :n)"), {"n": _number(name)}).scalar()
            if taken:
                connection.execute(text("SELECT pg_advisory_unlock(4277003, :n)"), {"n": _number(name)})
            return bool(taken)


def _number(name: str) -> int:
    """A worker's name as the number that PostgreSQL locks by."""
    return zlib.crc32(name.encode()) - (1 << 31)


def _locked(path: Path) -> Any:
    """An open file that no other live process has locked. Raises EnvironmentBrokenError if one has."""
    file = path.open("a+", encoding="utf-8")
    try:
        import fcntl
    except ImportError:  # Windows: two servers on one folder are the owner's care
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise _taken(f"a server on '{path.parent}'", "Use that one, or set another FAKELAB_DATA_DIR.") from error
    return file


def _taken(who: str, do: str) -> EnvironmentBrokenError:
    return EnvironmentBrokenError(f"{who} is running already", "", do)


def _quiet() -> None:
    """DBOS writes to the terminal by itself; its errors come through the log of the server."""
    logging.getLogger("dbos").setLevel(logging.ERROR)
