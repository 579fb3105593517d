"""What a training crop goes through: the founding study's five transforms, and what circulation does to real files.

`founding` is the preset of 2020 (evaluation.md): flip, rotation, perspective, jitter, region masking. `default` is
ours: small geometry, then the road of a clip (shrunk, compressed by a real codec as still or as moving picture,
enlarged, maybe once more); `one_road` leads lower and once. `photo` is for whole pictures. Real and fake of a pair
are treated apart but by one law, so that neither quality nor codec says which is which. Crops are (S, S, 3) uint8
RGB; a mask, when given, moves along with its crop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fakelab.media.degrade import photo_codec, video_codec
from fakelab.records import Image

Rng = np.random.Generator
Mask = NDArray[np.float32]
NETWORK_PX = 224
"""Side of what a network of whole pictures sees."""
Augment = Callable[[Image, Mask, Rng], tuple[Image, Mask]]


def founding(crop: Image, mask: Mask, rng: Rng) -> tuple[Image, Mask]:
    """The five transforms of the founding design, with its values."""
    crop, mask = flip(crop, mask, rng)
    crop, mask = rotate(crop, mask, rng, degrees=40.0, scale=(0.9, 1.1))
    crop, mask = perspective(crop, mask, rng, strength=0.2)
    crop = jitter(crop, rng, 0.5)
    return mask_region(crop, rng, area=(0.02, 0.16), ratio=(0.3, 1.6)), mask


def default(crop: Image, mask: Mask, rng: Rng) -> tuple[Image, Mask]:
    """Flip, a little geometry, a little colour, then one or two roads of circulation."""
    crop, mask = flip(crop, mask, rng)
    crop, mask = crop_inside(crop, mask, rng, keep=(0.92, 1.0))
    if rng.random() < 0.3:
        crop, mask = rotate(crop, mask, rng, degrees=8.0, scale=(0.97, 1.03))
    if rng.random() < 0.5:
        crop = jitter(crop, rng, 0.2)
    if rng.random() < 0.1:
        crop = noise(crop, rng)
    crop = circulate(crop, rng)
    # A clip that was shared was compressed twice, the second time often smaller: that costs a detector most.
    if rng.random() < 0.3:
        crop = circulate(crop, rng)
    if rng.random() < 0.05:
        crop = mask_region(crop, rng, area=(0.02, 0.08), ratio=(0.3, 1.6))
    return crop, mask


def photo(crop: Image, mask: Mask, rng: Rng) -> tuple[Image, Mask]:
    """For whole pictures, of which the store keeps more than a network sees: (S, S) -> at most (224, 224).

    A square of that size or larger, made small, so that traces of generation are learnt at full size and scaled down
    alike; sometimes shrunk and enlarged again; flipped, compressed once or twice as still.
    """
    size = crop.shape[0]
    out = min(size, NETWORK_PX)
    side = out if rng.random() < 0.35 else round(float(rng.uniform(out, size)))
    x, y = (int(each) for each in rng.integers(0, size - side + 1, 2))
    crop, mask = crop[y : y + side, x : x + side], _resize_mask(mask[y : y + side, x : x + side], out)
    if rng.random() < 0.2:
        crop = _resize(crop, round(side * float(rng.uniform(0.5, 0.95))))
    crop, mask = flip(_resize(crop, out), mask, rng)
    if rng.random() < 0.3:
        crop = jitter(crop, rng, 0.15)
    if rng.random() < 0.1:
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), float(rng.uniform(0.3, 0.9))), dtype=np.uint8)
    for chance in (0.8, 0.25):
        if rng.random() < chance:
            crop = photo_codec(crop, "jpeg" if rng.random() < 0.8 else "webp", int(rng.integers(60, 99)))
    return crop, mask


def one_road(crop: Image, mask: Mask, rng: Rng) -> tuple[Image, Mask]:
    """Flip, a little of the border cut, colour, noise, then one lower road: the law of clip_face 0.3."""
    crop, mask = flip(crop, mask, rng)
    crop, mask = crop_inside(crop, mask, rng, keep=(0.94, 1.0))
    if rng.random() < 0.5:
        crop = jitter(crop, rng, 0.2)
    if rng.random() < 0.1:
        crop = noise(crop, rng)
    return circulate(crop, rng, LOWER), mask


AUGMENTS: dict[str, Augment] = {"default": default, "founding": founding, "one_road": one_road, "photo": photo}


def flip(crop: Image, mask: Mask, rng: Rng) -> tuple[Image, Mask]:
    """Mirrored left to right, half of the time."""
    if rng.random() < 0.5:
        return np.ascontiguousarray(crop[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
    return crop, mask


def crop_inside(crop: Image, mask: Mask, rng: Rng, *, keep: tuple[float, float]) -> tuple[Image, Mask]:
    """A square inside the crop, `keep` of its side, enlarged to its size."""
    size = crop.shape[0]
    side = max(8, round(size * float(rng.uniform(*keep))))
    x, y = (int(each) for each in rng.integers(0, size - side + 1, 2))
    return _resize(crop[y : y + side, x : x + side], size), _resize_mask(mask[y : y + side, x : x + side], size)


def rotate(crop: Image, mask: Mask, rng: Rng, *, degrees: float, scale: tuple[float, float]) -> tuple[Image, Mask]:
    """Turned by up to `degrees` either way and scaled, about the middle; what is empty mirrors the border."""
    size = crop.shape[0]
    matrix = cv2.getRotationMatrix2D(
        (size / 2, size / 2), float(rng.uniform(-degrees, degrees)), float(rng.uniform(*scale))
    )
    turned = cv2.warpAffine(crop, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    moved = cv2.warpAffine(mask, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(turned, dtype=np.uint8), np.asarray(moved, dtype=np.float32)


def perspective(crop: Image, mask: Mask, rng: Rng, *, strength: float) -> tuple[Image, Mask]:
    """Each corner moved inward by up to half of `strength` of the side."""
    size = crop.shape[0]
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    inward = rng.uniform(0, strength / 2 * size, (4, 2)) * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    matrix = cv2.getPerspectiveTransform(corners, (corners + inward).astype(np.float32))
    seen = cv2.warpPerspective(crop, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    moved = cv2.warpPerspective(mask, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(seen, dtype=np.uint8), np.asarray(moved, dtype=np.float32)


def jitter(crop: Image, rng: Rng, strength: float) -> Image:
    """Brightness, contrast and saturation, each times 1 +- `strength`."""
    bright, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3)
    picture = crop.astype(np.float32) * bright
    picture = (picture - picture.mean()) * contrast + picture.mean()
    grey = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    picture = grey[..., None] + (picture - grey[..., None]) * saturation
    return np.asarray(np.clip(picture, 0, 255), dtype=np.uint8)


def mask_region(crop: Image, rng: Rng, *, area: tuple[float, float], ratio: tuple[float, float]) -> Image:
    """A rectangle of `area` (share of the crop) and `ratio` (width / height) in its mean colour or a random one."""
    size = crop.shape[0]
    pixels, shape = float(rng.uniform(*area)) * size * size, float(rng.uniform(*ratio))
    width, height = (min(size - 1, max(1, round(each))) for each in ((pixels * shape) ** 0.5, (pixels / shape) ** 0.5))
    x, y = int(rng.integers(0, size - width)), int(rng.integers(0, size - height))
    out = crop.copy()
    out[y : y + height, x : x + width] = crop.mean((0, 1)) if rng.random() < 0.5 else rng.integers(0, 256, 3)
    return out


def noise(crop: Image, rng: Rng) -> Image:
    """Sensor-like noise, finer or coarser."""
    size = crop.shape[0]
    grain = rng.standard_normal((size, size, 3)).astype(np.float32) * float(rng.uniform(1.5, 9.0))
    if rng.random() < 0.5:
        grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), float(rng.uniform(0.5, 1.2))), dtype=np.float32)
    return np.asarray(np.clip(crop + grain, 0, 255), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Road:
    """How far one step of circulation goes: the smallest share of the size, the codecs, and their qualities."""

    smallest: float
    codecs: dict[str, float]
    """Video codec -> how often."""
    presets: dict[str, float]
    crf: tuple[int, int]
    """First and last rate factor."""
    quality: tuple[int, int]
    """Lowest and highest quality of a still."""


USUAL = Road(
    # Faces of 90 px and more. Harder than this, and most steps go by before anything is learnt.
    smallest=0.4,
    codecs={"h264": 0.88, "h265": 0.04, "mpeg4": 0.08},
    presets={"ultrafast": 0.2, "veryfast": 0.6, "medium": 0.2},
    crf=(16, 31),
    quality=(45, 97),
)
LOWER = Road(
    smallest=0.3,
    codecs={"h264": 1.0},
    presets={"ultrafast": 0.3, "veryfast": 0.6, "medium": 0.1},
    crf=(18, 36),
    quality=(40, 98),
)


def circulate(crop: Image, rng: Rng, road: Road = USUAL) -> Image:
    """What one step of circulation leaves: maybe shrunk, then H.264, H.265, MPEG-4, JPEG or WebP, and enlarged back.

    Compression happens at the small size, as it does to a small face in a big frame.
    """
    size = crop.shape[0]
    picture = crop
    if rng.random() < 0.5:
        side = round(size * float(rng.uniform(road.smallest, 1.0)))
        picture = _resize(crop, side)
    draw = rng.random()
    if draw < 0.55:
        picture = _as_video(picture, rng, road)
    elif draw < 0.8:
        picture = photo_codec(
            picture, "jpeg" if rng.random() < 0.75 else "webp", int(rng.integers(road.quality[0], road.quality[1] + 1))
        )
    return picture if picture.shape[0] == size else _resize(picture, size, enlarge=True, rng=rng)


def _as_video(picture: Image, rng: Rng, road: Road) -> Image:
    """The last of one to three slightly moving frames out of a video encoder: I, P or B frame."""
    count = int(rng.integers(1, 4))
    step = rng.uniform(-1.5, 1.5, 2)
    side = picture.shape[0]
    frames = []
    for back in range(count - 1, -1, -1):
        matrix = np.array([[1, 0, step[0] * back], [0, 1, step[1] * back]], np.float32)
        frames.append(
            picture
            if back == 0
            else np.asarray(
                cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8
            )
        )
    codec = str(rng.choice(list(road.codecs), p=list(road.codecs.values())))
    preset = str(rng.choice(list(road.presets), p=list(road.presets.values())))
    decoded = video_codec(frames, codec, crf=int(rng.integers(road.crf[0], road.crf[1] + 1)), preset=preset)
    return decoded[-1] if decoded else picture


def _resize(crop: Image, size: int, *, enlarge: bool = False, rng: Rng | None = None) -> Image:
    kind = cv2.INTER_AREA if size < crop.shape[0] else cv2.INTER_CUBIC
    if enlarge and rng is not None:
        kind = cv2.INTER_CUBIC if rng.random() < 0.6 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(crop, (size, size), interpolation=kind), dtype=np.uint8)


def _resize_mask(mask: Mask, size: int) -> Mask:
    return np.asarray(cv2.resize(mask, (size, size), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
