"""What the history stands on: sessions of its database, the chained log of events, and the folders beside it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from fakelab.errors import EnvironmentBrokenError, unknown_name
from fakelab.reports.json_report import rfc3339
from fakelab.service.chain import START, Event, canonical
from fakelab.service.database import WRITE, ArtifactRow, EventRow, open_database
from fakelab.service.runs import Artifact


class Store:
    """A folder (SQLite and the derived files), or the database of a URL with the files in the folder.

    Every method raises EnvironmentBrokenError where the database does not answer.
    """

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder = folder
        self.engine = open_database(url or folder)

    def close(self) -> None:
        """Gives the database back."""
        self.engine.dispose()

    # -- sessions ----------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for reading, whose errors are told as ours."""
        with self._told(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session for writing, committed at its end; writers wait for each other."""
        engine = self.engine.execution_options(**{WRITE: True})
        with self._told(), Session(engine, expire_on_commit=False) as session, session.begin():
            if self.engine.dialect.name == "postgresql":
                # One writer of the log at a time: each event needs the hash of the one before.
                session.execute(text("SELECT pg_advisory_xact_lock(4277002)"))
            yield session

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            why = str(error.orig) if isinstance(error, DBAPIError) else str(error)
            raise EnvironmentBrokenError(
                "the history does not answer", why.strip(), "Check the database and the space on its disk."
            ) from error

    # -- the log -----------------------------------------------------------------------------------------------

    def note(self, actor: str, action: str, run: str = "", **detail: Any) -> Event:
        """Adds an event to the log: viewed, exported, re-run, signed in, ..."""
        with self.writing() as session:
            return self.append(session, actor, action, run, detail)

    def append(self, session: Session, actor: str, action: str, run: str, detail: Mapping[str, Any]) -> Event:
        """Adds an event to the log within a session of `writing`."""
        last = session.scalar(select(EventRow).order_by(EventRow.seq.desc()).limit(1))
        seq, before = (last.seq + 1, last.hash) if last else (1, START)
        made = Event(seq, rfc3339(datetime.now(UTC)), actor, action, run, dict(detail), before)
        session.add(
            EventRow(
                seq=made.seq,
                at=made.at,
                actor=actor,
                action=action,
                run=run,
                detail=canonical(made.detail).decode(),
                before=before,
                hash=made.hash,
            )
        )
        return made

    def events(self, run: str = "") -> list[Event]:
        """The log, or what of it concerns one run, oldest first."""
        query = select(EventRow).order_by(EventRow.seq)
        with self.reading() as session:
            rows = session.scalars(query.where(EventRow.run == run) if run else query)
            return [event_of(each) for each in rows]

    def events_after(self, seq: int, limit: int) -> list[Event]:
        """The log from behind an event on."""
        query = select(EventRow).where(EventRow.seq > seq).order_by(EventRow.seq).limit(limit)
        with self.reading() as session:
            return [event_of(each) for each in session.scalars(query)]

    def newest_events(self, limit: int, before: int = 0) -> list[Event]:
        """The end of the log, newest first, or what comes before an event."""
        query = select(EventRow).order_by(EventRow.seq.desc()).limit(limit)
        with self.reading() as session:
            return [event_of(each) for each in session.scalars(query.where(EventRow.seq < before) if before else query)]

    def head(self) -> tuple[int, str]:
        """The last event's number and hash: what a report prints."""
        with self.reading() as session:
            row = session.scalar(select(EventRow).order_by(EventRow.seq.desc()).limit(1))
            return (row.seq, row.hash) if row else (0, START)

    def hash_of_event(self, seq: int) -> str | None:
        """The hash of an event of the log, for the head that an old report names."""
        with self.reading() as session:
            return session.scalar(select(EventRow.hash).where(EventRow.seq == seq))

    # -- files -------------------------------------------------------------------------------------------------

    def files_of(self, run: str) -> Path:
        """The folder of a run's derived files; it need not exist."""
        return self.folder / "files" / run[:2] / run

    def media_of(self, run: str) -> Path:
        """The folder of a file that was handed in, and of copies made of it for showing; it need not exist."""
        return self.folder / "media" / run[:2] / run

    def artifacts(self, run: str) -> list[Artifact]:
        """The derived files of a run, by name."""
        with self.reading() as session:
            rows = session.scalars(select(ArtifactRow).where(ArtifactRow.run == run).order_by(ArtifactRow.name))
            return [Artifact(each.name, each.sha256, each.size_bytes) for each in rows]

    def artifact_path(self, run: str, name: str) -> Path:
        """Where a derived file lies. Raises UnknownNameError for a name that the record does not have."""
        return self.files_of(run) / self._artifact(run, name).name

    def _artifact(self, run: str, name: str) -> ArtifactRow:
        with self.reading() as session:
            row = session.get(ArtifactRow, (run, name))
        if row is None:
            raise unknown_name("file of this run", name, [each.name for each in self.artifacts(run)])
        return row

    def artifact(self, run: str, name: str) -> bytes:
        """A derived file's bytes. Raises UnknownNameError, and EnvironmentBrokenError where they were altered."""
        row = self._artifact(run, name)
        path = self.files_of(run) / row.name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise EnvironmentBrokenError(f"'{path}' cannot be read", str(error.strerror), "") from error
        if hashlib.sha256(data).hexdigest() != row.sha256:
            raise EnvironmentBrokenError(f"'{path}' was altered", "its hash does not fit the record", "")
        return data

    def keep_files(self, run: str, files: Mapping[str, bytes]) -> list[Artifact]:
        """Keeps derived files by name, all or none. Raises EnvironmentBrokenError."""
        if not files:
            return []
        target = self.files_of(run)
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # All or none: the folder appears under its name only when it is full.
            part = Path(tempfile.mkdtemp(prefix=f".{run}-", dir=target.parent))
            for name, data in files.items():
                (part / name).write_bytes(data)
            part.rename(target)
        except OSError as error:
            raise EnvironmentBrokenError(
                f"the files of a run cannot be kept in '{target.parent}'", str(error.strerror), "Check its space."
            ) from error
        return [Artifact(name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in sorted(files.items())]


def event_of(row: EventRow) -> Event:
    """A stored event as the log's own noun."""
    return Event(row.seq, row.at, row.actor, row.action, row.run, json.loads(row.detail), row.before)
