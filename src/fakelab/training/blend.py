"""Forged crops made from real ones, to train and test detectors: blended faces, with the mask of what was changed.

Self-blended images (Shiohara and Yamasaki, CVPR 2022): two differently treated copies of one real face, one laid over
the other inside a deformed face mask. `cross_blend` takes the upper face from another person with nearly the same
pose (Face X-ray, Li et al., CVPR 2020). `paste` lays any other version of the same face (a twin) into the real crop.
Works on crops only, with numpy and OpenCV alone. Crops are (S, S, 3) uint8 RGB; masks (S, S) float32 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fakelab.records import Image

Mask = NDArray[np.float32]
Points = NDArray[np.float32]
Rng = np.random.Generator

# Indices into MediaPipe's 468-point face mesh.
OVAL: tuple[int, ...] = (
    10,
    338,
    297,
    332,
    284,
    251,
    389,
    356,
    454,
    323,
    361,
    288,
    397,
    365,
    379,
    378,
    400,
    377,
    152,
    148,
    176,
    149,
)
OVAL += (150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
JAW = (454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234)
BROWS: tuple[int, ...] = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (362, 382, 381, 380, 374, 373, 390, 249, 263, 466, 388, 387, 386, 385, 384, 398)
NOSE = (168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 129, 358, 49, 279)
LOWER = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 2)

DENSE_REGIONS: dict[str, tuple[tuple[int, ...], float]] = {
    "face": (JAW + BROWS, 0.45),
    "oval": (OVAL, 0.1),
    "inner": (BROWS + LIPS + NOSE, 0.2),
    "mouth": (LIPS, 0.12),
    "lower": (LOWER, 0.06),
    "eyes": (RIGHT_EYE + LEFT_EYE, 0.07),
}
"""Region -> its mesh points and how often it is drawn. `face` is the hull that dlib's 68 points span."""


DENSE_SHARE = 0.7
"""How often a known mesh shapes the mask. The five points' rounder, larger shapes stay in for what no mesh follows."""


def face_mask(size: int, points: Points, mesh: Points, rng: Rng) -> Mask:
    """A random region's soft, deformed mask: mostly by the mesh where it is known, else by the five points."""
    dense = not np.isnan(mesh[0, 0]) and rng.random() < DENSE_SHARE
    mask = _dense_mask(size, mesh, rng) if dense else _five_point_mask(size, points, rng)
    if rng.random() < 0.75:
        mask = _elastic(mask, rng, strength_px=rng.uniform(1.0, 0.035 * size), smooth_px=size * rng.uniform(0.12, 0.3))
    return _soften(mask, rng)


def _dense_mask(size: int, mesh: Points, rng: Rng) -> Mask:
    names = list(DENSE_REGIONS)
    weights = np.array([DENSE_REGIONS[name][1] for name in names])
    region = str(rng.choice(names, p=weights / weights.sum()))
    mask = np.zeros((size, size), np.float32)
    parts: Sequence[tuple[int, ...]] = (RIGHT_EYE, LEFT_EYE) if region == "eyes" else (DENSE_REGIONS[region][0],)
    for part in parts:
        hull = cv2.convexHull(np.ascontiguousarray(mesh[list(part)]))
        cv2.fillConvexPoly(mask, np.round(hull).astype(np.int32), 1.0)
    grow = {"mouth": (0.01, 0.06), "eyes": (0.02, 0.06)}.get(region, (-0.035, 0.025))
    return _grow(mask, round(size * float(rng.uniform(*grow))))


def _five_point_mask(size: int, points: Points, rng: Rng) -> Mask:
    """A superellipse turned with the face: whole face, inner face, mouth or eyes."""
    right, left, _, mouth_r, mouth_l = points
    eyes, mouth = (right + left) / 2, (mouth_r + mouth_l) / 2
    down = mouth - eyes
    height, width = max(float(np.hypot(*down)), 4.0), max(float(np.hypot(*(left - right))), 4.0)
    angle = math.atan2(-float(down[0]), float(down[1]))
    draw = rng.random()
    if draw < 0.5:
        centre, axes = eyes + down * 0.5, (width * 1.05, height * 1.25)
    elif draw < 0.8:
        centre, axes = eyes + down * 0.45, (width * 0.85, height * 0.85)
    elif draw < 0.95:
        centre, axes = mouth, (width * 0.62, height * 0.42)
    else:
        centre, axes = eyes, (width * 0.95, height * 0.35)
    stretch = rng.uniform(0.85, 1.15, 2)
    yy, xx = np.mgrid[:size, :size].astype(np.float32)
    dx, dy = xx - centre[0], yy - centre[1]
    u = (dx * math.cos(angle) + dy * math.sin(angle)) / (axes[0] * stretch[0])
    v = (-dx * math.sin(angle) + dy * math.cos(angle)) / (axes[1] * stretch[1])
    power = float(rng.uniform(2.0, 3.5))
    return np.asarray((np.abs(u) ** power + np.abs(v) ** power) < 1.0, dtype=np.float32)


