"""A history of its own for every test, on SQLite and, where Debian's PostgreSQL is at hand, on a server of our own.

Accounts on it have a clock that a test turns, and passwords that are hashed at once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from account_maker import PASSWORD, Clock
from argon2 import PasswordHasher

from fakelab.service import passwords
from fakelab.service.accounts import Accounts
from fakelab.service.history import History


def _programs() -> Path | None:
    """The folder of PostgreSQL's server programs, which Debian keeps off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name.split(".")[0]))
    return folders[-1] if folders else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server, up to the name of the database. It listens on a socket in a folder of its own."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    # Not under pytest's folder: a socket's path may have 107 bytes, and the server's account must reach it.
    folder = Path(tempfile.mkdtemp(prefix="fakelab-pg-"))
    # The server refuses to run as root.
    account = "postgres" if os.geteuid() == 0 else None
    if account:
        shutil.chown(folder, account)
    quiet = {"user": account, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "cwd": folder}
    command = [programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "fakelab", "-E", "UTF8", "--no-sync"]
    subprocess.run(command, check=True, **quiet)  # type: ignore[call-overload]
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    control = [programs / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log"]
    subprocess.run([*control, "-o", options, "start"], check=True, **quiet)  # type: ignore[call-overload]
    try:
        yield f"postgresql://fakelab@/{{name}}?host={folder}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, **quiet)  # type: ignore[call-overload]
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """What `History` takes as its URL: empty for SQLite, or a new database of the server."""
    if request.param == "sqlite":
        return ""
    import psycopg

    url: str = request.getfixturevalue("postgres")
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(url.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return url.format(name=name)


@pytest.fixture
def history(tmp_path: Path, database: str) -> Iterator[History]:
    opened = History(tmp_path / "kept", database)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_history(tmp_path: Path) -> Iterator[History]:
    opened = History(tmp_path / "kept")
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes in a millisecond; the rules of a real server have a test of their own."""
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: hasher)
    monkeypatch.setattr(passwords, "_nobody", lru_cache(lambda: hasher.hash("nobody")))


@pytest.fixture
def accounts(history: History, clock: Clock, quick: None) -> Accounts:
    """Accounts with one, ada's, an analyst of the desk verify."""
    made = Accounts(history, clock)
    made.add_user("ada", PASSWORD, "analyst", "verify", actor="cli:root")
    return made
