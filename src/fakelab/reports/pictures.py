"""Small pictures for a report: face crops and heat maps as data URIs, made the same way every time."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

from fakelab.records import Image

SIDE_PX = 224
"""Longest side of a picture in a report: what the default model saw, so that nothing is shown that it did not see."""
_QUALITY = 88

# Dark violet to pale yellow, brightness rising all the way, so that it reads in greyscale and to colour-blind eyes.
# The stops lie near matplotlib's "inferno" (public domain, CC0).
_STOPS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=np.float32)


def crop_uri(crop: Image) -> str:
    """A (size, size, 3) RGB crop as a JPEG data URI."""
    return _uri(crop_jpeg(crop))


def overlay_uri(crop: Image, heat_map: NDArray[np.float32]) -> str:
    """The crop in dim grey under its (h, w) 0..1 heat map, as a JPEG data URI; brighter = higher."""
    return _uri(overlay_jpeg(crop, heat_map))


def crop_jpeg(crop: Image) -> bytes:
    """A (size, size, 3) RGB crop as a JPEG file of at most `SIDE_PX` on a side."""
    return _jpeg(_fitted(crop))


def overlay_jpeg(crop: Image, heat_map: NDArray[np.float32]) -> bytes:
    """The crop in dim grey under its heat map, as a JPEG file."""
    return _jpeg(overlay(crop, heat_map))


def png(image: NDArray[np.uint8]) -> bytes:
    """A (H, W, 3) RGB or (H, W) grey picture as a PNG file, without loss."""
    from PIL import Image as Pil

    buffer = io.BytesIO()
    Pil.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG")
    return buffer.getvalue()


def grey(heat_map: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A (h, w) 0..1 heat map as a grey picture of its cells, 0 black to 1 white. NaN counts as 0."""
    flat = np.nan_to_num(heat_map, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1)
    return np.asarray((flat * 255).round(), dtype=np.uint8)


def overlay(crop: Image, heat_map: NDArray[np.float32]) -> Image:
    """The picture behind `overlay_uri`, at most `SIDE_PX` on a side. NaN counts as 0."""
    from PIL import Image as Pil

    small = _fitted(crop)
    height, width = small.shape[:2]
    heat = np.clip(np.nan_to_num(heat_map.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    large = np.asarray(Pil.fromarray(heat).resize((width, height), Pil.Resampling.BICUBIC)).clip(0, 1)
    grey = small.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    position = large * (len(_STOPS) - 1)
    low = np.minimum(position.astype(int), len(_STOPS) - 2)
    part = (position - low)[..., None]
    colour = _STOPS[low] * (1 - part) + _STOPS[low + 1] * part
    # The face stays visible under the map, and never outshines it.
    opacity = (0.15 + 0.7 * large)[..., None]
    mixed = 0.5 * grey[..., None] * (1 - opacity) + colour * opacity
    picture: Image = mixed.round().clip(0, 255).astype(np.uint8)
    return picture


def _fitted(image: Image) -> Image:
    from PIL import Image as Pil

    height, width = image.shape[:2]
    longest = max(height, width)
    if longest <= SIDE_PX:
        return image
    size = max(1, round(width * SIDE_PX / longest)), max(1, round(height * SIDE_PX / longest))
    return np.asarray(Pil.fromarray(image).resize(size, Pil.Resampling.LANCZOS))


def _jpeg(image: Image) -> bytes:
    from PIL import Image as Pil

    buffer = io.BytesIO()
    # Full colour resolution: halved chroma is itself a trace that an eye could take for evidence.
    Pil.fromarray(np.ascontiguousarray(image)).save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()


def _uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
