"""Small data sets for the tests of this room: one portrait, varied, as photos and clips, and manifests of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import media_maker
import portrait_maker
from fakelab.data.manifest import Row

Image = NDArray[np.uint8]
HEADER = "path,label,source,group,split"


@lru_cache(maxsize=1)
def portrait() -> Image:
    """(400, 400, 3): the part of it that clips and photos show."""
    return np.ascontiguousarray(portrait_maker.portrait()[:400, :400])


def write_picture(path: Path, image: Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1])
    return path


def two_faces(_: int, width_px: int, height_px: int) -> Image:
    """A wide picture: the portrait, and beside it a smaller, mirrored and tinted one."""
    image = np.full((height_px, width_px, 3), 90, np.uint8)
    image[: min(400, height_px), :400] = portrait()[:height_px]
    small = cv2.resize(portrait()[:, ::-1], (240, 240), interpolation=cv2.INTER_AREA)
    image[:240, 400:640] = (small * np.array([1.0, 0.8, 0.6])).astype(np.uint8)
    return image


def write_clip(path: Path, frames: int = 12) -> Path:
    """A clip of two people, one of them near."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return media_maker.make_video(path, frames, width_px=640, height_px=400, picture=two_faces)


def manifest(folder: Path, *rows: str, header: str = HEADER, name: str = "manifest.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def touch(root: Path, *names: str) -> Path:
    """Files below `root` whose bytes are their own names."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return root


def row(path: str, label: str = "real", group: str = "g", **more: str) -> Row:
    return Row(Path(path), label, more.pop("source", "s"), group, **more)  # type: ignore[arg-type]


def splits(rows: Sequence[Row]) -> dict[str, set[str]]:
    """Split -> the names of the files in it."""
    found: dict[str, set[str]] = {}
    for each in rows:
        found.setdefault(each.split, set()).add(each.path.name)
    return found
