"""Where the history lies: the tables, and a database opened and brought up to date.

SQLite in the user's data folder by default (write-ahead log, full-text search by FTS5), PostgreSQL by URL with the same
tables (full-text search by a GIN index). Times are RFC 3339 text in UTC with milliseconds, so that they sort as they
read and are the same everywhere. The schema changes by Alembic migrations alone.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Boolean, Double, Engine, ForeignKey, Index, Text, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry

from fakelab.errors import EnvironmentBrokenError, UsageError

HEAD = "0003"
"""The newest migration: a database that names it needs nothing done."""
FILE_NAME = "history.sqlite3"
MIGRATIONS = Path(__file__).parent / "migrations"
WRITE = "fakelab_write"
"""Execution option of a connection that is going to write: SQLite takes its lock at once, rather than failing later."""


class Base(DeclarativeBase):
    """All tables of the history."""


class RunRow(Base):
    """One inference: what was asked, what came out, and all that is needed to repeat it."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("runs_sha256", "sha256"),
        Index("runs_level", "level", "seq"),
        Index("runs_started", "started"),
        Index("runs_recipe", "recipe"),
    )

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(Text, unique=True)
    owner: Mapped[str] = mapped_column(Text, index=True)
    actor: Mapped[str] = mapped_column(Text)
    """Who or what started it."""
    acquired: Mapped[str] = mapped_column(Text)
    """How the file came: path, upload, url, watch folder."""
    started: Mapped[str] = mapped_column(Text)
    ended: Mapped[str] = mapped_column(Text)
    place: Mapped[str] = mapped_column(Text)
    """Where the file lay on this machine: not in the document, which may travel."""
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text, index=True)
    """video, photo or audio; empty where the file could not be read."""
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    duration_s: Mapped[float | None] = mapped_column(Double)
    sha256: Mapped[str] = mapped_column(Text)
    phash: Mapped[str] = mapped_column(Text)
    """Perceptual hashes of sampled frames, 16 hexadecimal digits each, separated by spaces."""
    level: Mapped[str] = mapped_column(Text)
    p_fake: Mapped[float | None] = mapped_column(Double)
    sentence: Mapped[str] = mapped_column(Text)
    models: Mapped[str] = mapped_column(Text, index=True)
    """Name and version of every model, as in `clip_face 0.2.0`."""
    fakelab: Mapped[str] = mapped_column(Text)
    error: Mapped[str] = mapped_column(Text)
    """What failed, for a file that could not be analysed; else empty."""
    hardware: Mapped[str] = mapped_column(Text)
    document: Mapped[str] = mapped_column(Text, deferred=True)
    """The whole result in the schema fakelab.analysis/1, canonical JSON."""
    document_sha256: Mapped[str] = mapped_column(Text)
    words: Mapped[str] = mapped_column(Text, deferred=True)
    """What the full-text search reads."""
    recipe: Mapped[str] = mapped_column(Text, default="")
    """What the answer depends on, in short; see `fakelab.service.recipe`."""


class ReviewRow(Base):
    """An analyst's own conclusion, kept beside the machine's result and never over it. The newest one holds."""

    __tablename__ = "reviews"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    at: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    conclusion: Mapped[str] = mapped_column(Text)
    notes: Mapped[str] = mapped_column(Text)


class TagRow(Base):
    """A word that somebody put on a run."""

    __tablename__ = "tags"

    run: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(Text, primary_key=True, index=True)


class ArtifactRow(Base):
    """A file made from the media (a face, a heat map), with its own hash; the bytes lie beside the database."""

    __tablename__ = "artifacts"

    run: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    sha256: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class JobRow(Base):
    """An analysis that was asked for: see `fakelab.service.jobs`. Its run, once there is one, has the same id."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_state", "state", "created"),
        Index("jobs_changed", "changed"),
        Index("jobs_key", "owner", "request_key"),
        Index("jobs_recipe", "recipe"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    acquired: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    place: Mapped[str] = mapped_column(Text)
    """Where the file lies; empty until a link was downloaded."""
    url: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(Text)
    recipe: Mapped[str] = mapped_column(Text)
    choices: Mapped[str] = mapped_column(Text)
    """The settings asked for, as JSON."""
    state: Mapped[str] = mapped_column(Text)
    stage: Mapped[str] = mapped_column(Text)
    done: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int | None] = mapped_column(BigInteger)
    error: Mapped[str] = mapped_column(Text)
    created: Mapped[str] = mapped_column(Text)
    started: Mapped[str] = mapped_column(Text)
    ended: Mapped[str] = mapped_column(Text)
    changed: Mapped[str] = mapped_column(Text)
    round: Mapped[int] = mapped_column(BigInteger)
    """How often it was put into the queue."""
    attempts: Mapped[int] = mapped_column(BigInteger)
    """How often a worker began it in this round."""
    worker: Mapped[str] = mapped_column(Text)
    request_key: Mapped[str] = mapped_column(Text)
    """The client's own key (Idempotency-Key), with which a repeated request finds its job."""
    request_hash: Mapped[str] = mapped_column(Text)
    webhook: Mapped[str] = mapped_column(Text)
    repeats: Mapped[str] = mapped_column(Text, index=True)
    """The run that this one does again, with another model; empty for a file that was handed in."""
    batch: Mapped[str] = mapped_column(Text, index=True)
    """What ties the jobs of one request to do many again."""


