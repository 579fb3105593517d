"""Runs as a table for other programs: JSON, or CSV that a spreadsheet opens without harm."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, TextIO

from fakelab.service.runs import Run

COLUMNS = (
    *("id", "started", "level", "p_fake", "name", "kind", "sha256", "models", "fakelab", "actor", "acquired"),
    *("duration_s", "size_bytes", "tags", "conclusion", "error"),
)


def as_json(runs: Iterable[Run]) -> str:
    """The columns of every run as one JSON array over several lines."""
    return json.dumps(_rows(runs), indent=2, ensure_ascii=False)


def write_csv(runs: Iterable[Run], out: TextIO) -> None:
    """The columns of every run, below their names."""
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in _rows(runs):
        row["tags"] = " ".join(row["tags"])
        writer.writerow([_cell(row[name]) for name in COLUMNS])


def _rows(runs: Iterable[Run]) -> list[dict[str, Any]]:
    return [{name: value for name, value in asdict(run).items() if name in COLUMNS} for run in runs]


def _cell(value: object) -> object:
    # A spreadsheet takes a cell that begins so for a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
