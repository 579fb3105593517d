"""Numbers that say how much a picture can show: bits per pixel, blur, darkness."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fakelab.records import Image, MediaInfo


def bits_per_pixel(info: MediaInfo) -> float | None:
    """Video bits spent on each pixel of each frame, or None where bitrate, size or frame rate is unknown.

    ``video_bitrate_bps / (width_px * height_px * fps)``. Camera originals have 0.1 and more; chat services send 0.02
    to 0.05, where traces of manipulation begin to be lost.
    """
    if not (info.video_bitrate_bps and info.width_px and info.height_px and info.fps):
        return None
    return info.video_bitrate_bps / (info.width_px * info.height_px * info.fps)


def blur(image: Image) -> float:
    """Variance of the Laplacian of the luma of an (H, W, 3) uint8 RGB image; lower is blurrier, 0 is flat."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def luma(image: Image) -> float:
    """Mean luma (BT.601) of an (H, W, 3) uint8 RGB image, 0 = black .. 255 = white."""
    import cv2

    return float(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0])


def perceptual_hash(image: Image) -> int:
    """64 bits of an (H, W, 3) uint8 RGB image that stay nearly the same when it is re-encoded or rescaled.

    The difference hash: the picture is shrunk to 9 x 8 grey values, and a bit says whether a value is below its
    neighbour on the right (N. Krawetz, "Kind of like that", 2013).
    """
    # Without a decoder's library: the process that reads the frames loads none.
    height, width = image.shape[:2]
    rows, columns = np.arange(8) * height // 8, np.arange(9) * width // 9
    sums = np.concatenate(
        [_column_sums(image[top : max(below, top + 1)], columns) for top, below in pairwise((*rows, height))]
    )
    sizes = np.outer(np.diff(rows, append=height), np.diff(columns, append=width))
    small = sums / np.maximum(sizes, 1)
    bits = (small[:, :-1] < small[:, 1:]).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)


def _column_sums(strip: Image, columns: NDArray[np.intp]) -> NDArray[np.float32]:
    """(1, n) sums of the luma from each column to the next: a strip at a time stays in the processor's cache."""
    rows = np.add.reduceat(strip.astype(np.float32) @ _BT601, [0], axis=0)
    return np.asarray(np.add.reduceat(rows, columns, axis=1), np.float32)


_BT601 = np.array([0.299, 0.587, 0.114], np.float32)
