"""A history of its own for every test, on SQLite and, where Debian's PostgreSQL is at hand, on a server of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
