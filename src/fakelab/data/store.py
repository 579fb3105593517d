"""A store of face crops that training reads at memory speed: a folder that `data.prepare` writes.

* ``crops.npy``   (N, S, S, 3) uint8 RGB, memory-mapped
* ``index.npz``   per crop: path, source, group, split and label of its file; person and time in it; five landmarks and
  (where a mesh model is given) 468 points in crop pixels (NaN where not found); the finder's score, blur, luma, side
  of what was cut in the source picture
* ``manifest.csv`` the rows of the manifest, paths relative to the store
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.data.manifest import Manifest, Row, write_manifest
from fakelab.data.spool import Prepared
from fakelab.errors import DataError
from fakelab.faces.crop import CROPPER_VERSION
from fakelab.records import CropSpec

STORE_SPEC = CropSpec(version=CROPPER_VERSION, size_px=224, margin=0.93)
"""DFDC's published crops measure .93 of the YuNet box (5-95 %: .84-1.01), so every source is cut alike."""
COPY_ROWS = 1024
"""Crops that are copied at a time: 150 MB at 224 px."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceStore:
    """An opened store: `crops` is memory-mapped; the arrays are aligned with it."""

    crops: NDArray[np.uint8]
    points: NDArray[np.float32]
    mesh: NDArray[np.float32]
    score: NDArray[np.float32]
    blur: NDArray[np.float32]
    luma: NDArray[np.float32]
    side_px: NDArray[np.float32]
    fake: NDArray[np.bool_]
    source: NDArray[np.str_]
    group: NDArray[np.str_]
    split: NDArray[np.str_]
    sha256: str
    """Of the manifest's text: goes into the card."""
    path: NDArray[np.str_] | None = None
    person: NDArray[np.int32] | None = None
    """From 1 inside a file; 0 for whole frames. These three are None in stores of FakeLab 0.2 and before."""
    time_s: NDArray[np.float64] | None = None

    def good(self, *, min_score: float = 0.75, min_blur: float = 12.0, min_luma: float = 35.0) -> NDArray[np.bool_]:
        """(N,) True where the crop is a clear, found face."""
        return np.asarray((self.score >= min_score) & (self.blur >= min_blur) & (self.luma >= min_luma))


def open_store(folder: Path) -> FaceStore:
    """The store in `folder`. Raises DataError if it is not there or not whole."""
    try:
        crops = np.load(folder / "crops.npy", mmap_mode="r")
        with np.load(folder / "index.npz") as index:
            names = [field.name for field in dataclasses.fields(FaceStore) if field.name not in ("crops", "sha256")]
            arrays = {name: index[name] for name in names if name in index.files}
            store = FaceStore(crops=crops, sha256=str(index["sha256"]), **arrays)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} holds no face store", str(error), "Build it from a manifest first.") from error
    if any(len(values) != len(crops) for values in arrays.values()):
        raise DataError(
            f"the face store in {folder} is not whole",
            f"{len(crops)} crops, {len(arrays['fake'])} rows in its index",
            "Remove the folder, and build it again.",
        )
    return store


def write_store(prepared: Prepared, folder: Path) -> None:
    """Writes what was prepared as a face store. A store that is there is replaced; who has it open keeps the old."""
    # Without an index a build that is cut off here is no store, rather than one whose rows are another manifest's.
    (folder / "index.npz").unlink(missing_ok=True)
    write_crops(folder / "crops.npy", [prepared.crops])
    write_manifest(prepared.rows, folder / "manifest.csv")
    arrays: dict[str, Any] = {name: prepared.numbers[name] for name in prepared.numbers.dtype.names or ()}
    arrays |= _labels_of(prepared.rows, prepared.row_of)
    write_index(folder / "index.npz", arrays, sha256=prepared.manifest_sha256, skipped=len(prepared.skipped))


def relabel_store(folder: Path, manifest: Manifest) -> None:
    """Gives a store the labels, sources, groups and splits of a manifest of the same files in the same order."""
    with np.load(folder / "index.npz") as index:
        arrays = {name: index[name] for name in index.files if name not in ("sha256", "skipped")}
        skipped = int(index["skipped"])
    arrays |= _labels_of(manifest.rows, arrays["row"])
    write_index(folder / "index.npz", arrays, sha256=manifest.sha256, skipped=skipped)
    write_manifest(manifest.rows, folder / "manifest.csv")


def _labels_of(rows: Sequence[Row], row_of: NDArray[np.int64]) -> dict[str, Any]:
    """What the index says of each crop's file."""
    own = [rows[number] for number in row_of]
    told: dict[str, Any] = {
        name: np.array([str(getattr(r, name)) for r in own]) for name in ("source", "group", "split")
    }
    told["path"] = np.array([os.path.abspath(row.path) for row in own])
    told["fake"] = np.array([row.fake for row in own])
    return told | {"row": np.asarray(row_of, dtype=np.int64)}


def write_index(target: Path, arrays: dict[str, Any], *, sha256: str, skipped: int) -> None:
    """Writes the arrays that belong to the crops, in one step."""
    beside = target.with_suffix(".part")
    with beside.open("wb") as file:
        np.savez(file, skipped=np.array(skipped), sha256=np.array(sha256), **arrays)
    beside.replace(target)


def write_crops(target: Path, parts: list[NDArray[np.uint8]]) -> None:
    """Writes (N, S, S, 3) arrays one after the other into one .npy file: they are never in memory as a whole."""
    # Beside the target and then in its place: truncating a file that another process has mapped would kill that one.
    beside = target.with_suffix(".npy.part")
    count = sum(len(part) for part in parts)
    out = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=(count, *parts[0].shape[1:]))
    at = 0
    for part in parts:
        for start in range(0, len(part), COPY_ROWS):
            piece = part[start : start + COPY_ROWS]
            out[at : at + len(piece)] = piece
            at += len(piece)
    out.flush()
    beside.replace(target)
