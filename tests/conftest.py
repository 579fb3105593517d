"""For every test: no connection to another host, and no setting of the person who runs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from needed import postgres_programs, pytest_report_header, pytest_runtest_makereport  # noqa: F401 (hooks)

# A busy machine is no falsified property.
hypothesis.settings.register_profile("fakelab", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("fakelab")

LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True)
def closed_to_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test that opens a connection to anything but this machine."""
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))


def _guarded(original: Any) -> Any:
    def connect(self: socket.socket, address: Any, *rest: Any) -> Any:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            pytest.fail(f"a connection to {address} was tried")
        return original(self, address, *rest)

    return connect


@pytest.fixture(autouse=True)
def no_settings_of_mine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Takes every FAKELAB_* variable out of the environment, and the user's folder for data out of reach."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
    for name in list(os.environ):
        if name.upper().startswith("FAKELAB_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server, up to the name of the database. It listens on a socket in a folder of its own."""
    programs = postgres_programs()
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


@pytest.fixture(scope="session")
def new_postgres(postgres: str) -> Callable[[], str]:
    """new_postgres() -> the URL of a new database of the PostgreSQL server."""
    import psycopg

    def make() -> str:
        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(postgres.format(name="postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return postgres.format(name=name)

    return make


@pytest.fixture
def postgres_url(new_postgres: Callable[[], str]) -> str:
    """The URL of a new database of the PostgreSQL server."""
    return new_postgres()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """What `History` takes as its URL: empty for SQLite, or a new database of the server."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
