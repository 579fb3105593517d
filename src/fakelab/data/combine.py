"""Manifests -> one manifest, and face stores -> one store: the joined stream of several sets."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.data.manifest import Row, read_manifest, write_manifest
from fakelab.data.store import FaceStore, open_store, write_crops, write_index
from fakelab.errors import DataError

TWIN_FILES = ("twins.npy", "rows.npy", "done.txt", "store.txt")


@dataclass(frozen=True, slots=True)
class Combined:
    """The joined rows, and files that are in them twice, as positions (first, later)."""

    rows: tuple[Row, ...]
    same_file: int
    """Rows left out since the same path, source and group was there already."""
    duplicates: tuple[tuple[int, int], ...]
    """Rows of one SHA-256 under different paths or names: kept, so that a split keeps them together."""


def combine(manifests: Sequence[Path]) -> Combined:
    """The rows of the manifests one after the other, splits kept. Raises DataError.

    A file that is in two of them under one source and group is one row; what the first leaves empty the later fills.
    One file with two labels is refused.
    """
    rows: list[Row] = []
    place: dict[tuple[str, str, str], int] = {}
    same = 0
    for path in manifests:
        for row in read_manifest(path).rows:
            key = (os.path.abspath(row.path), row.source, row.group)
            if key in place:
                same += 1
                rows[place[key]] = _merged(rows[place[key]], row)
            else:
                place[key] = len(rows)
                rows.append(row)
    return Combined(tuple(rows), same, tuple(_duplicates(rows)))


def write_combined(manifests: Sequence[Path], out: Path) -> Combined:
    """`combine`, written to `out`, paths relative to it: the same manifests give the same bytes. Raises DataError."""
    if any(out.resolve() == path.resolve() for path in manifests):
        raise DataError(f"{out} is one of the manifests to be joined", "", "Choose another --out.")
    found = combine(manifests)
    write_manifest(found.rows, out)
    return found


def _merged(first: Row, later: Row) -> Row:
    _refuse_two_labels(first, later)
    names = ("sha256", "forgery", "original", "split", "licence")
    filled = {name: getattr(first, name) or getattr(later, name) for name in names}
    more = dict(later.more) | {name: text for name, text in first.more if text or name not in dict(later.more)}
    order = [*dict(first.more), *(name for name in more if name not in dict(first.more))]
    return dataclasses.replace(first, **filled, more=tuple((name, more[name]) for name in order))


def _duplicates(rows: Sequence[Row]) -> list[tuple[int, int]]:
    first_of: dict[str, int] = {}
    found = []
    for number, row in enumerate(rows):
        first = first_of.setdefault(row.sha256 or os.path.abspath(row.path), number)
        if first != number:
            _refuse_two_labels(rows[first], row)
            found.append((first, number))
    return found


def _refuse_two_labels(first: Row, later: Row) -> None:
    if first.label != later.label:
        raise DataError(
            "one file has two labels",
            f"{first.path} is {first.label}, {later.path} is {later.label}, and they are the same file",
            "Find out which is right, and mend the other manifest.",
        )


# -- face stores ---------------------------------------------------------------------------------------------------


def combine_stores(folders: Sequence[Path], out: Path) -> FaceStore:
    """One store with the crops of all, one after the other. Raises DataError where sizes differ or people leak.

    Its SHA-256 is that of the list of theirs.
    """
    stores = [open_store(folder) for folder in folders]
    _refuse_own(folders, out)
    sizes = {store.crops.shape[1:] for store in stores}
    if len(sizes) > 1:
        raise DataError(
            "the stores cannot be joined",
            f"their crops are of different sizes: {', '.join(f'{size[0]} px' for size in sorted(sizes))}",
            "Prepare them anew with one --size.",
        )
    arrays: dict[str, Any] = {}
    for field in dataclasses.fields(FaceStore):
        parts = [getattr(store, field.name) for store in stores]
        # What one store does not know, the whole does not know.
        if field.name not in ("crops", "sha256") and all(part is not None for part in parts):
            arrays[field.name] = np.concatenate(parts)
    _refuse_store_leaks(arrays)
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.npz").unlink(missing_ok=True)
    write_crops(out / "crops.npy", [store.crops for store in stores])
    kept = [folder / "manifest.csv" for folder in folders]
    if all(path.is_file() for path in kept):
        write_manifest(combine(kept).rows, out / "manifest.csv")
    write_index(out / "index.npz", arrays, sha256=joined_sha256(stores), skipped=sum(map(_skipped, folders)))
    return open_store(out)


def combine_twins(folders: Sequence[Path], stores: Sequence[Path], out: Path) -> int:
    """The twins of `stores`, joined for the store that `combine_stores` makes of them; returns how many.

    `folders` in any order: each says of which store it is. Rows are shifted by the crops before their store. Raises
    DataError for twins of another store, or of which some are missing.
    """
    opened = [open_store(folder) for folder in stores]
    _refuse_own(folders, out)
    starts = dict(zip([s.sha256 for s in opened], np.cumsum([0, *(len(s.crops) for s in opened)])[:-1], strict=True))
    parts: list[tuple[int, NDArray[np.int64], NDArray[np.uint8]]] = []
    for folder in folders:
        store, rows, twins = _twins(folder)
        if store not in starts:
            raise DataError(f"the twins in {folder} are of none of these stores", "", "Name their store, too.")
        parts.append((int(starts[store]), rows + starts[store], twins))
    parts.sort(key=lambda part: part[0])
    out.mkdir(parents=True, exist_ok=True)
    (out / "done.txt").unlink(missing_ok=True)
    write_crops(out / "twins.npy", [twins for _, _, twins in parts])
    rows = np.concatenate([rows for _, rows, _ in parts])
    np.save(out / "rows.npy", rows)
    (out / "store.txt").write_text(joined_sha256(opened), encoding="utf-8")
    (out / "done.txt").write_text(str(len(rows)), encoding="utf-8")
    return len(rows)


def joined_sha256(stores: Sequence[FaceStore]) -> str:
    """What stands for the manifests of stores that were joined."""
    return hashlib.sha256("\n".join(store.sha256 for store in stores).encode()).hexdigest()


def _twins(folder: Path) -> tuple[str, NDArray[np.int64], NDArray[np.uint8]]:
    """SHA-256 of the store, rows and twins, as far as they were made."""
    try:
        done = int((folder / "done.txt").read_text(encoding="utf-8"))
        store = (folder / "store.txt").read_text(encoding="utf-8").strip()
        return store, np.load(folder / "rows.npy")[:done], np.load(folder / "twins.npy", mmap_mode="r")[:done]
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} holds no twins", str(error), f"It should hold {', '.join(TWIN_FILES)}.") from error


def _refuse_own(folders: Sequence[Path], out: Path) -> None:
    if any(out.resolve() == folder.resolve() for folder in folders):
        raise DataError(f"{out} is one of those to be joined", "", "Choose another --out.")


def _refuse_store_leaks(arrays: dict[str, Any]) -> None:
    split_of: dict[tuple[str, str], str] = {}
    for source, group, split in zip(arrays["source"], arrays["group"], arrays["split"], strict=True):
        before = split_of.setdefault((str(source), str(group)), str(split))
        if before != split:
            raise DataError(
                "the stores cannot be joined",
                f"group '{group}' of {source} is in {before} and in {split}",
                "Join and split their manifests, and prepare anew.",
            )


def _skipped(folder: Path) -> int:
    with np.load(folder / "index.npz") as index:
        return int(index["skipped"]) if "skipped" in index.files else 0