def _grow(mask: Mask, by_px: int) -> Mask:
    if by_px == 0:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(by_px) + 1, 2 * abs(by_px) + 1))
    return np.asarray((cv2.dilate if by_px > 0 else cv2.erode)(mask, kernel), dtype=np.float32)


def _elastic(picture: NDArray[np.float32], rng: Rng, *, strength_px: float, smooth_px: float) -> NDArray[np.float32]:
    size = picture.shape[0]
    coarse = max(4, round(size / smooth_px))
    shift = rng.standard_normal((2, coarse, coarse)).astype(np.float32) * strength_px
    field = [cv2.resize(part, (size, size), interpolation=cv2.INTER_CUBIC) for part in shift]
    yy, xx = np.mgrid[:size, :size].astype(np.float32)
    warped = cv2.remap(picture, xx + field[0], yy + field[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.float32)


def _soften(mask: Mask, rng: Rng) -> Mask:
    """Two blurs, the second after a cut, as in the paper: the border moves inward and varies in width."""
    size = mask.shape[0]
    mask = _blurred(mask, float(rng.uniform(0.4, 0.035 * size)))
    if rng.random() < 0.5:
        mask = np.clip((mask - 0.5) * float(rng.uniform(1.0, 3.0)) + 0.5, 0, 1)
        mask = _blurred(mask, float(rng.uniform(0.4, 0.025 * size)))
    return np.asarray(np.clip(mask, 0, 1), dtype=np.float32)


def _blurred(mask: Mask, sigma: float) -> Mask:
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), dtype=np.float32)


def paste(base: Image, other: Image, mask: Mask) -> Image:
    """`other` laid over `base` where the mask is 1."""
    weight = mask[..., None]
    mixed = base.astype(np.float32) * (1 - weight) + other.astype(np.float32) * weight
    return np.asarray(np.clip(mixed + 0.5, 0, 255), dtype=np.uint8)


def self_blend(crop: Image, points: Points, mesh: Points, rng: Rng) -> tuple[Image, Mask]:
    """A self-blended forgery of one real crop, and its mask (times the blending strength)."""
    size = crop.shape[0]
    mask = face_mask(size, points, mesh, rng) * _strength(rng)
    inner, outer = crop, crop
    # Only one side is treated, so that both directions of a mismatch are learnt.
    if rng.random() < 0.5:
        inner = treat(inner, rng)
    else:
        outer = treat(outer, rng)
    inner = _move(inner, rng)
    return paste(outer, inner, mask), mask


