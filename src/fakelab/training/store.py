"""A manifest of files -> a store of face crops that training reads at memory speed.

The manifest is a CSV with one row per file: ``path,label,source,group,split`` and, optionally, ``tight`` (1: the
picture already is a face crop and is only resized), ``licence``. Paths are relative to the manifest. Photos give
one face; videos give the biggest face of a few frames spread over the clip. The store is a folder:

* ``crops.npy``   (N, S, S, 3) uint8 RGB, memory-mapped
* ``index.npz``   per crop: row of the manifest, five landmarks and (where a mesh model is given) 468 points in crop
  pixels (NaN where not found), the finder's score, blur, luma, side of the face in the source picture
* ``manifest.csv`` the rows as they were read
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.errors import FakeLabError, TrainingError
from fakelab.faces.crop import CROPPER_VERSION, blur_and_luma, cut_face, square_to_cut
from fakelab.faces.find import Finder, make_finder
from fakelab.records import CropSpec, Image

REQUIRED = ("path", "label", "source", "group", "split")
LABELS = ("real", "fake")
SPLITS = ("train", "val", "test")
STORE_SPEC = CropSpec(version=CROPPER_VERSION, size_px=224, margin=0.93)
"""DFDC's published crops measure .93 of the YuNet box (5-95 %: .84-1.01), so every source is cut alike."""
FRAMES_PER_CLIP = 6

Row = dict[str, str]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class FoundCrop:
    """One crop with what the masks and the quality filter need; points are pixels of the crop, NaN if unknown."""

    image: Image
    points: NDArray[np.float32]
    mesh: NDArray[np.float32]
    score: float
    blur: float
    luma: float
    side_px: float


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

    def good(self, *, min_score: float = 0.75, min_blur: float = 12.0, min_luma: float = 35.0) -> NDArray[np.bool_]:
        """(N,) True where the crop is a clear, found face."""
        return np.asarray((self.score >= min_score) & (self.blur >= min_blur) & (self.luma >= min_luma))


def read_manifest(path: Path) -> list[Row]:
    """The rows, `path` made absolute. Raises TrainingError with the row number of what is wrong."""
    try:
        # Spreadsheets put a byte order mark first.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in REQUIRED if name not in (reader.fieldnames or [])]
            if missing:
                raise TrainingError(
                    f"the manifest {path} cannot be used",
                    f"it has no column {', '.join(missing)}",
                    f"Its columns must be {', '.join(REQUIRED)}.",
                )
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(
            f"the manifest {path} cannot be read", str(error), "Give the path of a CSV file."
        ) from error
    for number, row in enumerate(rows, start=2):
        for column in REQUIRED:
            if not row[column]:
                raise TrainingError(
                    f"row {number} of {path} cannot be used", f"it has no {column}", "Fill every column of every row."
                )
        for column, allowed in (("label", LABELS), ("split", SPLITS)):
            if row[column] not in allowed:
                raise TrainingError(
                    f"row {number} of {path} cannot be used",
                    f"{column} is '{row[column]}'",
                    f"Write one of {', '.join(allowed)}.",
                )
    _refuse_leaks(path, rows)
    return [{**row, "path": str(path.parent / row["path"])} for row in rows]


def _refuse_leaks(path: Path, rows: Sequence[Row]) -> None:
    split_of: dict[tuple[str, str], str] = {}
    for number, row in enumerate(rows, start=2):
        keys = {
            (row["source"], row["group"]): f"group '{row['group']}' of {row['source']}",
            ("", str(path.parent / row["path"])): f"the file {row['path']}",
        }
        for key, words in keys.items():
            if split_of.setdefault(key, row["split"]) != row["split"]:
                raise TrainingError(
                    f"the manifest {path} leaks",
                    f"row {number}: {words} is in {split_of[key]} and in {row['split']}",
                    "Put all files of one person or original into one split.",
                )


def build_store(
    manifest: Path, folder: Path, *, mesh: Path | None = None, workers: int = 2, progress: Progress | None = None
) -> FaceStore:
    """The store of a manifest, built in `folder`, or opened if it is already there for the same manifest.

    Rows where no face is found are skipped and counted in ``index.npz`` (`skipped`). Raises TrainingError.
    """
    rows = read_manifest(manifest)
    if (folder / "index.npz").is_file():
        store = open_store(folder)
        if store.sha256 == _digest(manifest):
            return store
    folder.mkdir(parents=True, exist_ok=True)
    size = STORE_SPEC.size_px
    count, skipped, kept = 0, 0, []
    columns: dict[str, list[Any]] = {name: [] for name in ("points", "mesh", "score", "blur", "luma", "side_px")}
    with (folder / "crops.part").open("wb") as raw:
        for done, (row, crops) in enumerate(_prepare_all(rows, mesh, workers), start=1):
            skipped += not crops
            for crop in crops:
                raw.write(crop.image.tobytes())
                for name, values in columns.items():
                    values.append(getattr(crop, name))
                kept.append(row)
                count += 1
            if progress and (done % 50 == 0 or done == len(rows)):
                progress(done, len(rows))
    if not count:
        raise TrainingError(
            f"no face was found in any file of {manifest}", "", "Check the paths, and look at a few files."
        )
    # Without an index a build that is cut off here is no store, rather than one whose rows are another manifest's.
    (folder / "index.npz").unlink(missing_ok=True)
    _raw_to_npy(folder / "crops.part", folder / "crops.npy", (count, size, size, 3))
    (folder / "manifest.csv").write_bytes(manifest.read_bytes())
    arrays: dict[str, Any] = {name: np.asarray(values, dtype=np.float32) for name, values in columns.items()}
    arrays |= {name: np.array([row[name] for row in kept]) for name in ("source", "group", "split", "path")}
    arrays["fake"] = np.array([row["label"] == "fake" for row in kept])
    np.savez(folder / "index.npz", skipped=skipped, sha256=_digest(manifest), **arrays)
    return open_store(folder)


