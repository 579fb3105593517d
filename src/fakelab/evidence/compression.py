"""Traces of compression: error level, JPEG ghosts, double quantisation, noise. Arrays in, maps out; pure functions.

The picture comes thinned out to tiles of 16 x 16 pixels (see `traces.Tiles`), which keeps JPEG's blocks whole. None of
these maps separated edited from untouched pictures well enough for a score (docs/experiments.md), so they give none.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fakelab.evidence.traces import TILE_PX
from fakelab.records import Image

Map = NDArray[np.float32]
ELA_QUALITY = 90
GHOST_QUALITIES = tuple(range(50, 96, 5))
FREQUENCIES = (1, 2, 8, 9, 16, 3, 10, 17, 24, 4, 11, 18)
"""Cells of the 8 x 8 table whose coefficients are looked at: low ones, which have values to count."""
MOST_PERIOD = 12


def ela(image: Image) -> Map:
    """(h/8, w/8) mean change of each block when the picture is saved once more at quality 90, in grey levels."""
    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, ELA_QUALITY])[1]
    again = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    return blocks(cv2.absdiff(image, np.ascontiguousarray(again)).astype(np.float32).mean(axis=2), 8)


def ghosts(image: Image) -> Map:
    """(h/16, w/16) how far each tile's own best quality lies from that of most tiles, 0 where it has none.

    A part that was saved before at another quality changes least when the picture is saved at that quality again.
    """
    grey = luma(image).round().clip(0, 255).astype(np.uint8)
    errors = []
    for quality in GHOST_QUALITIES:
        encoded = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        again = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)
        errors.append(blocks(cv2.absdiff(grey, again).astype(np.float32) ** 2, TILE_PX))
    stack = np.stack(errors)
    low, high = stack.min(axis=0), stack.max(axis=0)
    shape = (stack - low) / np.maximum(high - low, 1e-3)
    usual = np.median(shape.reshape(len(shape), -1), axis=1)[:, None, None]
    apart = np.abs(shape - usual).mean(axis=0)
    apart[high - low < 1] = 0  # a flat tile changes at no quality
    return np.asarray(apart, np.float32)


def double_quantisation(image: Image, table: Sequence[int]) -> tuple[Map, float]:
    """(h/8, w/8) how likely each block was compressed once only, and how strong the traces of two compressions are.

    Where a JPEG is changed and saved again, untouched blocks were quantised twice and their coefficients pile up at
    regular distances; blocks that were put in do not. The strength is 0 where no piling up is seen.
    """
    coefficients = dct(luma(image) - 128)
    height, width = coefficients.shape[:2]
    odds = np.zeros((height, width), np.float32)
    strengths = []
    for cell in FREQUENCIES:
        values = np.rint(coefficients[..., cell] / max(1, table[cell])).astype(int).clip(-60, 60)
        counts = np.bincount((values + 60).ravel(), minlength=121).astype(float)
        counts[60] = 0  # zero holds all that is small, in any picture
        period, strength = _period(counts)
        strengths.append(strength)
        if period < 2:
            continue
        window = np.convolve(counts, np.ones(period), "same")
        twice = (counts + 0.5) / (window + 0.5 * period)
        term = np.log(1 / period) - np.log(twice)
        odds += np.where(values == 0, 0, term[values + 60]).astype(np.float32)
    smooth = cv2.boxFilter(odds, -1, (3, 3), borderType=cv2.BORDER_REFLECT)
    return np.asarray(1 / (1 + np.exp(-smooth)), np.float32), float(np.mean(strengths))


def _period(counts: NDArray[np.float64]) -> tuple[int, float]:
    """The distance at which a histogram piles up (1: none), and how much higher it is there than between."""
    if counts.sum() < 500:
        return 1, 0.0
    best = (1, 0.0)
    smooth = np.convolve(counts, np.ones(5) / 5, "same")
    rough = np.where(smooth > 1, counts / np.maximum(smooth, 1) - 1, 0)
    weight = np.sqrt(smooth)
    place = np.arange(-60, 61)
    for period in range(2, MOST_PERIOD + 1):
        wave = np.exp(2j * np.pi * place / period)
        power = abs((rough * weight * wave).sum()) / weight.sum()
        if power > best[1]:
            best = (period, float(power))
    return best if best[1] > 0.12 else (1, best[1])


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


def luma(image: Image) -> Map:
    """The picture in grey as JPEG computes it, 0..255."""
    weights = np.array([[0.299, 0.587, 0.114]], np.float32)
    return np.asarray(cv2.transform(image.astype(np.float32), weights), np.float32).reshape(image.shape[:2])


def dct(grey: Map) -> NDArray[np.float32]:
    """(h/8, w/8, 64) coefficients of the 8 x 8 blocks as JPEG has them."""
    height, width = grey.shape[0] // 8, grey.shape[1] // 8
    cells = grey[: height * 8, : width * 8].reshape(height, 8, width, 8).transpose(0, 2, 1, 3)
    place = np.arange(8)
    basis = (
        np.cos((2 * place[None, :] + 1) * place[:, None] * np.pi / 16) * np.where(place == 0, 0.5**0.5, 1)[:, None] / 2
    )
    found = np.einsum("ui,hwij,vj->hwuv", basis.astype(np.float32), cells, basis.astype(np.float32), optimize=True)
    return np.asarray(found.reshape(height, width, 64), np.float32)


def blocks(values: Map, side: int) -> Map:
    """Means over `side` x `side` cells; what is left at the right and at the bottom is left out."""
    height, width = values.shape[0] // side, values.shape[1] // side
    return np.asarray(
        values[: height * side, : width * side].reshape(height, side, width, side).mean(axis=(1, 3)), np.float32
    )


def shown(values: Map, lowest: float = 0.0) -> Map:
    """A map stretched to 0..1: its 99th percentile, but at least `lowest`, becomes 1."""
    top = max(float(np.percentile(values, 99)), lowest, 1e-6)
    return np.asarray((values / top).clip(0, 1), np.float32)


def standard_quality(table: Sequence[int], base: Sequence[int]) -> int | None:
    """The quality of libjpeg (1..100) whose table this is, or None: `base` is its table at quality 50."""
    for quality in range(1, 101):
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        if all(min(255, max(1, (each * scale + 50) // 100)) == own for each, own in zip(base, table, strict=True)):
            return quality
    return None


def likely_quality(table: Sequence[int], base: Sequence[int]) -> int:
    """The quality of libjpeg whose table lies nearest."""

    def distance(quality: int) -> float:
        scale = 5000 / quality if quality < 50 else 200 - 2 * quality
        return sum(abs(max(1.0, each * scale / 100) - own) for each, own in zip(base, table, strict=True))

    return min(range(1, 101), key=distance)


LUMA_50 = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
"""Annex K of the JPEG standard: the table for brightness at quality 50, row by row."""
