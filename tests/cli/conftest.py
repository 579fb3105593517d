"""A history on SQLite and on PostgreSQL, and an `analyze` that answers at once.

The second is for tests of what the command line does with the answers.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from fakelab.errors import DamagedMediaError, NotFoundError, unknown_name
from fakelab.models.card import EVERY
from fakelab.records import Analysis, Kind, Level, MediaInfo, Reason, Verdict
from fakelab.service.database import Base
from fakelab.service.history import History
from fakelab.settings import read_settings

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(64)
LEVELS = {
    "strong": Level.STRONG,
    "moderate": Level.MODERATE,
    "unsure": Level.INCONCLUSIVE,
    "noface": Level.NOT_ANALYSABLE,
}


def made_analysis(path: Path, level: Level) -> Analysis:
    p_fake = {Level.STRONG: 0.97, Level.MODERATE: 0.8, Level.INCONCLUSIVE: 0.5, Level.NONE_FOUND: 0.1}.get(level)
    reasons = (Reason("no_face", "No face was found."),) if p_fake is None else ()
    return Analysis(
        file=MediaInfo(str(path), path.name, 100, "0" * 64, Kind.PHOTO, "jpeg", 10, 10),
        verdict=Verdict(level, p_fake, "What people read.", "What it does not say.", reasons),
        findings=(),
        models=({"name": "tiny", "version": "1", "sha256": "0" * 64},),
        started=datetime(2026, 1, 2, tzinfo=UTC),
        timings={},
        settings={},
        versions={},
    )


class Fake:
    """Stands in for `fakelab.analyze`: the file's name decides the level; `calls` keeps what was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.stages: tuple[str, ...] = ()
        """What is told of the progress beside the stage `decode`."""

    def __call__(self, path: Path, **choices: Any) -> Analysis:
        self.calls.append((str(path), choices))
        for stage in (*self.stages, "decode"):
            choices["progress"](stage, 1, 2)
        if not path.exists():
            raise NotFoundError(f"'{path}' cannot be read", "there is no such file", "Check the path.")
        if "bad" in path.name:
            raise DamagedMediaError(f"'{path.name}' cannot be read", "it is cut short", "Get it again.")
        if "crash" in path.name:
            raise ZeroDivisionError("a fault of ours")
        if "stop" in path.name:
            raise KeyboardInterrupt
        levels = [level for word, level in LEVELS.items() if word in path.name]
        return made_analysis(path, levels[0] if levels else Level.NONE_FOUND)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    def known(name: str) -> None:
        if name not in EVERY:
            raise unknown_name("model", name, EVERY)

    made = Fake()
    monkeypatch.setattr(importlib.import_module("fakelab.analyze"), "analyze", made)
    monkeypatch.setattr("fakelab.models.card.load_card", known)
    return made


@pytest.fixture(scope="session")
def postgres_of_verbs(new_postgres: Callable[[], str]) -> str:
    """The URL of the database of every test here that runs on PostgreSQL: emptied sooner than another is made."""
    return new_postgres()


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    """The history that the command line uses meanwhile, with nothing in it: on SQLite, and on PostgreSQL."""
    url = "" if request.param == "sqlite" else str(request.getfixturevalue("postgres_of_verbs"))
    monkeypatch.setenv("FAKELAB_DATABASE", url)
    settings = read_settings()
    opened = History(settings.data_dir, settings.database)
    assert opened.engine.dialect.name == request.param
    if url:
        _empty(opened)
    yield opened
    opened.close()


def _empty(history: History) -> None:
    """Takes every row away; numbers begin at 1 again."""
    with history.engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
        restart = "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false) FROM pg_sequences"
        connection.execute(text(restart))


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., Path]:
    """photos("a.jpg", ...) writes files that begin like a JPEG into a new folder, and returns it."""

    def write(*names: str) -> Path:
        for name in names:
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(JPEG)
        return tmp_path / "in"

    return write