def cross_blend(
    base: Image, points: Points, mesh: Points, other: Image, other_points: Points, rng: Rng
) -> tuple[Image, Mask]:
    """Another person's face laid over `base`: moved onto its five points, coloured like it, blended in."""
    size = base.shape[0]
    matrix, _ = cv2.estimateAffinePartial2D(other_points, points, method=cv2.LMEDS)
    if matrix is None:
        return self_blend(base, points, mesh, rng)
    moved = cv2.warpAffine(other, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    mask = face_mask(size, points, mesh, rng)
    fitted = match_colour(np.asarray(moved, dtype=np.uint8), base, mask, rng)
    if rng.random() < 0.5:
        fitted = resample(fitted, rng, 0.35, 0.95)
    if rng.random() < 0.12 and mask.max() > 0.9:
        return _poisson(base, fitted, mask)
    return paste(base, fitted, mask), mask


def _poisson(base: Image, fitted: Image, mask: Mask) -> tuple[Image, Mask]:
    hard = ((mask > 0.5) * 255).astype(np.uint8)
    # seamlessClone needs a mask off the border, or it fails.
    hard[:3], hard[-3:], hard[:, :3], hard[:, -3:] = 0, 0, 0, 0
    x, y, width, height = cv2.boundingRect(hard)
    if width < 8 or height < 8:
        return paste(base, fitted, mask), mask
    # A copy, since seamlessClone writes into its mask.
    mixed = cv2.seamlessClone(fitted, base, hard.copy(), (x + width // 2, y + height // 2), cv2.NORMAL_CLONE)
    return np.asarray(mixed, dtype=np.uint8), (hard / 255).astype(np.float32)


def nearest_pose(points: Points, others: NDArray[np.float32], rng: Rng, among: int = 8) -> int:
    """The row of `others` (N, 5, 2), drawn from the `among` with the most alike five points."""
    distance = np.abs(_normal(others) - _normal(points[None])).sum((1, 2))
    near = np.argpartition(distance, min(among, len(distance) - 1))[:among]
    return int(rng.choice(near))


def _normal(points: NDArray[np.float32]) -> NDArray[np.float32]:
    middle = points - points.mean(1, keepdims=True)
    return np.asarray(middle / (np.abs(middle).mean((1, 2), keepdims=True) + 1e-6), dtype=np.float32)


def match_colour(source: Image, like: Image, mask: Mask, rng: Rng) -> Image:
    """`source` with the mean and deviation of `like` under the mask, in Lab (Reinhard 2001), by 60 to 100 %."""
    inside = mask > 0.3
    if inside.sum() < 50:
        return source
    a = cv2.cvtColor(source, cv2.COLOR_RGB2LAB).astype(np.float32)
    b = cv2.cvtColor(like, cv2.COLOR_RGB2LAB).astype(np.float32)
    ratio = (b[inside].std(0) + 1e-3) / (a[inside].std(0) + 1e-3)
    moved = (a - a[inside].mean(0)) * np.clip(ratio, 0.5, 2.0) + b[inside].mean(0)
    mixed = a + (moved - a) * float(rng.uniform(0.6, 1.0))
    return np.asarray(cv2.cvtColor(np.clip(mixed, 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB), dtype=np.uint8)


def _strength(rng: Rng) -> float:
    return float(rng.choice([0.5, 0.75, 1.0, 1.0, 1.0]))


def _move(crop: Image, rng: Rng) -> Image:
    """A little turned, shifted and scaled, as a swapped face never sits exactly."""
    size = crop.shape[0]
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), float(rng.uniform(-3, 3)), float(rng.uniform(0.96, 1.04)))
    matrix[:, 2] += rng.uniform(-0.025, 0.025, 2) * size
    moved = cv2.warpAffine(crop, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(moved, dtype=np.uint8)


def resample(crop: Image, rng: Rng, low: float, high: float) -> Image:
    """Shrunk to a random share of its size and enlarged again."""
    size = crop.shape[0]
    small_px = max(8, round(size * float(rng.uniform(low, high))))
    small = cv2.resize(crop, (small_px, small_px), interpolation=cv2.INTER_AREA)
    up = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]))
    return np.asarray(cv2.resize(small, (size, size), interpolation=up), dtype=np.uint8)


def treat(crop: Image, rng: Rng) -> Image:
    """One to three of: colour shift, hue and saturation, contrast and brightness, coarser or sharper detail."""
    chosen = rng.permutation(len(_TREATMENTS))[: int(rng.integers(1, 4))]
    for at in chosen:
        crop = _TREATMENTS[at](crop, rng)
    return crop


def _shift_rgb(crop: Image, rng: Rng) -> Image:
    return np.asarray(np.clip(crop + rng.uniform(-18, 18, 3), 0, 255), dtype=np.uint8)


def _shift_hsv(crop: Image, rng: Rng) -> Image:
    hsv = cv2.cvtColor(crop, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-8, 8)) % 180
    hsv[..., 1:] = np.clip(hsv[..., 1:] * rng.uniform(0.75, 1.3, 2), 0, 255)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), dtype=np.uint8)


def _contrast(crop: Image, rng: Rng) -> Image:
    mean = crop.mean()
    changed = (crop - mean) * rng.uniform(0.8, 1.25) + mean + rng.uniform(-18, 18)
    return np.asarray(np.clip(changed, 0, 255), dtype=np.uint8)


def _coarser(crop: Image, rng: Rng) -> Image:
    return resample(crop, rng, 0.3, 0.9)


def _sharper(crop: Image, rng: Rng) -> Image:
    soft = cv2.GaussianBlur(crop, (0, 0), float(rng.uniform(0.8, 2.0))).astype(np.float32)
    return np.asarray(np.clip(crop + (crop - soft) * rng.uniform(0.3, 1.2), 0, 255), dtype=np.uint8)


def _softer(crop: Image, rng: Rng) -> Image:
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), float(rng.uniform(0.4, 1.6))), dtype=np.uint8)


_TREATMENTS: tuple[Callable[[Image, Rng], Image], ...] = (
    _shift_rgb,
    _shift_hsv,
    _contrast,
    _coarser,
    _sharper,
    _softer,
)
