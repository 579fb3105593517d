"""Square views of a photo, for networks that look at whole pictures: all of it, made small, and parts at full size.

What a generator leaves is of two kinds: traces of up-sampling, which only a part at full size still shows, and an
unlikely composition, which only the whole shows. Views are (S, S, 3) uint8 RGB. Preparation and inference share this.
"""

from __future__ import annotations

import numpy as np

from fakelab.records import Image

VIEWS_VERSION = 1
"""Written into a model's card, as the cropper's version is."""
CUTS = 4
LONGEST_PX = 1536
"""Larger photos are scaled down to this before parts are cut: a part must show more than a patch of sky."""


def views_of(picture: Image, size_px: int, cuts: int = CUTS) -> list[Image]:
    """The square in the middle of the picture, `size_px` a side, then up to `cuts` parts of that side at full size.

    Parts lie in the middle of the picture's quarters, those with the most detail first. A picture whose shorter side
    is not larger than `size_px` has no parts; it is enlarged.
    """
    picture = _at_most(picture, LONGEST_PX)
    height, width = picture.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    views = [_resized(picture[top : top + short, left : left + short], size_px)]
    if short <= size_px or cuts < 1:
        return views
    corners = [(y, x) for y in _places(height, size_px) for x in _places(width, size_px)]
    parts = [np.ascontiguousarray(picture[y : y + size_px, x : x + size_px]) for y, x in corners]
    return views + sorted(parts, key=lambda part: -_detail(part))[:cuts]


def _places(length: int, size_px: int) -> list[int]:
    """Where two parts begin, in the middle of either half; one in the middle where they would mostly overlap."""
    if length < 1.5 * size_px:
        return [(length - size_px) // 2]
    first = max(0, length // 4 - size_px // 2)
    return [first, length - size_px - first]


def _detail(part: Image) -> float:
    return float(np.abs(np.diff(part[..., 1].astype(np.int16), axis=0)).mean())


def _at_most(picture: Image, longest_px: int) -> Image:
    height, width = picture.shape[:2]
    if max(height, width) <= longest_px:
        return picture
    import cv2

    share = longest_px / max(height, width)
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _resized(square: Image, size_px: int) -> Image:
    import cv2

    kind = cv2.INTER_AREA if square.shape[0] > size_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (size_px, size_px), interpolation=kind), dtype=np.uint8)
