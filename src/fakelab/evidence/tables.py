"""Whose quantisation tables a JPEG has: the IJG library's at some quality, Adobe's, or some other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.evidence.blocks import CHROMA_50, LUMA_50, scaled_table

ADOBE = {
    "web_low": "Save for Web, low", "web_medium": "Save for Web, medium", "web_high": "Save for Web, high",
    "web_very_high": "Save for Web, very high", "web_maximum": "Save for Web, maximum", "low": "low",
    "medium": "medium", "high": "high", "maximum": "maximum",
}  # fmt: skip
"""Pillow's name of a set of tables that it copies from Photoshop -> what Photoshop calls it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """`quality` where the tables are exactly the IJG's, `adobe` where Photoshop's; `words` says it in any case."""

    words: str
    quality: int | None = None
    adobe: str = ""


def origin_of(luma: Sequence[int], chroma: Sequence[int] = ()) -> Origin:
    """The origin of tables of 64 entries, row by row; `chroma` is empty for a grey picture."""
    own = [np.array(luma)] + ([np.array(chroma)] if len(chroma) else [])
    for quality in range(100, 0, -1):
        if all(_same(each, quality, base) for each, base in zip(own, (LUMA_50, CHROMA_50), strict=False)):
            return Origin(f"the IJG's (libjpeg), quality {quality}", quality)
    if name := _adobe(own):
        return Origin(f"Adobe's, {name}", adobe=name)
    return Origin(f"of its own, near the IJG's quality {nearest_quality(luma)}")


def nearest_quality(luma: Sequence[int]) -> int:
    """The quality of the IJG's luma table that lies nearest."""
    own = np.log(np.maximum(np.array(luma, float), 1))
    return min(range(1, 101), key=lambda q: float(np.abs(np.log(scaled_table(q).ravel()) - own).sum()))


def _same(table: NDArray[np.int_], quality: int, base: NDArray[np.int_]) -> bool:
    return bool(np.array_equal(table, scaled_table(quality, base).ravel()))


def _adobe(own: Sequence[NDArray[np.int_]]) -> str:
    from PIL.JpegPresets import presets

    for name, words in ADOBE.items():
        theirs: Any = presets[name]["quantization"]
        if all(np.array_equal(each, theirs[place]) for place, each in enumerate(own)):
            return words
    return ""
