"""Whether a JPEG was compressed twice in the same grid, how coarsely the first time, and which blocks only once.

A second quantisation of coefficients that were quantised before leaves gaps and peaks in their histograms. What the
histogram would be after one compression is learnt from the picture itself, cut four pixels off its grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakelab.evidence.blocks import LUMA_50, Blocks, Floats, blocks_of, off_grid, rounded, scaled_table, smooth
from fakelab.records import Image

CELLS = ((0, 1), (1, 0), (2, 0), (1, 1), (0, 2), (0, 3), (1, 2), (2, 1), (3, 0), (4, 0), (3, 1), (2, 2))
"""Frequencies looked at: low ones, which have values to count."""
COARSEST = 40
MOST = 40
"""Multiples of the table's entry up to which a histogram is counted."""
CLEAR = 0.02
"""Gain in log-likelihood for each block from which on a frequency tells of an earlier compression."""
FOUND = 0.01
"""Mean gain from which on there was one: photos that were compressed once stay below (docs/experiments.md)."""
TINY = 0.02
MOST_ODDS = 3.0
AROUND = 5
FEWEST_BLOCKS = 400


@dataclass(frozen=True, slots=True, eq=False)
class Double:
    """Traces of an earlier compression: `gain` is 0 without; `heat` (rows, columns) is high for blocks without them."""

    gain: float
    found: bool
    heat: Floats
    quality: int | None
    """The IJG quality nearest to the earlier compression; None where it can't be told."""


def double_compression(image: Image, table: NDArray[np.int_]) -> Double | None:
    """What the luma of a stored RGB picture says, given its (8, 8) luma table; None where it is too small to tell."""
    blocks, single = blocks_of(image), off_grid(image)
    if blocks is None or single is None or blocks.pixels[..., 0, 0].size < FEWEST_BLOCKS:
        return None
    odds = np.zeros(blocks.shape, np.float32)
    gains, earlier = [], {}
    for cell in CELLS:
        gain, step, lone = _frequency(blocks, single, cell, float(table[cell]))
        gains.append(gain)
        if gain > CLEAR:
            earlier[cell] = step
            values = _values(blocks.dct[..., cell[0], cell[1]], float(table[cell]))
            odds += np.clip(lone[values], -MOST_ODDS, MOST_ODDS)
    gain = float(np.mean(gains))
    return Double(gain, gain > FOUND, smooth(odds, AROUND), _quality(earlier))


def _values(coefficients: Floats, step: float) -> NDArray[np.int_]:
    """Multiples of the step, as places in a histogram."""
    return np.clip(np.round(coefficients / step), -MOST, MOST).astype(int) + MOST


def _shares(values: NDArray[np.int_], least: float) -> NDArray[np.float64]:
    counts = np.bincount(values.ravel(), minlength=2 * MOST + 1) + least
    counts = counts + counts[::-1]  # a coefficient is as often negative as positive
    return np.asarray(counts / counts.sum())


def _frequency(
    blocks: Blocks, single: Blocks, cell: tuple[int, int], step: float
) -> tuple[float, int, NDArray[np.float64]]:
    """Gain of the best earlier step over none, that step, and the log-odds of "once only" for each value."""
    seen = np.bincount(_values(blocks.dct[..., cell[0], cell[1]], step).ravel(), minlength=2 * MOST + 1)
    raw = single.dct[..., cell[0], cell[1]].ravel()
    once = _shares(_values(raw, step), 0.5)
    best, chosen, model = 0.0, 0, once
    for first in range(2, COARSEST):
        if first == round(step):
            continue
        twice = (1 - TINY) * _shares(_values(rounded(raw, np.float32(first)), step), 0.0) + TINY * once
        gain = float((seen * (np.log(twice) - np.log(once))).sum() / max(1, seen.sum()))
        if gain > best:
            best, chosen, model = gain, first, twice
    return best, chosen, np.log(once) - np.log(model)


def _quality(earlier: dict[tuple[int, int], int]) -> int | None:
    """The IJG quality whose table lies nearest to the steps found."""
    if len(earlier) < 3:
        return None
    place = tuple(np.array(list(earlier)).T)
    steps = np.log(np.array(list(earlier.values()), float))
    apart = {
        quality: float(np.median(np.abs(np.log(scaled_table(quality, LUMA_50)[place]) - steps)))
        for quality in range(10, 100)
    }
    best = min(apart, key=lambda quality: apart[quality])
    return best if apart[best] < 0.15 else None
