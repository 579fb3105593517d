"""Training runs as a page shows them: their settings and curves, read from the folders that `fakelab train` wrote."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = "training"
"""Where the server looks, in the folder for data: `fakelab train --out DATA_DIR/training/NAME`."""
_MOST_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Training:
    """A run: its name, settings, and its curves as name -> (step, value) in order."""

    name: str
    config: dict[str, Any]
    curves: dict[str, list[tuple[int, float]]]

    @property
    def last(self) -> dict[str, float]:
        """The newest value of each curve."""
        return {name: points[-1][1] for name, points in self.curves.items() if points}

    @property
    def steps(self) -> int:
        """The last step that was written down."""
        return max((points[-1][0] for points in self.curves.values() if points), default=0)


def trainings(data_dir: Path) -> list[Training]:
    """The runs in the folder, the one that changed last first; what cannot be read is left out."""
    folder = data_dir / FOLDER
    if not folder.is_dir():
        return []
    found = [each for each in folder.iterdir() if (each / "config.json").is_file()]
    read = [run for each in sorted(found, key=_changed, reverse=True) if (run := _read(each)) is not None]
    return read


def _changed(folder: Path) -> float:
    curves = folder / "curves.csv"
    return (curves if curves.is_file() else folder / "config.json").stat().st_mtime


def _read(folder: Path) -> Training | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        curves: dict[str, list[tuple[int, float]]] = {}
        path = folder / "curves.csv"
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                for number, row in enumerate(csv.DictReader(file)):
                    if number > _MOST_ROWS:
                        break
                    name = row.get("name") or row.get("curve") or ""
                    value = float(row["value"])
                    if name and math.isfinite(value):
                        curves.setdefault(name, []).append((int(row["step"]), value))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Training(folder.name, config if isinstance(config, dict) else {}, curves)
