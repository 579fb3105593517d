"""A history that an earlier FakeLab wrote is opened by this one, and says what it said."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text

import analysis_maker as maker
from fakelab.reports.json_report import document
from fakelab.service.accounts import Accounts
from fakelab.service.audit import check
from fakelab.service.chain import START, Event, canonical
from fakelab.service.database import FILE_NAME, HEAD, MIGRATIONS
from fakelab.service.history import History
from fakelab.service.jobs import Asked, Jobs
from fakelab.service.runs import Search

DOCUMENT = document(maker.photo())


def _row(number: int) -> dict[str, Any]:
    """A run as the first schema held it."""
    body = canonical(DOCUMENT)
    texts = ("owner", "actor", "acquired", "ended", "place", "phash", "models", "fakelab", "error", "hardware")
    return dict.fromkeys(texts, "") | {
        "id": f"run{number:013d}",
        "owner": "local",
        "actor": "cli:ada",
        "acquired": "path",
        "started": DOCUMENT["started"],
        "place": "/in/fotó.jpg",
        "name": DOCUMENT["file"]["name"],
        "kind": DOCUMENT["file"]["kind"],
        "size_bytes": 5_000_000_000,
        "duration_s": 1.5,
        "sha256": DOCUMENT["file"]["sha256"],
        "level": DOCUMENT["verdict"]["level"],
        "p_fake": DOCUMENT["verdict"]["p_fake"],
        "sentence": DOCUMENT["verdict"]["sentence"],
        "document": body.decode(),
        "document_sha256": hashlib.sha256(body).hexdigest(),
        "words": f"zebra{number} crossing",
    }


def _insert(connection: Any, table: str, **values: Any) -> None:
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), values)


def _address(folder: Path, database: str) -> str:
    return database.replace("postgresql://", "postgresql+psycopg://") or f"sqlite:///{folder / FILE_NAME}"


def _write(folder: Path, database: str, revision: str) -> None:
    """Makes a history of that revision with two runs, a review, a tag and their events, by plain SQL."""
    folder.mkdir()
    engine = create_engine(_address(folder, database))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    with engine.begin() as connection:
        for number in (1, 2):
            _insert(connection, "runs", **_row(number))
        run = _row(1)["id"]
        at = "2026-01-02T03:04:05.678Z"
        review = {"at": at, "actor": "cli:ada", "conclusion": "staged", "notes": "see the tape"}
        _insert(connection, "reviews", run=run, **review)
        _insert(connection, "tags", run=run, tag="election")
        created = {"document": _row(1)["document_sha256"], "files": {}}
        before = START
        for seq, (action, of, detail) in enumerate(
            (
                ("created", run, created),
                ("created", _row(2)["id"], created),
                ("reviewed", run, {"conclusion": "staged", "notes": "see the tape"}),
                ("tagged", run, {"tags": ["election"]}),
            ),
            start=1,
        ):
            made = Event(seq, at, "cli:ada", action, of, detail, before)
            values = {"at": at, "actor": "cli:ada", "action": action, "run": of, "before": before, "hash": made.hash}
            _insert(connection, "events", seq=seq, detail=canonical(detail).decode(), **values)
            before = made.hash
    engine.dispose()


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_an_older_history_is_opened_and_read_back(tmp_path: Path, database: str, revision: str) -> None:
    _write(tmp_path / "kept", database, revision)
    history = History(tmp_path / "kept", database)
    try:
        with history.engine.connect() as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == HEAD
        second, first = history.every()
        assert (first.id, second.id) == (_row(1)["id"], _row(2)["id"])
        for name in (
            "owner",
            "actor",
            "started",
            "place",
            "name",
            "kind",
            "size_bytes",
            "duration_s",
            "sha256",
            "level",
        ):
            assert getattr(first, name) == _row(1)[name], name
        assert (first.p_fake, first.sentence) == (_row(1)["p_fake"], _row(1)["sentence"])
        assert (first.tags, first.conclusion, second.tags, second.conclusion) == (("election",), "staged", (), "")
        assert history.document(first.id) == json.loads(json.dumps(DOCUMENT))
        assert [each.notes for each in history.reviews(first.id)] == ["see the tape"]
        assert [each.id for each in history.page(Search("zebra1")).runs] == [first.id]
        found = check(history)
        assert (found.events, found.runs, found.faults) == (4, 2, ())
    finally:
        history.close()


def test_an_older_history_does_all_that_a_new_one_does(tmp_path: Path, database: str) -> None:
    _write(tmp_path / "kept", database, "0001")
    history = History(tmp_path / "kept", database)
    try:
        new = history.add(maker.two_people(), actor="cli")
        assert new.seq > 2 and history.total() == 3
        # Without a recipe they are nobody's answer.
        assert history.answered("", owner="local") is None
        Jobs(history).add(Asked("a.jpg", "local", "ada", "upload"))
        history.review(_row(2)["id"], actor="ada", conclusion="genuine")
        assert [each.id for each in history.page(Search("genuine")).runs] == [_row(2)["id"]]
        accounts = Accounts(history)
        accounts.add_user("ada", "correct horse battery", actor="cli")
        token, who = accounts.sign_in("ada", "correct horse battery")
        assert accounts.who_of_session(token) == who
        history.delete(_row(1)["id"], actor="ada")
        assert history.reviews(_row(1)["id"]) == [] and history.total() == 2
        assert check(history).faults == ()
    finally:
        history.close()


def test_an_older_history_gets_the_schema_of_a_new_one(tmp_path: Path, database: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from fakelab.service.database import Base

    _write(tmp_path / "kept", database, "0001")
    History(tmp_path / "kept", database).close()
    engine = create_engine(_address(tmp_path / "kept", database))
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
        assert [each for each in found if "runs_words" not in str(each)] == []
        assert {"users", "sessions", "tickets", "api_keys", "sign_ins"} <= set(inspect(connection).get_table_names())
    engine.dispose()
