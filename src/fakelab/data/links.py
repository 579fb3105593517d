"""A list of links with labels -> files: those that were downloaded already, and the rest when that is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fakelab.data.layouts import Found, Options
from fakelab.data.tables import SPLIT_WORDS, find_columns, read_label, read_table
from fakelab.errors import DataError, FakeLabError

DOWNLOADS = "downloads"
"""The folder beside the list that holds the files of its links."""
Progress = Callable[[int, int], None]


def name_of(url: str) -> str:
    """The file name, without suffix, under which the file of a link is kept."""
    return hashlib.sha256(url.strip().encode()).hexdigest()[:16]


def listed(path: Path, options: Options) -> Iterator[Found]:
    """The files of a list: a CSV with url or file, label, and mostly group, original, forgery, source, licence.

    Without a group the link is its own. Files of links lie in ``downloads`` beside the list. Raises DataError.
    """
    names, rows = read_table(path)
    columns = _columns(names, options, path)
    for number, row in rows:
        told = {ours: row[theirs] for ours, theirs in columns.items()}
        url = row.get("url", "")
        if not url and not told.get("path"):
            raise DataError(f"row {number} of {path} cannot be used", "it has no url and no file", "Fill one of them.")
        file = path.parent / told["path"] if told.get("path") else downloaded(path, url)
        label = read_label(told["label"], path, f"row {number}")
        group = told.get("group") or told.get("original") or (name_of(url) if url else file.stem)
        yield Found(
            path=file,
            label=label,
            people=(group,),
            forgery=told.get("forgery", "") if label == "fake" else "",
            original=told.get("original", ""),
            split=SPLIT_WORDS.get(told.get("split", "").lower(), ""),
            source=told.get("source", ""),
            licence=told.get("licence", ""),
            more=(("url", url),),
        )


def downloaded(listing: Path, url: str) -> Path:
    """Where the file of a link is, or would be."""
    folder, name = listing.parent / DOWNLOADS, name_of(url)
    there = sorted(p for p in folder.glob(f"{name}.*") if p.suffix not in (".part", ".ytdl"))
    return there[0] if there else folder / f"{name}.mp4"


def download_missing(
    listing: Path, options: Options, fetch: Callable[[str, Path, str], Path], progress: Progress | None = None
) -> list[tuple[str, str]]:
    """Fetches what `listed` misses by ``fetch(url, folder, name)``; returns the links that failed, and why."""
    names, rows = read_table(listing)
    _columns(names, options, listing)
    wanted = [row["url"] for _, row in rows if row.get("url") and not downloaded(listing, row["url"]).is_file()]
    failed = []
    for number, url in enumerate(dict.fromkeys(wanted), start=1):
        try:
            fetch(url, listing.parent / DOWNLOADS, name_of(url))
        except FakeLabError as error:
            failed.append((url, error.why or error.what))
        if progress:
            progress(number, len(wanted))
    return failed


def _columns(names: Sequence[str], options: Options, path: Path) -> dict[str, str]:
    columns = find_columns(names, options.columns, path, needed=("label",))
    if "url" not in names and "path" not in columns:
        raise DataError(f"{path} cannot be used", "it has no column url and no column file", "Add one of them.")
    return columns
