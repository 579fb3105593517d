"""8 x 8 blocks of a picture's luma and their DCT: what the checks of JPEG compression have in common.

A large picture comes thinned out to tiles of 16 x 16 pixels (see `traces.Tiles`), which keeps the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fakelab.evidence.traces import TILE_PX
from fakelab.records import Image

SIDE = 8
OFF_GRID = ((4, 4), (3, 5), (5, 3), (4, 2))
"""Where blocks are cut in a tile, rows and columns."""
MOST_TILES = 1600
"""Tiles from which blocks off the grid are taken: enough for a histogram."""
Floats = NDArray[np.float32]

LUMA_50 = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)  # fmt: skip
"""The luma table that the JPEG standard gives as an example (Annex K), which the IJG's library scales by quality."""
CHROMA_50 = np.array(
    [
        [17, 18, 24, 47, 99, 99, 99, 99], [18, 21, 26, 66, 99, 99, 99, 99], [24, 26, 56, 99, 99, 99, 99, 99],
        [47, 66, 99, 99, 99, 99, 99, 99], *([99] * 8 for _ in range(4)),
    ]
)  # fmt: skip


def _basis() -> Floats:
    """The orthonormal DCT of 8 points, a frequency in each row. SciPy, which has it, takes half a second to import."""
    place = np.arange(SIDE)
    waves = np.cos((2 * place[None, :] + 1) * place[:, None] * np.pi / (2 * SIDE)) / 2
    waves[0] /= np.sqrt(2)
    return waves.astype(np.float32)


BASIS = _basis()


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Blocks of a picture: `pixels` (rows, columns, 8, 8) luma less 128, and their `dct`, orthonormal as in JPEG."""

    pixels: Floats
    dct: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return self.pixels.shape[0], self.pixels.shape[1]


def luma(image: Image) -> Floats:
    """The luma of a picture as JPEG stores it, 0..255."""
    grey: Floats = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return grey


def blocks_of(image: Image) -> Blocks | None:
    """The whole blocks of an RGB picture, in JPEG's grid; None where it has none."""
    rows, columns = image.shape[0] // SIDE, image.shape[1] // SIDE
    if rows < 1 or columns < 1:
        return None
    return _blocks(image[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3))


def off_grid(image: Image) -> Blocks | None:
    """Blocks off JPEG's grid, four in each tile of 16 x 16: as if the picture had never been quantised."""
    rows, columns = image.shape[0] // TILE_PX, image.shape[1] // TILE_PX
    if rows < 1 or columns < 1:
        return None
    step = int(np.ceil(np.sqrt(max(1, rows * columns / MOST_TILES))))
    tiles = image[: rows * TILE_PX, : columns * TILE_PX].reshape(rows, TILE_PX, columns, TILE_PX, 3)[::step, :, ::step]
    return _blocks(np.concatenate([tiles[:, y : y + SIDE, :, x : x + SIDE] for y, x in OFF_GRID]))


def _blocks(cells: Image) -> Blocks:
    pixels = np.ascontiguousarray(luma(cells).transpose(0, 2, 1, 3)) - np.float32(128)
    return Blocks(pixels, np.asarray(BASIS @ pixels @ BASIS.T, np.float32))


def scaled_table(quality: int, base: NDArray[np.int_] = LUMA_50) -> Floats:
    """The IJG library's (8, 8) table for a quality of 1..100."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((base * scale + 50) // 100, 1, 255).astype(np.float32)


def rounded(dct: Floats, table: Floats | np.float32) -> Floats:
    """Coefficients after a quantisation with `table`."""
    return np.asarray(np.round(dct / table) * table, np.float32)


def smooth(values: Floats, side: int) -> Floats:
    """The mean over side x side neighbours."""
    return np.asarray(cv2.blur(values.astype(np.float32), (side, side), borderType=cv2.BORDER_REFLECT), np.float32)
