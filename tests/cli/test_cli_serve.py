"""`fakelab serve`, `worker`: what they refuse, and how they end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakelab.cli import main
from fakelab.errors import EnvironmentBrokenError
from fakelab.service.history import History
from fakelab.service.queue import JobQueue


@contextmanager
def _process(folder: Path, url: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A verb in a process of its own, on a database; it is over afterwards, whatever became of the test."""
    named = {"FAKELAB_DATA_DIR": str(folder), "FAKELAB_DATABASE": url, "FAKELAB_MODEL": "tiny"}
    with subprocess.Popen(
        [sys.executable, "-m", "fakelab", *words],
        env={**os.environ, **named},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as made:
        try:
            yield made
        finally:
            made.kill()


def test_ctrl_c_ends_a_server_quietly(tmp_path: Path, database: str) -> None:
    with _process(tmp_path, database, "serve", "--port", "0") as server:
        assert server.stdout is not None
        while "enter?ticket=" not in server.stdout.readline():
            assert server.poll() is None
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=30)
        assert server.returncode == 0
        assert "Traceback" not in errors and "Interrupted" not in errors


def test_ctrl_c_ends_a_worker_and_another_of_its_name_is_refused(tmp_path: Path, postgres_url: str) -> None:
    with _process(tmp_path, postgres_url, "worker", "--name", "anna", "--jobs", "1") as worker:
        assert worker.stderr is not None
        assert worker.stderr.readline() == "Worker 'anna' takes jobs.\n"
        history = History(tmp_path, postgres_url)
        with pytest.raises(EnvironmentBrokenError, match="a worker called 'anna' is running already"):
            JobQueue(history, "anna", None).start()
        history.close()
        worker.send_signal(signal.SIGINT)
        out, errors = worker.communicate(timeout=30)
        assert worker.returncode == 0
        assert (out, errors) == ("", "")


def test_a_port_that_is_taken_is_told(tmp_path: Path, database: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with _process(tmp_path, database, "serve", "--port", str(taken.getsockname()[1])) as server:
            _, errors = server.communicate(timeout=60)
        assert server.returncode == 4
        assert "cannot listen on 127.0.0.1" in errors and "--port" in errors


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["serve", "--no-work"], "SQLite"),
        (["worker"], "need PostgreSQL"),
        (["worker", "recover", "anna"], "need PostgreSQL"),
        (["serve", "--port", "70000"], "--port"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert told in capsys.readouterr().err


NOWHERE = "postgresql://nobody@127.0.0.1:9/none"


@pytest.mark.parametrize(
    ("url", "words", "code", "told"),
    [
        (NOWHERE, ["serve"], 4, "cannot be opened"),
        (NOWHERE, ["worker"], 4, "cannot be opened"),
        (NOWHERE, ["worker", "recover"], 2, "'recover' is not understood"),
        (NOWHERE, ["users", "list"], 4, "cannot be opened"),
        ("mysql://127.0.0.1/none", ["worker"], 2, "the database 'mysql' cannot be used"),
        ("no-url", ["serve"], 2, "the database URL cannot be read"),
        ("no-url", ["serve", "--no-work"], 2, "the database URL cannot be read"),
        ("no-url", ["worker"], 2, "the database URL cannot be read"),
        ("no-url", ["history"], 2, "the database URL cannot be read"),
    ],
)
def test_a_database_that_cannot_be_used_is_told(
    url: str,
    words: list[str],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKELAB_DATABASE", url)
    assert main(words) == code
    said = capsys.readouterr().err
    assert told in said and "a bug" not in said
    assert list(tmp_path.iterdir()) == []
