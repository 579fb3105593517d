"""What tests need from the system: without it they are skipped, but never where CI is set; there that is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

NEEDED = ("chromium is not installed", "PostgreSQL is not installed")


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's server programs, which Debian keeps off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name.split(".")[0]))
    return folders[-1] if folders else None


def pytest_report_header() -> str:
    """The PostgreSQL that the tests of this session run on, which the head of the session states."""
    programs = postgres_programs()
    if programs is None:
        return "PostgreSQL: not installed"
    told = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=False)
    return f"PostgreSQL: {told.stdout.strip().removeprefix('postgres (PostgreSQL) ') or 'does not start'}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns the skip of a test into its failure where CI is set and a program is missing that CI must have."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        why: Any = report.longrepr
        told = str(why[2] if isinstance(why, tuple) else why)
        if any(each in told for each in NEEDED):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} must not be skipped where CI is set: {told.removeprefix('Skipped: ')}"
    return report
