"""Invented people for tests: each seed is a pattern of its own texture and tint, which looks alike in every frame."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fakelab.faces.likeness import MEDIAN_POINTS
from fakelab.records import Box, Crop, Face

SIZE_PX = 96
FRAME = (1280, 720)


@lru_cache(maxsize=256)
def portrait(seed: int) -> NDArray[np.uint8]:
    """(96, 96, 3) RGB: coarse and fine random patches around a tint of its own."""
    random = np.random.default_rng(seed)
    tint = random.uniform(70, 190, 3)
    image = np.zeros((SIZE_PX, SIZE_PX, 3)) + tint
    for cells, strength in ((4, 25), (12, 20), (32, 10)):
        field = random.normal(0, strength, (cells, cells)).astype(np.float32)
        image += cv2.resize(field, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)[:, :, None]
    return np.clip(image, 0, 255).astype(np.uint8)


def face(
    seed: int,
    frame_index: int,
    burst: int,
    box: Box = (600.0, 200.0, 150.0, 200.0),
    *,
    time_s: float | None = None,
    score: float = 0.9,
    light: float = 0.0,
    landmarks: bool = True,
) -> Face:
    """The person of this seed, seen once more: a little noise, `light` brighter."""
    noise = np.random.default_rng((seed, frame_index)).normal(light, 2.0, (SIZE_PX, SIZE_PX, 3))
    x, y, width, height = box
    middle = np.array([x + width / 2, y + height / 2])
    points = (middle + max(width, height) * np.array(MEDIAN_POINTS)).astype(np.float32)
    return Face(
        box=box,
        score=score,
        landmarks=points if landmarks else None,
        time_s=burst * 5.0 + frame_index % 4 / 25 if time_s is None else time_s,
        frame_index=frame_index,
        burst=burst,
        frame_size=FRAME,
        crop=Crop(np.clip(portrait(seed) + noise, 0, 255).astype(np.uint8), 1),
        blur=100.0,
        luma=120.0,
    )


def shot(seed: int, bursts: range, box: Box = (600.0, 200.0, 150.0, 200.0), **more: float) -> list[Face]:
    """The person in four neighbouring frames of each burst."""
    return [face(seed, burst * 4 + k, burst, box, **more) for burst in bursts for k in range(4)]  # type: ignore[arg-type]
