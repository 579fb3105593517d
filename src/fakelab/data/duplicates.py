"""Faces that are nearly the same picture: on both sides of a split, or in training and in a test.

The discrete cosine hash (C. Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"): luma,
64 x 64, the 16 x 16 lowest frequencies, a bit each for whether it is above their median. Two different pictures share
about half of the 256 bits. A hash is no secret: a blurred likeness of the face can be made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakelab.data.manifest import Row
from fakelab.data.store import FaceStore
from fakelab.errors import DataError
from fakelab.records import Image

BYTES = 32
BITS = 8 * BYTES
NEAR_BITS = 48
"""Of 2.6 million pairs of different people's faces 10 are as near, most of them one person under two names. Copies that
were compressed, halved or brightened all are, and 99 % of those shifted by 1.3 % of the side or enlarged by 3 %; a
shift by 3 % is past it."""
BLOCK = 128
_SIDE, _KEPT = 64, 16

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two rows, from 0, whose faces differ by `bits` of 256."""

    first: int
    second: int
    bits: int


def face_hash(crop: Image) -> NDArray[np.uint8]:
    """(32,) uint8, the packed bits of an (S, S, 3) uint8 RGB crop."""
    import cv2

    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    kind = cv2.INTER_AREA if grey.shape[0] >= _SIDE else cv2.INTER_CUBIC
    low = cv2.dct(cv2.resize(grey, (_SIDE, _SIDE), interpolation=kind).astype(np.float32))[:_KEPT, :_KEPT]
    return np.packbits((low > np.median(low)).ravel())


def bits_apart(hashes: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """(N, M) in how many of 256 bits each of (N, 32) hashes differs from each of (M, 32)."""
    mine, theirs = (np.ascontiguousarray(each).view(np.uint64) for each in (hashes, others))
    # Word by word: summing over a last axis of four is slow.
    apart = np.zeros((len(mine), len(theirs)), np.uint16)
    for word in range(mine.shape[1]):
        apart += np.bitwise_count(mine[:, word, None] ^ theirs[None, :, word])
    return apart


def write_known(store: FaceStore, rows: NDArray[np.int64], path: Path) -> int:
    """Writes the hashes of the store's `rows`, (N, 32) uint8 and each once, and returns how many they are."""
    # One at a time: the crops together may not fit into memory.
    hashes = np.unique([face_hash(np.array(store.crops[row])) for row in rows], axis=0)
    np.save(path, np.asarray(hashes, dtype=np.uint8))
    return len(hashes)


def read_known(paths: Sequence[Path]) -> NDArray[np.uint8]:
    """(N, 32) the hashes in all the files. Raises DataError for a file that holds none."""
    found = []
    for path in paths:
        try:
            hashes = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path} holds no known faces", str(error), "Name a run's known.npy.") from error
        if hashes.dtype != np.uint8 or hashes.ndim != 2 or hashes.shape[1] != BYTES or not len(hashes):
            raise DataError(
                f"{path} holds no known faces", f"it holds {hashes.dtype} {hashes.shape}", "Name a run's known.npy."
            )
        found.append(hashes)
    return np.concatenate(found)


def hash_crops(crops: NDArray[np.uint8], progress: Progress | None = None) -> NDArray[np.uint8]:
    """(N, 32) packed bits of (N, S, S, 3) RGB crops."""
    packed = np.zeros((len(crops), BYTES), np.uint8)
    for k, crop in enumerate(crops):
        packed[k] = face_hash(crop)
        if progress:
            progress(k + 1, len(crops))
    return packed


def rows_of_crops(rows: Sequence[Row], store: FaceStore) -> NDArray[np.int64]:
    """(N,) the row, from 0, that each crop of the store belongs to; -1 where the rows have no such file.

    Raises DataError for a store that does not say, or that holds none of the rows.
    """
    if store.path is None:
        raise DataError("the face store does not say of which files it is", "it is of an old version", "Prepare anew.")
    place = {str(Path(row.path).resolve()): number for number, row in enumerate(rows)}
    known: dict[str, int] = {path: place.get(str(Path(path).resolve()), -1) for path in np.unique(store.path).tolist()}
    found = np.array([known[path] for path in store.path.tolist()], dtype=np.int64)
    if not (found >= 0).any():
        raise DataError(
            "the face store is of other files", "none of its crops belongs to a row", "Prepare this manifest."
        )
    return found


def near_pairs(
    hashes: NDArray[np.uint8],
    row_of: NDArray[np.int64],
    side_of: Sequence[object],
    limit_bits: int = NEAR_BITS,
    progress: Progress | None = None,
) -> list[NearPair]:
    """Pairs of rows on different sides whose nearest crops differ by at most `limit_bits`, nearest first.

    `side_of` says each row's side; rows of one side are not compared. Blocks of crops are compared with all: O(N^2)
    bits, some seconds and 100 MB for 20,000 crops.
    """
    usable = np.flatnonzero(row_of >= 0)
    kept = hashes[usable]
    rows = row_of[usable]
    place = {name: k for k, name in enumerate(dict.fromkeys(side_of))}
    side = np.array([place[each] for each in side_of], dtype=np.int64)[rows]
    best: dict[tuple[int, int], int] = {}
    for start in range(0, len(kept), BLOCK):
        block = slice(start, start + BLOCK)
        bits = bits_apart(kept[block], kept[start:])
        near = (bits <= limit_bits) & (side[block, None] != side[None, start:])
        for i, j in zip(*np.nonzero(near), strict=True):
            a, b = sorted((int(rows[start + i]), int(rows[start + j])))
            best[a, b] = min(best.get((a, b), 999), int(bits[i, j]))
        if progress:
            progress(min(start + BLOCK, len(kept)), len(kept))
    return sorted((NearPair(a, b, bits) for (a, b), bits in best.items()), key=lambda p: (p.bits, p.first, p.second))


def refuse_near(rows: Sequence[Row], pairs: Sequence[NearPair], shown: int = 20) -> None:
    """Nothing, or a DataError that lists what is nearly the same on both sides of a split."""
    if not pairs:
        return
    lines = [
        " and ".join(f"{rows[k].path} ({rows[k].split})" for k in (p.first, p.second)) + f": {p.bits} bits"
        for p in pairs[:shown]
    ]
    rest = f"; and {len(pairs) - shown} more" if len(pairs) > shown else ""
    raise DataError(
        f"{len(pairs)} pairs of files on both sides of a split show nearly the same face",
        "; ".join(lines) + rest,
        "Give --join-near to keep such files together, or take one of each pair out.",
    )
