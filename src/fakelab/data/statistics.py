"""What a manifest and its crops hold: videos, photos, people, faces for each source, label and split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakelab.data.duplicates import rows_of_crops
from fakelab.data.manifest import SPLITS, Row
from fakelab.data.store import FaceStore
from fakelab.data.tables import kind_of
from fakelab.errors import EnvironmentBrokenError

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table. What needs a store is None without one."""

    source: str
    label: str
    split: str
    videos: int
    photos: int
    missing: int
    """Files that are not there, or are no photo or video."""
    people: int
    """Groups."""
    originals: int
    frames: int | None = None
    faces: int | None = None
    tracks: int | None = None
    """People told apart inside the files."""
    face_px: float | None = None
    """Median side of a crop in its source picture."""


COLUMNS = ("source", "label", "split", "videos", "photos", "missing", "people", "originals", "frames", "faces",
           "tracks", "face_px")  # fmt: skip


def statistics(rows: Sequence[Row], store: FaceStore | None = None, progress: Progress | None = None) -> list[Line]:
    """A line for each source, label and split, then one of all. Raises DataError for a store of other files."""
    kinds = []
    for number, row in enumerate(rows, start=1):
        kinds.append(kind_of(row.path))
        if progress:
            progress(number, len(rows))
    row_of = None if store is None else rows_of_crops(rows, store)
    order = {split: k for k, split in enumerate((*SPLITS, ""))}
    cells: dict[tuple[str, str, str], list[int]] = {}
    for number, row in enumerate(rows):
        cells.setdefault((row.source, row.label, row.split), []).append(number)
    keys = sorted(cells, key=lambda key: (key[0], key[1] != "real", order[key[2]]))
    lines = [_line(rows, kinds, cells[key], key, store, row_of) for key in keys]
    return [*lines, _line(rows, kinds, list(range(len(rows))), ("all", "", ""), store, row_of)]


def markdown(lines: Sequence[Line]) -> str:
    """The lines as a table. Columns that say nothing are left out."""
    shown = [c for c in COLUMNS if any(getattr(line, c) is not None for line in lines)]
    shown = [c for c in shown if c not in ("missing", "photos", "videos") or any(getattr(line, c) for line in lines)]
    head = ["| " + " | ".join(name.replace("_", " ") for name in shown) + " |"]
    head.append("|" + "|".join("---" if name in ("source", "label", "split") else "---:" for name in shown) + "|")
    return "\n".join(head + ["| " + " | ".join(_cell(getattr(line, name)) for name in shown) + " |" for line in lines])


def draw(lines: Sequence[Line], target: Path) -> None:
    """A figure: for each source and label a bar of its files, parted by split; with crops a second one of faces.

    The suffix of `target` says the format. Raises EnvironmentBrokenError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EnvironmentBrokenError(
            "the figure cannot be drawn", str(error), "Install it with: pip install 'fakelab-verify[train]'"
        ) from error
    parts = [line for line in lines if line.label]
    names = list(dict.fromkeys(f"{line.source}, {line.label}" for line in parts))
    with_faces = any(line.faces is not None for line in parts)
    # Figure, not pyplot: no window system, no global state.
    figure = Figure(figsize=(6.5 * (1 + with_faces), 1.2 + 0.34 * len(names)), layout="constrained")
    axes = figure.subplots(1, 1 + with_faces, sharey=True, squeeze=False)[0]
    for axis, title in zip(axes, ("files", "faces"), strict=False):
        left = np.zeros(len(names))
        for split, colour in (("train", "#31688e"), ("val", "#35b779"), ("test", "#e0a030"), ("", "#9a9a9a")):
            counts = np.zeros(len(names))
            for line in parts:
                if line.split == split:
                    value = line.faces or 0 if title == "faces" else line.videos + line.photos + line.missing
                    counts[names.index(f"{line.source}, {line.label}")] += value
            if counts.any():
                axis.barh(names, counts, left=left, color=colour, label=split or "no split")
            left += counts
        axis.set_xlabel(title)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    axes[0].legend(frameon=False, loc="lower right")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Without dates the same lines give the same bytes.
    metadata = {"Date": None} if target.suffix == ".svg" else None
    figure.savefig(target, metadata=metadata, dpi=150)


def _line(
    rows: Sequence[Row],
    kinds: Sequence[str],
    members: list[int],
    key: tuple[str, str, str],
    store: FaceStore | None,
    row_of: NDArray[np.int64] | None,
) -> Line:
    seen = [kinds[number] for number in members]
    more: dict[str, int | float] = {}
    if store is not None and row_of is not None:
        at = np.flatnonzero(np.isin(row_of, members))
        more = {"faces": len(at), "face_px": float(np.median(store.side_px[at])) if len(at) else 0.0}
        if store.person is not None and store.time_s is not None:
            more["tracks"] = len(set(zip(row_of[at].tolist(), store.person[at].tolist(), strict=True)))
            more["frames"] = len(set(zip(row_of[at].tolist(), store.time_s[at].tolist(), strict=True)))
    return Line(
        *key,
        videos=seen.count("video"),
        photos=seen.count("photo"),
        missing=seen.count(""),
        people=len({(rows[number].source, rows[number].group) for number in members}),
        originals=len({(rows[n].source, rows[n].original) for n in members if rows[n].original}),
        **more,  # type: ignore[arg-type]
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if isinstance(value, float) else str(value).replace("|", "\\|")
