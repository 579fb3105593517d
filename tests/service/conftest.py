"""A history of its own for every test, on SQLite and, where Debian's PostgreSQL is at hand, on a server of our own.

Accounts on it have a clock that a test turns, and passwords that are hashed at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from account_maker import PASSWORD, Clock
from argon2 import PasswordHasher

from fakelab.service import passwords
from fakelab.service.accounts import Accounts
from fakelab.service.history import History


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
