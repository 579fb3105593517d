"""Photos -> copies as they come back from circulation: smaller, sometimes cut, compressed once more."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from fakelab.data.manifest import Row
from fakelab.errors import MediaError
from fakelab.media.degrade import PHOTO_FORMATS, encode_photo
from fakelab.records import Image

SMALLEST_PX = 256
"""No side becomes shorter by cutting or shrinking: a model of whole pictures sees 224 px."""
LONGEST_WEBP_PX = 16383
WORKERS = 2


def write_copies(
    rows: Sequence[Row],
    folder: Path,
    *,
    trusted: bool = False,
    seed: int = 0,
    workers: int = WORKERS,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row | None]:
    """A copy of each photo, written to `folder`; None for one that cannot be read, or is not the manifest's.

    30 to 100 % of the side, sometimes with a margin cut off, JPEG or WebP at 40 to 92. A copy is named by what it was
    made from, so that a run that was cut off goes on, and a list that changed gets no copy of another picture. With
    `trusted` files are decoded without the confined process a file (`media.trusted`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Row | None] = []
    # Spawned: the trusted reader works through flags of its process.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    try:
        for row, path in zip(rows, pool.map(partial(_copy, folder, trusted, seed), rows, chunksize=8), strict=True):
            made.append(None if path is None else dataclasses.replace(row, path=path, sha256="", original=""))
            if progress:
                progress(len(made), len(rows))
    finally:
        pool.shutdown(cancel_futures=True)
    return made


def _copy(folder: Path, trusted: bool, seed: int, row: Row) -> Path | None:
    from fakelab.media import Density, open_media
    from fakelab.media.trusted import open_trusted

    try:
        with open_trusted(row.path) if trusted else open_media(row.path) as media:
            if row.sha256 and media.info.sha256 != row.sha256:
                return None
            named = hashlib.sha256(f"{media.info.sha256} {seed}".encode()).hexdigest()[:32]
            rng = np.random.default_rng(int(named, 16))
            kind = "jpeg" if rng.random() < 0.85 else "webp"
            path = (folder / named).with_suffix(PHOTO_FORMATS[kind])
            if path.is_file():
                return path
            picture = next(iter(media.frames(Density(1, 1)))).image
            beside = path.with_suffix(".part")
            beside.write_bytes(circulated(picture, kind, rng))
    except (MediaError, StopIteration, ValueError):
        return None
    beside.replace(path)
    return path


def circulated(picture: Image, kind: str, rng: np.random.Generator) -> bytes:
    """The file of a picture that was shared: maybe cut, made smaller, compressed as `kind`. Raises ValueError."""
    height, width = (max(1, round(side * float(rng.uniform(0.8, 1.0)))) for side in picture.shape[:2])
    if rng.random() < 0.25 and min(height, width) >= SMALLEST_PX:
        top = int(rng.integers(0, picture.shape[0] - height + 1))
        left = int(rng.integers(0, picture.shape[1] - width + 1))
        picture = picture[top : top + height, left : left + width]
    short = min(picture.shape[:2])
    if rng.random() < 0.7 and short > SMALLEST_PX:
        side = max(SMALLEST_PX, round(short * float(rng.uniform(0.3, 1.0))))
        height, width = (max(1, round(each * side / short)) for each in picture.shape[:2])
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if max(picture.shape[:2]) > LONGEST_WEBP_PX:
        kind = "jpeg"
    return encode_photo(picture, kind, int(rng.integers(40, 93)))
