"""Small stores of face crops for the tests of this room: one portrait, varied, and crops that tell their own row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fakelab.data.store import FaceStore
from fakelab.records import Image
from fakelab.training.pairs import PairSource
from portrait_maker import face_crop

POINTS = np.array([[0.34, 0.42], [0.64, 0.42], [0.5, 0.6], [0.37, 0.75], [0.62, 0.75]], np.float32)
"""Right eye, left eye, nose, right and left mouth corner, as shares of a crop."""


class Row(NamedTuple):
    fake: bool
    source: str
    group: str
    split: str


def mesh(size: int) -> NDArray[np.float32]:
    """(468, 2): a face drawn with ellipses through the points that the masks use, the rest inside."""
    from fakelab.training import blend

    rng = np.random.default_rng(0)
    points = rng.uniform(0.35, 0.65, (468, 2))
    for names, centre, axes in (
        (blend.OVAL, (0.5, 0.52), (0.36, 0.44)),
        (blend.LIPS, (0.5, 0.76), (0.14, 0.06)),
        (blend.RIGHT_EYE, (0.34, 0.42), (0.08, 0.04)),
        (blend.LEFT_EYE, (0.64, 0.42), (0.08, 0.04)),
    ):
        angle = np.linspace(-np.pi / 2, 1.5 * np.pi, len(names), endpoint=False)
        points[list(names)] = np.array(centre) + np.stack([np.cos(angle), np.sin(angle)], 1) * np.array(axes)
    points[list(blend.BROWS)] = np.stack(
        [np.linspace(0.24, 0.76, len(blend.BROWS)), np.full(len(blend.BROWS), 0.33)], 1
    )
    points[list(blend.NOSE)] = np.stack([np.full(len(blend.NOSE), 0.5), np.linspace(0.42, 0.62, len(blend.NOSE))], 1)
    return np.asarray(points * size, dtype=np.float32)


def faces(count: int, size: int) -> NDArray[np.uint8]:
    return np.stack([face_crop(size, seed) for seed in range(count)])


def numbered(count: int, size: int) -> NDArray[np.uint8]:
    """Flat crops whose value is their row: (N, S, S, 3)."""
    return np.repeat(np.arange(count, dtype=np.uint8), size * size * 3).reshape(count, size, size, 3)


def people(split: str, count: int, *, source: str = "camera", each: int = 1, fakes: int = 0) -> list[Row]:
    """`count` people with `each` real crops and `fakes` forged ones."""
    return [
        Row(fake, source, f"{split}{number}", split)
        for number in range(count)
        for fake, times in ((False, each), (True, fakes))
        for _ in range(times)
    ]


def make_store(rows: Sequence[Row], crops: Any, sha256: str = "of a manifest") -> FaceStore:
    count, size = len(rows), crops.shape[1]
    assert crops.shape[0] == count
    rng = np.random.default_rng(1)
    return FaceStore(
        crops=crops,
        points=(POINTS * size + rng.normal(0, 0.01 * size, (count, 5, 2))).astype(np.float32),
        mesh=np.full((count, 468, 2), np.nan, np.float32),
        score=np.full(count, 0.9, np.float32),
        blur=np.full(count, 100.0, np.float32),
        luma=np.full(count, 120.0, np.float32),
        side_px=np.full(count, 200.0, np.float32),
        fake=np.array([row.fake for row in rows]),
        source=np.array([row.source for row in rows]),
        group=np.array([row.group for row in rows]),
        split=np.array([row.split for row in rows]),
        sha256=sha256,
    )


def save_store(store: FaceStore, folder: Path) -> Path:
    """Writes the store as `open_store` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "crops.npy", store.crops)
    known = [name for name in FaceStore.__slots__ if getattr(store, name) is not None]
    names = [name for name in known if name not in ("crops", "sha256")]
    np.savez(folder / "index.npz", **{name: getattr(store, name) for name in names}, skipped=0, sha256=store.sha256)
    return folder


def pair_source(store: FaceStore, split: str = "train", **more: Any) -> PairSource:
    settings = {"twins": None, "kinds": {"self": 1.0}, "sources": {}, "augment": "default", "seed": 0} | more
    return PairSource(store, split=split, **settings)


def told_codec(frames: Sequence[Image], codec: str, *, crf: int, preset: str) -> list[Image]:
    """In place of a video encoder: the frames, marked with what was asked for. x264 is not exact twice."""
    mark = (len(codec) + crf + len(preset)) % 256
    return [np.concatenate([np.full_like(frame[:1], mark), frame[1:]]) for frame in frames]


class Watched:
    """An array of crops that notes which rows were read."""

    def __init__(self, crops: NDArray[np.uint8]) -> None:
        self.crops, self.shape, self.read = crops, crops.shape, set[int]()

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        self.read.add(int(row))
        return self.crops[row]
