"""Areas of a picture that occur in it twice: copied, moved, turned or scaled. Points are matched, then pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fakelab.evidence import SEED
from fakelab.evidence.blocks import Floats, luma
from fakelab.records import Image

POINTS = 1500
FAR_PX = 24.0
"""Points nearer to each other than this are one structure."""
RATIO = 0.6
"""A point's likeness to its twin must be so much closer than to the next best one: repeated patterns have many."""
NEAR = 0.12
"""Squared distance of two descriptors of length 1 above which they are unlike."""
FEWEST = 6
"""Pairs of points that must agree on one movement."""
ALIKE = 0.92
"""Correlation of the pixels around two places that makes them the same."""
WINDOW_PX = 11
LEAST_SHARE = 0.002
"""Share of the picture that must occur twice: less is chance."""
LEAST_TEXTURE = 4.0
"""Standard deviation of the pixels in a window; flat areas are alike everywhere."""
TRIES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """What occurs twice: `heat` (h, w) 0..1 over the picture, the share of it, and the pairs of points that agree."""

    heat: Floats
    share: float
    pairs: int


def copies_in(image: Image) -> Copies:
    """The areas of an RGB picture that occur in it twice, none where nothing agrees."""
    grey = luma(image)
    heat = np.zeros(grey.shape, np.float32)
    starts, ends = _pairs(grey.round().clip(0, 255).astype(np.uint8))
    agreed = 0
    for _ in range(TRIES):
        if len(starts) < FEWEST:
            break
        movement, inside = _movement(starts, ends)
        if movement is None or inside.sum() < FEWEST:
            break
        same = _same(grey, movement)
        if same.mean() >= LEAST_SHARE:
            heat = np.maximum(heat, same)
            agreed += int(inside.sum())
        starts, ends = starts[~inside], ends[~inside]
    return Copies(heat, float((heat > 0).mean()), agreed)


def _pairs(grey: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Points and their twins elsewhere in the picture, (n, 2) each."""
    empty = np.empty((0, 2), np.float32)
    points, features = cv2.SIFT.create(nfeatures=POINTS, contrastThreshold=0.02).detectAndCompute(grey, None)
    if features is None or len(points) < 2 * FEWEST:
        return empty, empty
    places = np.array([each.pt for each in points], np.float32)
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-6)
    apart = 2 - 2 * unit @ unit.T
    squares = (places**2).sum(axis=1)
    apart[squares[:, None] + squares[None] - 2 * places @ places.T < FAR_PX**2] = 9.0
    rows, nearest = np.arange(len(points)), apart.argmin(axis=1)
    first = apart[rows, nearest]
    apart[rows, nearest] = 9.0
    good = (first < RATIO**2 * apart.min(axis=1)) & (first < NEAR)
    return places[good], places[nearest[good]]


def _movement(starts: Floats, ends: Floats) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_]]:
    cv2.setRNGSeed(SEED)
    found, inside = cv2.estimateAffinePartial2D(starts, ends, ransacReprojThreshold=2.0, maxIters=1000)
    none = np.zeros(len(starts), bool)
    if found is None or inside is None:
        return None, none
    scale = float(np.hypot(found[0, 0], found[1, 0]))
    return (np.asarray(found, np.float64), inside.ravel() > 0) if 0.4 < scale < 2.5 else (None, none)


def _same(grey: Floats, movement: NDArray[np.float64]) -> Floats:
    """1 where the picture is what `movement` leads to, at both places; 0 elsewhere."""
    height, width = grey.shape
    there = cv2.warpAffine(grey, movement, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    valid = cv2.warpAffine(
        np.ones_like(grey), movement, (width, height), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    alike = _correlation(grey, np.asarray(there, np.float32)) * (valid > 0)
    moved = movement - np.eye(2, 3)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    far = np.hypot(
        moved[0, 0] * columns + moved[0, 1] * rows + moved[0, 2],
        moved[1, 0] * columns + moved[1, 1] * rows + moved[1, 2],
    )
    here = ((alike > ALIKE) & (far > FAR_PX)).astype(np.uint8)
    here = cv2.morphologyEx(here, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) * np.uint8(1)
    here = cv2.dilate(here, np.ones((WINDOW_PX, WINDOW_PX), np.uint8))
    twin = cv2.warpAffine(here, movement, (width, height), flags=cv2.INTER_NEAREST)
    return np.maximum(here, twin).astype(np.float32)


def _correlation(one: Floats, other: Floats) -> Floats:
    """Correlation of two pictures in a window around each pixel; 0 where either is flat."""
    size = (WINDOW_PX, WINDOW_PX)
    means = cv2.blur(one, size), cv2.blur(other, size)
    spreads = [np.maximum(cv2.blur(x * x, size) - m * m, 0) for x, m in zip((one, other), means, strict=True)]
    both = cv2.blur(one * other, size) - means[0] * means[1]
    textured = (spreads[0] > LEAST_TEXTURE**2) & (spreads[1] > LEAST_TEXTURE**2)
    return np.where(textured, both / np.sqrt(spreads[0] * spreads[1] + 1e-6), 0).astype(np.float32)
