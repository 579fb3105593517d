"""A history of its own for every test, and analyses to put into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakelab.service.history import History


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    opened = History(tmp_path / "kept")
    yield opened
    opened.close()
