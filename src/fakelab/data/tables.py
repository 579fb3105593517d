"""Tables of labels as people write them: which column is which, what a label is called, what a file is."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fakelab.errors import DataError, MediaError

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
}
REAL_WORDS = ("real", "genuine", "original", "pristine", "authentic", "bonafide", "0", "false")
FAKE_WORDS = ("fake", "forged", "manipulated", "deepfake", "spoof", "synthetic", "generated", "1", "true")
ALIASES: dict[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name", "video", "videoname", "video_name", "image", "name"),
    "label": ("label", "class", "target", "is_fake", "fake"),
    "group": ("group", "identity", "person", "subject", "speaker", "original"),
    "original": ("original", "original_video"),
    "source": ("source", "dataset", "data_set"),
    "forgery": ("forgery", "method", "manipulation", "system"),
    "split": ("split", "set", "partition", "subset"),
    "licence": ("licence", "license"),
    "tight": ("tight",),
}
"""Our column -> the names under which tables of labels have it, the first that is there counts."""


def find_columns(
    names: Sequence[str], told: dict[str, str], listed: Path, needed: Sequence[str] = ("path", "label")
) -> dict[str, str]:
    """Our column -> the table's, by `told` first and ALIASES then. Raises DataError for one that is needed."""
    for ours, theirs in told.items():
        if ours not in ALIASES or theirs not in names:
            raise DataError(
                f"the columns {ours}={theirs} do not fit {listed}",
                f"ours are {', '.join(ALIASES)}; the table's are {', '.join(names)}",
                "Give --map OURS=THEIRS.",
            )
    low = {name.lower(): name for name in reversed(names)}
    known = {ours: next((low[a] for a in aliases if a in low), "") for ours, aliases in ALIASES.items()}
    columns = {ours: name for ours, name in (known | told).items() if name}
    for ours in needed:
        if ours not in columns:
            raise DataError(
                f"{listed} cannot be used",
                f"none of its columns ({', '.join(names)}) is known as the {ours}",
                f"Give --map {ours}=NAME.",
            )
    return columns


def read_table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Names of the columns, and the rows with their numbers, of a CSV. Raises DataError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            rows = [(number, dict(row)) for number, row in enumerate(reader, start=2)]
            names = [name for name in reader.fieldnames or [] if name]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the table {path} cannot be read", str(error), "Give the path of a CSV file.") from error
    return names, [(number, {name: str(row[name]).strip() for name in names}) for number, row in rows]


def read_label(told: Any, listed: Path, where: str) -> str:
    """real or fake, for a word of REAL_WORDS or FAKE_WORDS. Raises DataError, which names the place."""
    word = str(told).strip().lower()
    if word in REAL_WORDS:
        return "real"
    if word in FAKE_WORDS:
        return "fake"
    raise DataError(
        f"{where} of {listed} cannot be used",
        f"its label is '{told}'",
        f"Known words: {', '.join(REAL_WORDS)} (real), {', '.join(FAKE_WORDS)} (fake).",
    )


def kind_of(path: Path) -> str:
    """video or photo by the first bytes, empty for a file that is neither or not there."""
    from fakelab.media import identify
    from fakelab.media.probe import open_file, reader_at

    try:
        fd, _ = open_file(path)
    except MediaError:
        return ""
    try:
        kind = identify(reader_at(fd), str(path)).kind.value
    except MediaError:
        return ""
    finally:
        os.close(fd)
    return kind if kind in ("video", "photo") else ""
