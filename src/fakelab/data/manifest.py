"""Manifests: one row per file, in a CSV or Parquet table that every room reads by `read_manifest`.

============  ========================================================================================
path          the file, relative to the manifest (an absolute path is kept as it is)
label         real or fake
source        the data set or channel it comes from; groups and originals are names inside a source
group         who is seen in it: one name for all files of one person, or of people who were swapped
sha256        of the file, 64 hex digits
forgery       the method of a fake
original      the genuine file that a fake was made from; a genuine file names itself
split         train, val or test; empty until ``fakelab data split`` wrote it
licence       the terms of the file
tight         1: the picture already is a face crop, and is only resized
============  ========================================================================================

The first four are needed. Columns of other names are kept and travel along.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakelab.errors import DataError

LABELS = ("real", "fake")
SPLITS = ("train", "val", "test")
NEEDED = ("path", "label", "source", "group")
COLUMNS = (*NEEDED, "sha256", "forgery", "original", "split", "licence", "tight")
YES, NO = ("1", "true", "yes"), ("", "0", "false", "no")
_TOO_MANY = "\0"
"""The name under which fields beyond the last column are kept until they are refused."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Row:
    """One file. `path` is absolute or relative to the working folder, never to the manifest."""

    path: Path
    label: str
    source: str
    group: str
    sha256: str = ""
    forgery: str = ""
    original: str = ""
    split: str = ""
    licence: str = ""
    tight: bool = False
    more: tuple[tuple[str, str], ...] = ()
    """Columns of other names, in the order of the table."""

    @property
    def fake(self) -> bool:
        return self.label == "fake"

    def get(self, column: str) -> str:
        """The text of a column of another name, empty if there is none."""
        return dict(self.more).get(column, "")

    def with_column(self, column: str, value: str) -> Row:
        """The row with a column of another name set."""
        return dataclasses.replace(self, more=tuple((dict(self.more) | {column: value}).items()))


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was read: its rows, the names of its other columns, and the SHA-256 of its bytes."""

    path: Path
    rows: tuple[Row, ...]
    other_columns: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that is on both sides of a split: what, in words, and one row of each side, counted from 0."""

    what: str
    first: int
    second: int


def read_manifest(path: Path, *, split_needed: bool = False) -> Manifest:
    """The manifest at `path`, a CSV or, with the suffix .parquet, a Parquet table (needs the extra 'train').

    With `split_needed` every row must have a split. Raises DataError, which names the row: row 1 is the header, as a
    spreadsheet counts.
    """
    try:
        data = path.read_bytes()
        columns, records = _parquet(data) if path.suffix.lower() == ".parquet" else _csv(data)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise DataError(
            f"the manifest {path} cannot be read", str(error), "Give the path of a CSV or Parquet file."
        ) from error
    needed = (*NEEDED, "split") if split_needed else NEEDED
    missing = [name for name in needed if name not in columns]
    if missing:
        raise DataError(
            f"the manifest {path} cannot be used",
            f"it has no column {', '.join(missing)}",
            f"Its columns must be {', '.join(needed)}." + _hint(missing),
        )
    others = tuple(name for name in columns if name not in COLUMNS)
    rows = []
    for number, record in records:
        try:
            rows.append(_row(record, path.parent, others, needed))
        except _BadRowError as error:
            raise DataError(f"row {number} of {path} cannot be used", error.why, error.do) from error
    return Manifest(path, tuple(rows), others, hashlib.sha256(data).hexdigest())


def read_for_training(path: Path) -> Manifest:
    """The manifest, every row with a split, and nothing on both sides of one. Raises DataError."""
    manifest = read_manifest(path, split_needed=True)
    refuse_leaks(manifest.rows, str(path))
    return manifest


def write_manifest(rows: Iterable[Row], path: Path) -> None:
    """Writes `rows` as a CSV, or as Parquet where `path` ends so; the same rows give the same bytes.

    Files below the manifest's folder are written relative to it, others too where they share more than the root.
    The old file is replaced in one step or not at all. Raises DataError.
    """
    kept = list(rows)
    others = list(dict.fromkeys(name for row in kept for name, _ in row.more))
    columns = [*COLUMNS, *others]
    records = [_record(row, path.parent, others) for row in kept]
    try:
        data = _to_parquet(columns, records) if path.suffix.lower() == ".parquet" else _to_csv(columns, records)
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path} cannot be written", f"a name in it is no text: {error.object!a}", "Rename that file."
        ) from error
    replace_file(path, data)


