"""Where crops wait while a manifest is prepared: three files that only grow, so that a killed run goes on.

* ``crops.raw``    the pixels of one crop after the other
* ``numbers.raw``  one fixed record per crop: points, score, time ...
* ``rows.jsonl``   one line per row of the manifest, written last: how many crops it gave, or why none

After a kill, what the log does not name is cut off and done again. `finish` hands everything on without loading it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fakelab.data.manifest import Row
from fakelab.records import Image

MESH_POINTS = 468
NUMBERS = np.dtype(
    [
        ("points", np.float32, (5, 2)),
        ("mesh", np.float32, (MESH_POINTS, 2)),
        ("score", np.float32),
        ("blur", np.float32),
        ("luma", np.float32),
        ("side_px", np.float32),
        ("person", np.int32),
        ("time_s", np.float64),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class FoundCrop:
    """One crop with what masks and filters need; points are pixels of the crop, NaN if unknown."""

    image: Image
    points: NDArray[np.float32]
    mesh: NDArray[np.float32]
    score: float
    blur: float
    luma: float
    side_px: float
    person: int = 1
    time_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """All crops of a manifest: what a writer turns into a store, a folder or shards. The arrays are on disk."""

    rows: Sequence[Row]
    manifest_sha256: str
    crops: NDArray[np.uint8]
    """(N, S, S, 3) RGB, in the order of the rows."""
    numbers: NDArray[Any]
    """(N,) of NUMBERS."""
    row_of: NDArray[np.int64]
    """(N,) the row of each crop, from 0."""
    skipped: Sequence[tuple[int, str]]
    """Rows that gave no crop, from 0, and why."""


class Spool:
    """An open spool in `folder`. `plan` says what is prepared and how: a spool of another plan is begun anew."""

    def __init__(self, folder: Path, plan: dict[str, Any], size_px: int) -> None:
        self._folder, self._size = folder, size_px
        self._crop_bytes = size_px * size_px * 3
        told = folder / "plan.json"
        text = json.dumps(plan, sort_keys=True)
        if not told.is_file() or told.read_text(encoding="utf-8") != text:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            told.write_text(text, encoding="utf-8")
        self.counts, self.reasons = self._take_up()
        self._crops = (folder / "crops.raw").open("ab")
        self._numbers = (folder / "numbers.raw").open("ab")
        self._log = (folder / "rows.jsonl").open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._crops, self._numbers, self._log):
            file.close()

    @property
    def rows_done(self) -> int:
        return len(self.counts)

    def add(self, crops: Sequence[FoundCrop], why: str) -> None:
        """Keeps the crops of the next row, or why there are none."""
        for crop in crops:
            self._crops.write(np.ascontiguousarray(crop.image).tobytes())
            values = tuple(getattr(crop, name) for name in NUMBERS.names or ())
            self._numbers.write(np.array([values], dtype=NUMBERS).tobytes())
        # The log last: a line in it promises that its crops are there.
        self._crops.flush()
        self._numbers.flush()
        self._log.write(json.dumps({"crops": len(crops), "why": why}) + "\n")
        self._log.flush()
        self.counts.append(len(crops))
        self.reasons.append(why)

    def finish(self, rows: Sequence[Row], manifest_sha256: str) -> Prepared:
        """Everything that was added, mapped from disk. Call `remove` when it is written elsewhere."""
        self.__exit__(None, None, None)
        count = sum(self.counts)
        shape = (count, self._size, self._size, 3)
        empty = count == 0
        return Prepared(
            rows=rows,
            manifest_sha256=manifest_sha256,
            crops=np.zeros(shape, np.uint8)
            if empty
            else np.memmap(self._folder / "crops.raw", np.uint8, mode="r", shape=shape),
            numbers=np.zeros(0, NUMBERS)
            if empty
            else np.memmap(self._folder / "numbers.raw", NUMBERS, mode="r", shape=(count,)),
            row_of=np.repeat(np.arange(len(self.counts)), self.counts),
            skipped=[
                (k, why) for k, (found, why) in enumerate(zip(self.counts, self.reasons, strict=True)) if not found
            ],
        )

    def remove(self) -> None:
        """Takes the spool away."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _take_up(self) -> tuple[list[int], list[str]]:
        """What the log promises and the files hold; the rest is cut off."""
        crops, numbers, log = (self._folder / name for name in ("crops.raw", "numbers.raw", "rows.jsonl"))
        for path in (crops, numbers, log):
            path.touch()
        room = min(crops.stat().st_size // self._crop_bytes, numbers.stat().st_size // NUMBERS.itemsize)
        counts: list[int] = []
        reasons: list[str] = []
        kept_bytes = 0
        for line in log.read_bytes().splitlines(keepends=True):
            entry = _entry(line)
            if entry is None or sum(counts) + entry[0] > room:
                break
            counts.append(entry[0])
            reasons.append(entry[1])
            kept_bytes += len(line)
        total = sum(counts)
        for path, size in ((crops, total * self._crop_bytes), (numbers, total * NUMBERS.itemsize), (log, kept_bytes)):
            with path.open("r+b") as file:
                file.truncate(size)
        return counts, reasons


def _entry(line: bytes) -> tuple[int, str] | None:
    """A line of the log, or None for one that was cut off."""
    try:
        entry = json.loads(line)
        return (int(entry["crops"]), str(entry["why"])) if line.endswith(b"\n") else None
    except (ValueError, KeyError, TypeError):
        return None