class UserRow(Base):
    """An account; see `fakelab.service.accounts`."""

    __tablename__ = "users"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    password: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    desk: Mapped[str] = mapped_column(Text)
    created: Mapped[str] = mapped_column(Text)
    disabled: Mapped[bool] = mapped_column(Boolean)


class SessionRow(Base):
    """A browser that is signed in; `token` is the SHA-256 of what its cookie holds."""

    __tablename__ = "sessions"

    token: Mapped[str] = mapped_column(Text, primary_key=True)
    user: Mapped[str] = mapped_column(Text, index=True)
    via: Mapped[str] = mapped_column(Text)
    created: Mapped[str] = mapped_column(Text)
    used: Mapped[str] = mapped_column(Text)


class TicketRow(Base):
    """A token that lets one browser in, once."""

    __tablename__ = "tickets"

    ticket: Mapped[str] = mapped_column(Text, primary_key=True)
    created: Mapped[str] = mapped_column(Text)


class KeyRow(Base):
    """A key of a program; `secret` is the SHA-256 of the whole key."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    secret: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    desk: Mapped[str] = mapped_column(Text)
    scopes: Mapped[str] = mapped_column(Text)
    created: Mapped[str] = mapped_column(Text)
    expires: Mapped[str] = mapped_column(Text)
    used: Mapped[str] = mapped_column(Text)
    revoked: Mapped[bool] = mapped_column(Boolean)


class SignInRow(Base):
    """A failure to sign in: `mark` is a hash of the name, or of where it came from. Counts for a quarter of an hour."""

    __tablename__ = "sign_ins"
    __table_args__ = (Index("sign_ins_mark", "mark", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    mark: Mapped[str] = mapped_column(Text)
    at: Mapped[str] = mapped_column(Text)


class EventRow(Base):
    """A line of the log; see `fakelab.service.chain`. Stays when its run is deleted."""

    __tablename__ = "events"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    run: Mapped[str] = mapped_column(Text, index=True)
    detail: Mapped[str] = mapped_column(Text)
    before: Mapped[str] = mapped_column(Text)
    hash: Mapped[str] = mapped_column(Text)


def open_database(where: str | Path) -> Engine:
    """An engine on a database that is there and up to date. `where` is a folder, for SQLite in it, or a URL.

    The folder is made, readable by its owner alone, since it tells who looked at what. Raises UsageError for a URL that
    cannot be used, EnvironmentBrokenError where the database cannot be opened or is of a newer FakeLab.
    """
    url = _url(where)
    with _told(url):
        if url.get_backend_name() == "sqlite":
            _make_private(Path(url.database or ""))
        engine = create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite")
        if url.get_backend_name() == "sqlite":
            event.listen(engine, "connect", _set_up_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        try:
            _bring_up_to_date(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine


def is_there(where: str | Path) -> bool:
    """Whether a history lies there; looking makes none. Raises what `open_database` raises."""
    url = _url(where)
    if url.get_backend_name() == "sqlite":
        return Path(url.database or "").is_file()
    with _told(url):
        engine = create_engine(url)
        try:
            return _version(engine) is not None
        finally:
            engine.dispose()


def is_postgres(url: str) -> bool:
    """Whether this setting names a PostgreSQL. Raises UsageError for a URL that cannot be used."""
    return bool(url) and _url(url).get_backend_name() == "postgresql"


@contextlib.contextmanager
def _told(url: URL) -> Iterator[None]:
    """Turns what a database may raise while it is opened into EnvironmentBrokenError."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise EnvironmentBrokenError(
            f"the database {shown(url)} cannot be opened",
            f"the Python package '{error.name}' is missing",
            "Install fakelab-verify[postgres].",
        ) from error
    except (SQLAlchemyError, OSError) as error:
        why = str(error.orig) if isinstance(error, DBAPIError) else str(error)
        raise EnvironmentBrokenError(
            f"the history at {shown(url)} cannot be opened", why.strip(), "Check rights and space, or set another."
        ) from error


def shown(url: URL) -> str:
    """The address as a message may show it: without a password."""
    return url.render_as_string(hide_password=True)


def _url(where: str | Path) -> URL:
    if isinstance(where, Path):
        return URL.create("sqlite", database=str(where / FILE_NAME))
    try:
        url = make_url(where)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        backend = url.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UsageError("the database URL cannot be read", str(error), "Write postgresql://HOST/NAME.") from error
    if backend not in ("sqlite", "postgresql"):
        raise UsageError(f"the database '{backend}' cannot be used", "", "Use sqlite or postgresql.")
    return url


def _make_private(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not file.exists():
        # Made before SQLite does, which would give it the rights of the umask.
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))


def _set_up_sqlite(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    # Transactions are begun by us: the driver would start them late, and a reader would fail to become a writer.
    connection.isolation_level = None
    for pragma in ("busy_timeout = 20000", "journal_mode = WAL", "foreign_keys = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    write = connection.get_execution_options().get(WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _bring_up_to_date(engine: Engine) -> None:
    if _version(engine) == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.execution_options(**{WRITE: True}).begin() as connection:
        if connection.dialect.name == "postgresql":
            # Two processes that start at once must not both migrate.
            connection.execute(text("SELECT pg_advisory_xact_lock(4277001)"))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, HEAD)
        except CommandError as error:
            raise EnvironmentBrokenError(
                "the history was written by a newer FakeLab", str(error), "Install that version, or set another folder."
            ) from error


def _version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