def open_store(folder: Path) -> FaceStore:
    """The store in `folder`. Raises TrainingError if it is not there or not whole."""
    try:
        crops = np.load(folder / "crops.npy", mmap_mode="r")
        with np.load(folder / "index.npz") as index:
            arrays = {name: index[name] for name in FaceStore.__slots__ if name in index.files and name != "sha256"}
            digest = str(index["sha256"])
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{folder} holds no face store", str(error), "Build it from a manifest first.") from error
    if any(len(values) != len(crops) for values in arrays.values()):
        raise TrainingError(
            f"the face store in {folder} is not whole",
            f"{len(crops)} crops, {len(arrays['fake'])} rows in its index",
            "Remove the folder, and build it again.",
        )
    return FaceStore(crops=crops, sha256=digest, **arrays)


def _digest(manifest: Path) -> str:
    return hashlib.sha256(manifest.read_bytes()).hexdigest()


def _raw_to_npy(raw: Path, target: Path, shape: tuple[int, ...]) -> None:
    """Moves raw bytes behind a .npy header: the array is never in memory."""
    # Beside the target and then in its place: truncating a file that another process has mapped would kill that one.
    beside = target.with_suffix(".npy.part")
    out = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
    source = np.memmap(raw, dtype=np.uint8, mode="r", shape=shape)
    for start in range(0, shape[0], 1024):
        out[start : start + 1024] = source[start : start + 1024]
    out.flush()
    beside.replace(target)
    raw.unlink()


def _prepare_all(rows: Sequence[Row], mesh: Path | None, workers: int) -> Iterator[tuple[Row, list[FoundCrop]]]:
    if workers < 2:
        _start_worker(mesh)
        yield from ((row, _prepare_row(row)) for row in rows)
        return
    with ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(mesh,)) as pool:
        # Chunks of rows at a time, so that no more than a few hundred crops wait.
        for start in range(0, len(rows), 256):
            part = rows[start : start + 256]
            yield from zip(part, pool.map(_prepare_row, part, chunksize=8), strict=True)


_tools: dict[str, Any] = {}
"""The finder and the mesh of this worker process."""


def _start_worker(mesh: Path | None) -> None:
    import cv2

    cv2.setNumThreads(1)
    _tools["finder"] = make_finder("yunet")
    if mesh is not None:
        from fakelab.training.mesh import make_mesh

        _tools["mesh"] = make_mesh(mesh)
    else:
        _tools["mesh"] = lambda crop: None


def _prepare_row(row: Row) -> list[FoundCrop]:
    try:
        images: Iterable[Image] = _pictures(Path(row["path"]))
        tight = row.get("tight", "") in ("1", "true")
        found = [_biggest(image, _tools["finder"], tight=tight) for image in images]
    except (FakeLabError, OSError):
        return []
    return [crop for crop in found if crop is not None]


def _pictures(path: Path) -> Iterator[Image]:
    from fakelab.media import Density, open_media

    with open_media(path) as media:
        for frame in media.frames(Density(bursts=FRAMES_PER_CLIP, frames_per_burst=1)):
            yield frame.image


def _biggest(image: Image, finder: Finder, *, tight: bool) -> FoundCrop | None:
    import cv2

    faces = finder(image)
    size = STORE_SPEC.size_px
    if not faces:
        return None
    face = max(faces, key=lambda each: each.box[2] * each.box[3])
    points = np.full((5, 2), np.nan, np.float32) if face.landmarks is None else face.landmarks.copy()
    if tight:
        scale = size / max(image.shape[:2])
        crop = np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        points *= np.array([size / image.shape[1], size / image.shape[0]], np.float32)
    else:
        centre, side = square_to_cut(face.box, STORE_SPEC)
        scale = size / side
        crop = cut_face(image, face.box, face.landmarks, STORE_SPEC).image
        points = (points - np.array(centre, np.float32)) * scale + size / 2
    mesh = _tools["mesh"](crop)
    dense = np.full((468, 2), np.nan, np.float32) if mesh is None else mesh
    blur, luma = blur_and_luma(crop)
    return FoundCrop(crop, points.astype(np.float32), dense, face.score, blur, luma, size / scale)
