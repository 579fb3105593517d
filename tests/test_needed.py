"""The session of tests itself: what it skips, what it must not skip, and what it states."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
MADE = """
import pytest

@pytest.mark.skipif(True, reason="chromium is not installed (Debian: apt-get install chromium)")
def test_page(): pass

@pytest.fixture
def server(): pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")

def test_history(server): pass

@pytest.mark.skipif(True, reason="reads /proc")
def test_other(): pass

@pytest.mark.xfail(reason="chromium is not installed")
def test_known(): assert False
"""


def _session(folder: Path, ci: str) -> tuple[int, str]:
    (folder / "test_made.py").write_text(MADE)
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")}
    environment |= {"PYTHONPATH": str(TESTS)} | ({"CI": ci} if ci else {})
    command = [sys.executable, "-m", "pytest", "-p", "needed", "-p", "no:cacheprovider", "-ra", "test_made.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_without_a_program_tests_are_skipped_but_not_in_ci(tmp_path: Path) -> None:
    code, said = _session(tmp_path, "")
    assert (code, "3 skipped, 1 xfailed" in said) == (0, True), said
    code, said = _session(tmp_path, "true")
    assert code == 1, said
    assert "1 skipped" in said and "1 xfailed" in said and "2 errors" in said, said
    assert len(re.findall(r"must not be skipped where CI is set: .* is not installed", said)) >= 2


def test_the_reasons_are_those_that_tests_skip_by() -> None:
    from needed import NEEDED

    shown = "\n".join(each.read_text(encoding="utf-8") for each in TESTS.rglob("*.py") if each != Path(__file__))
    for reason in NEEDED:
        assert len(re.findall(re.escape(reason), shown)) > 1, reason


def test_the_session_states_its_postgresql(tmp_path: Path, postgres: str) -> None:
    _, said = _session(tmp_path, "")
    stated = re.search(r"^PostgreSQL: (\d+)\.\d+", said, re.MULTILINE)
    assert stated, said
    import psycopg

    with psycopg.connect(postgres.format(name="postgres")) as connection:
        assert connection.info.server_version // 10_000 == int(stated[1]) >= 15
