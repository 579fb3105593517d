"""One genuine portrait, varied, for the tests of data sets and of training."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from fakelab.records import Image

FACE = (120, 30, 210)
"""x, y and side of a square around the face in the portrait."""


@lru_cache(maxsize=1)
def portrait() -> Image:
    """(512, 512, 3): Eileen Collins by NASA, public domain, out of scikit-image."""
    from skimage import data

    return np.asarray(data.astronaut(), dtype=np.uint8)


@lru_cache(maxsize=64)
def face_crop(size: int, seed: int = 0) -> Image:
    """The face, lighter or darker and a little shifted by the seed."""
    rng = np.random.default_rng(seed)
    x, y, side = FACE
    x, y = x + int(rng.integers(-8, 9)), y + int(rng.integers(-8, 9))
    cut = portrait()[y : y + side, x : x + side].astype(np.float32) * rng.uniform(0.7, 1.1) + rng.uniform(-10, 10)
    small = cv2.resize(np.clip(cut, 0, 255).astype(np.uint8), (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)
