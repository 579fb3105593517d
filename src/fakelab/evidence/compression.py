"""Traces of compression: error level, JPEG ghosts, noise. Arrays in, maps out; pure functions.

The picture comes thinned out to tiles of 16 x 16 pixels (see `traces.Tiles`), which keeps JPEG's blocks whole. None of
these maps separated edited from untouched pictures well enough for a score (docs/experiments.md), so they give none.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fakelab.evidence.blocks import blocks_of, luma, rounded, scaled_table, smooth
from fakelab.evidence.traces import TILE_PX
from fakelab.records import Image

Map = NDArray[np.float32]
ELA_QUALITY = 90
GHOST_QUALITIES = tuple(range(40, 96, 7))
GHOST_AROUND = 5
LEAST_SPREAD = 0.05


def ela(image: Image) -> Map:
    """(h/8, w/8) mean change of each block when the picture is saved once more at quality 90, in grey levels."""
    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, ELA_QUALITY])[1]
    again = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    return means(cv2.absdiff(image, np.ascontiguousarray(again)).astype(np.float32).mean(axis=2), 8)


def ghosts(image: Image) -> Map:
    """(h/8, w/8) how far the loss of each block over the qualities lies from that of blocks with as much detail.

    A part that was saved before at another quality loses least when the picture is saved at that quality again.
    """
    blocks = blocks_of(image)
    if blocks is None:
        return np.zeros((1, 1), np.float32)
    detail = np.log1p(np.sqrt(np.maximum((blocks.dct**2).sum(axis=(2, 3)) - blocks.dct[..., 0, 0] ** 2, 0)))
    detail = (detail - detail.mean()) / max(float(detail.std()), LEAST_SPREAD)
    degree = 2 if detail.std() > 0.5 else 0  # where all blocks are alike there is no line to draw
    curves = []
    for quality in GHOST_QUALITIES:
        lost = ((blocks.dct - rounded(blocks.dct, scaled_table(quality))) ** 2).mean(axis=(2, 3))
        height = np.log(lost + 0.05)
        usual = np.polyval(np.polyfit(detail.ravel(), height.ravel(), degree), detail)
        curves.append(smooth(height - usual, GHOST_AROUND))
    stack = np.stack(curves)
    # The shape of the curve alone: its height says how much texture there is.
    return np.asarray(np.sqrt(((stack - stack.mean(axis=0)) ** 2).mean(axis=0)), np.float32)


def noise(image: Image) -> Map:
    """(h/16, w/16) spread of the finest detail in each tile, in grey levels, after what edges explain is left out."""
    grey = luma(image)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    fine = np.abs(cv2.filter2D(grey, cv2.CV_32F, kernel))
    height, width = (side // TILE_PX for side in fine.shape)
    cells = fine[: height * TILE_PX, : width * TILE_PX].reshape(height, TILE_PX, width, TILE_PX)
    # Without the borders of the tiles, which are seams where the picture was thinned out.
    inner = cells[:, 1:-1, :, 1:-1].transpose(0, 2, 1, 3).reshape(height, width, -1)
    return np.asarray(np.median(inner, axis=2) / 0.6745, np.float32)


def means(values: Map, side: int) -> Map:
    """Means over `side` x `side` cells; what is left at the right and at the bottom is left out."""
    height, width = values.shape[0] // side, values.shape[1] // side
    return np.asarray(
        values[: height * side, : width * side].reshape(height, side, width, side).mean(axis=(1, 3)), np.float32
    )


def shown(values: Map, lowest: float = 0.0) -> Map:
    """A map stretched to 0..1: its 99th percentile, but at least `lowest`, becomes 1."""
    top = max(float(np.percentile(values, 99)), lowest, 1e-6)
    return np.asarray((values / top).clip(0, 1), np.float32)


def stretch(values: Map, low: float, high: float) -> Map:
    """A map as 0..1, with `low` as 0 and `high` as 1."""
    return np.asarray(((values - low) / (high - low)).clip(0, 1), np.float32)