def replace_file(path: Path, data: bytes) -> None:
    """Writes the bytes to `path` in one step: who reads it sees the old file or the new one. Raises DataError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise DataError(f"{path} cannot be written", str(error), "Check space and rights of its folder.") from error


def ties(row: Row) -> list[tuple[str, tuple[str, ...], str]]:
    """What binds a row to others, as (kind, key, words): rows that share a key belong in one split."""
    found: list[tuple[str, tuple[str, ...], str]] = [
        ("group", (row.source, row.group), f"group '{row.group}' of {row.source}"),
        ("path", (os.path.abspath(row.path),), f"the file {row.path.name}"),
    ]
    if row.original:
        words = f"original '{row.original}' of {row.source}"
        found.append(("original", (row.source, row.original), words))
    if row.sha256:
        found.append(("sha256", (row.sha256,), f"one file, by its SHA-256 {row.sha256[:12]}"))
    if cluster := row.get("cluster"):
        found.append(("cluster", (cluster,), f"face cluster {cluster}"))
    return found


def find_leaks(rows: Sequence[Row]) -> list[Leak]:
    """Groups, originals, files and face clusters that are in two splits, in the order of the rows.

    Rows without a split take no side.
    """
    first_of: dict[tuple[str, tuple[str, ...]], int] = {}
    leaks = []
    for number, row in enumerate(rows):
        if not row.split:
            continue
        for kind, key, words in ties(row):
            first = first_of.setdefault((kind, key), number)
            if rows[first].split != row.split:
                leaks.append(Leak(words, first, number))
    return leaks


def refuse_leaks(rows: Sequence[Row], name: str) -> None:
    """Nothing, or a DataError that lists what is on both sides of a split."""
    leaks = find_leaks(rows)
    if not leaks:
        return
    lines = [
        f"row {leak.second + 2}: {leak.what} is in {rows[leak.first].split} and in {rows[leak.second].split}"
        for leak in leaks[:10]
    ]
    rest = f"; and {len(leaks) - 10} more" if len(leaks) > 10 else ""
    raise DataError(
        f"the manifest {name} leaks",
        "; ".join(lines) + rest,
        "Put all files of one person or original into one split; 'fakelab data split' does.",
    )


class _BadRowError(Exception):
    def __init__(self, why: str, do: str) -> None:
        super().__init__(why)
        self.why, self.do = why, do


def _row(record: dict[str, Any], folder: Path, others: Sequence[str], needed: Sequence[str]) -> Row:
    values = {name: _text(record.get(name)) for name in (*COLUMNS, *others)}
    if _TOO_MANY in record:
        raise _BadRowError("it has more fields than the header", "Put fields with commas into quotes.")
    for name in needed:
        if not values[name]:
            raise _BadRowError(f"it has no {name}", f"Fill {', '.join(needed)} in every row.")
    for name, allowed in (("label", LABELS), ("split", ("", *SPLITS)), ("tight", (*YES, *NO))):
        if values[name] not in allowed:
            known = ", ".join(each for each in allowed if each)
            raise _BadRowError(f"{name} is '{values[name]}'", f"Write one of {known}.")
    if values["sha256"] and not _SHA256.fullmatch(values["sha256"]):
        raise _BadRowError(f"sha256 is '{values['sha256']}'", "Write 64 hex digits, or leave it empty.")
    texts = {name: values[name] for name in COLUMNS if name not in ("path", "tight")}
    more = tuple((name, values[name]) for name in others)
    return Row(path=folder / values["path"], tight=values["tight"] in YES, more=more, **texts)


def _text(value: Any) -> str:
    """The cell of a table as text: nothing and not-a-number are empty, True is 1."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _hint(missing: Sequence[str]) -> str:
    return " 'fakelab data split' writes the splits." if "split" in missing else ""


def _record(row: Row, folder: Path, others: Sequence[str]) -> list[str]:
    texts = {name: getattr(row, name) for name in COLUMNS}
    texts |= {"path": shown_path(row.path, folder), "tight": "1" if row.tight else ""}
    return [*texts.values(), *(row.get(name) for name in others)]


def shown_path(path: Path, folder: Path) -> str:
    """`path` as a manifest in `folder` writes it: relative, with slashes, unless the two share the root alone."""
    whole, base = os.path.abspath(path), os.path.abspath(folder)
    try:
        common = os.path.commonpath([whole, base])
    except ValueError:  # two drives
        return whole
    if common == os.path.dirname(common):
        return whole
    return Path(os.path.relpath(whole, base)).as_posix()


_Table = tuple[list[str], list[tuple[int, dict[str, Any]]]]
"""Names of the columns, and the records with the numbers of their rows."""


def _csv(data: bytes) -> _Table:
    # Spreadsheets put a byte order mark first.
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    columns = next(reader, [])
    # Empty rows are left out, and counted as a spreadsheet counts them.
    records = [(number, fields) for number, fields in enumerate(reader, start=2) if any(fields)]
    return columns, [(number, _named(columns, fields)) for number, fields in records]


def _named(columns: Sequence[str], fields: Sequence[str]) -> dict[str, Any]:
    extra = {_TOO_MANY: fields[len(columns) :]} if len(fields) > len(columns) else {}
    return dict(zip(columns, fields, strict=False)) | extra


def _to_csv(columns: Sequence[str], records: Sequence[Sequence[str]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(records)
    return out.getvalue().encode("utf-8")


def _parquet(data: bytes) -> _Table:
    table = _pyarrow_parquet().read_table(io.BytesIO(data))
    return list(table.column_names), list(enumerate(table.to_pylist(), start=2))


def _to_parquet(columns: Sequence[str], records: Sequence[Sequence[str]]) -> bytes:
    parquet = _pyarrow_parquet()
    import pyarrow as pa

    table = pa.table({name: pa.array([each[k] for each in records], pa.string()) for k, name in enumerate(columns)})
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


def _pyarrow_parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            "Parquet files cannot be read or written",
            "the package 'pyarrow' is not installed",
            "Install it with: pip install 'fakelab-verify[train]', or use a CSV.",
        ) from error
    return parquet
