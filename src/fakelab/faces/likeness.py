"""How alike two faces look, by hand-made descriptors of their crops: no identity network, nothing learnt.

Two questions, two measures. *Is this the next frame of the same face?* compares thumbnails (`jump`): between
neighbouring frames almost nothing changes, so it is sharp, and it sees a cut to another person who sits at the same
place. *Is this the same person in another shot?* compares texture and colour (`describe`). Both say "the same person
in the same file", under one camera and light; they are no face recognition, and across photos of different days they
are hardly better than chance (LFW: AUC .73).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fakelab.faces.crop import eye_angle_deg, square_to_cut
from fakelab.records import CropSpec, Face, Image

Floats = NDArray[np.float32]

THUMB_PX = 16
AB_PER_UNIT = 5.0
"""A mean difference of 5 steps in Lab's a and b weighs as much in a jump as luma that no longer correlates at all."""

PATCH_PX = 64
CANONICAL_POINTS = ((0.32, 0.40), (0.68, 0.40), (0.50, 0.60), (0.35, 0.79), (0.65, 0.79))
"""Where the five landmarks lie in the aligned patch, as a share of its side: the patch shows about the finder's box."""
MEDIAN_POINTS = ((-0.171, -0.119), (0.171, -0.119), (0.0, 0.077), (-0.148, 0.234), (0.148, 0.234))
"""Median offset of the landmarks from the centre of YuNet's box / its longer side (205 clips), for faces without."""

POSE_WEIGHTS = (0.6, 0.6)
POSE_APART_MOST = (0.2, 0.1)
"""Texture falls by .86 a unit of turning and .92 of nodding inside a clip (least squares, R2 .65). Given back are two
thirds, and only up to here: beyond, strangers gain more than the same face."""

LBP_RADIUS_PX = 2
LBP_GRID = 6
UNIFORM_CODES = 59
CHROMA_BINS = 16
CHROMA_FROM, CHROMA_TO = 96, 160
"""The range of OpenCV's 8-bit a and b (128 = grey) that faces and what surrounds them use; the rest is clipped."""
CHROMA_PX = 32


def thumbnails(faces: Sequence[Face]) -> tuple[Floats, Floats]:
    """What `jump` compares: (n, 256) luma of unit length without its mean, and (n, 512) Lab a and b, 0..255."""
    import cv2

    n = len(faces)
    small = np.empty((n, THUMB_PX, THUMB_PX, 3), np.uint8)
    for row, face in zip(small, faces, strict=True):
        row[:] = _resized(face.crop.image, THUMB_PX)
    if not n:
        return np.zeros((0, THUMB_PX**2), np.float32), np.zeros((0, 2 * THUMB_PX**2), np.float32)
    converted = cv2.cvtColor(small.reshape(n * THUMB_PX, THUMB_PX, 3), cv2.COLOR_RGB2LAB)
    lab = np.asarray(converted, np.float32).reshape(n, THUMB_PX * THUMB_PX, 3)
    luma = lab[:, :, 0] - lab[:, :, 0].mean(axis=1, keepdims=True)
    return _unit_rows(luma), np.ascontiguousarray(lab[:, :, 1:]).reshape(n, -1)


def jump(before: tuple[Floats, Floats], after: tuple[Floats, Floats]) -> Floats:
    """(n, m) change of the picture from n faces to m faces: 0 = the same, about 1.7 for two people, both >= 0.

    1 - correlation of luma (so a flash or a fade is no jump) plus the mean difference in a and b / AB_PER_UNIT.
    Takes two results of `thumbnails`.
    """
    colour = np.abs(before[1][:, None] - after[1][None]).mean(axis=2)
    return np.asarray(1.0 - before[0] @ after[0].T + colour / AB_PER_UNIT, dtype=np.float32)


def describe(faces: Sequence[Face], spec: CropSpec, finder: str) -> Floats:
    """(n, d) descriptors; the product of two is their likeness, 0..2: texture 0..1 plus colour 0..1.

    Texture: uniform local binary patterns, radius 2, in 6 x 6 cells of the aligned 64 px luma patch (Ojala 2002;
    Ahonen 2006), compared by the Hellinger kernel. Colour: histogram of a and b over the whole crop, hair and
    surroundings included. `spec` and `finder` say how the crops were cut.
    """
    import cv2

    if not faces:
        return np.zeros((0, LBP_GRID**2 * UNIFORM_CODES + CHROMA_BINS**2), np.float32)
    patches = np.empty((len(faces), PATCH_PX, PATCH_PX), np.uint8)
    small = np.empty((len(faces), CHROMA_PX, CHROMA_PX, 3), np.uint8)
    matrices = _similarities(_points_in_crops(faces, spec, finder), np.array(CANONICAL_POINTS) * PATCH_PX)
    for k, face in enumerate(faces):
        patches[k] = _aligned_luma(face.crop.image, matrices[k])
        small[k] = _resized(face.crop.image, CHROMA_PX)
    lab = np.asarray(cv2.cvtColor(small.reshape(-1, CHROMA_PX, 3), cv2.COLOR_RGB2LAB), np.uint8)
    return np.concatenate([_texture(patches), _colour(lab.reshape(small.shape))], axis=1)


def average(descriptors: Floats) -> Floats:
    """(d,) descriptor of one person from (n, d) of their faces; texture and colour again of unit length each."""
    mean = descriptors.mean(axis=0, keepdims=True)
    split = LBP_GRID**2 * UNIFORM_CODES
    return np.concatenate([_unit_rows(mean[:, :split])[0], _unit_rows(mean[:, split:])[0]])


def head_poses(faces: Sequence[Face]) -> Floats:
    """(n, 2) how far the head is turned and nodded: where the nose lies across and between eyes and mouth.

    The first is in eye distances, 0 = frontal; the second 0..1 from the eyes to the mouth. The median where a face has
    no landmarks.
    """
    points = np.array([MEDIAN_POINTS if face.landmarks is None else face.landmarks for face in faces], np.float32)
    points = points.reshape(-1, 5, 2)
    eyes = points[:, :2].mean(axis=1)
    across = points[:, 1] - points[:, 0]
    distance = np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-3)
    across = across / distance
    down = np.stack([-across[:, 1], across[:, 0]], axis=1)
    nose, mouth = points[:, 2] - eyes, points[:, 3:].mean(axis=1) - eyes
    turned = (nose * across).sum(axis=1) / distance[:, 0]
    nodded = (nose * down).sum(axis=1) / np.maximum((mouth * down).sum(axis=1), 0.2 * distance[:, 0])
    return np.stack([turned, nodded], axis=1)


def pose_allowance(poses: Floats) -> Floats:
    """(n, n) likeness that the same face loses when it is turned from one of these `poses` (n, 2) to another."""
    apart = np.abs(poses[:, None] - poses[None])
    return np.asarray(np.minimum(apart, POSE_APART_MOST) @ np.array(POSE_WEIGHTS), dtype=np.float32)


def _aligned_luma(crop: Image, matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(64, 64) luma of the crop, moved by the (2, 3) `matrix` and slightly smoothed."""
    import cv2

    luma = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    # Bilinear sampling at a quarter of the size reads every fourth pixel only; that noise would pass for texture.
    while luma.shape[0] * float(np.hypot(matrix[0, 0], matrix[0, 1])) < 0.7 * luma.shape[0] and luma.shape[0] >= 16:
        half = luma.shape[0] // 2
        matrix = matrix * np.array([luma.shape[0] / half, luma.shape[0] / half, 1.0])
        luma = cv2.resize(luma, (half, half), interpolation=cv2.INTER_AREA)
    moved = cv2.warpAffine(luma, matrix, (PATCH_PX, PATCH_PX), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), 1.0), np.uint8)


def _points_in_crops(faces: Sequence[Face], spec: CropSpec, finder: str) -> NDArray[np.float64]:
    """(n, 5, 2) landmarks in pixels of each crop, or where they usually are."""
    points = np.empty((len(faces), 5, 2))
    for row, face in zip(points, faces, strict=True):
        size = face.crop.image.shape[0]
        if face.landmarks is None:
            row[:] = size * (0.5 + np.array(MEDIAN_POINTS) / spec.margin)
            continue
        centre, side = square_to_cut(face.box, spec, finder)
        row[:] = (face.landmarks - np.array(centre)) * (size / side)
        if spec.align:
            turn = np.radians(eye_angle_deg(face.landmarks))
            row[:] = row @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        row += size / 2
    return points


def _similarities(points: NDArray[np.float64], onto: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2, 3) matrices that turn, scale and move each (5, 2) of `points` onto (5, 2) with least squared error."""
    middle = points.mean(axis=1)
    a, b = points - middle[:, None], onto - onto.mean(axis=0)
    spread = np.maximum((a**2).sum(axis=(1, 2)), 1e-6)
    cos = (a * b).sum(axis=(1, 2)) / spread
    sin = (a[:, :, 0] * b[:, 1] - a[:, :, 1] * b[:, 0]).sum(axis=1) / spread
    # Landmarks that fall into one point give no scale.
    cos[np.hypot(cos, sin) < 1e-3] = 1.0
    matrices = np.empty((len(points), 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 0], matrices[:, 1, 1] = cos, -sin, sin, cos
    matrices[:, :, 2] = onto.mean(axis=0) - (matrices[:, :, :2] @ middle[:, :, None])[:, :, 0]
    return matrices


def _texture(patches: NDArray[np.uint8]) -> Floats:
    """(n, cells * codes) square roots of the shares of each pattern in each cell: rows of unit length."""
    n, r = len(patches), LBP_RADIUS_PX
    inner = PATCH_PX - 2 * r
    centre = patches[:, r:-r, r:-r]
    codes = np.zeros(centre.shape, np.uint8)
    ring = ((-r, -r), (-r, 0), (-r, r), (0, r), (r, r), (r, 0), (r, -r), (0, -r))
    for bit, (dy, dx) in enumerate(ring):
        neighbour = patches[:, r + dy : r + dy + inner, r + dx : r + dx + inner]
        codes |= (neighbour >= centre).view(np.uint8) << bit
    cell = np.arange(inner) * LBP_GRID // inner
    place = (cell[:, None] * LBP_GRID + cell[None]) * UNIFORM_CODES
    width = LBP_GRID**2 * UNIFORM_CODES
    counts = np.empty((n, width), np.float32)
    for row, code in zip(counts, uniform_codes()[codes], strict=True):
        row[:] = np.bincount((code + place).ravel(), minlength=width)
    return np.sqrt(counts / inner**2)


@lru_cache(maxsize=1)
def uniform_codes() -> NDArray[np.intp]:
    """(256,) pattern -> 0..57 for those with at most two changes around the circle, 58 for all others."""
    changes = [(code ^ ((code >> 1) | ((code & 1) << 7))).bit_count() for code in range(256)]
    uniform = [code for code in range(256) if changes[code] <= 2]
    table = np.full(256, UNIFORM_CODES - 1, np.intp)
    table[uniform] = np.arange(len(uniform))
    return table


def _colour(lab: NDArray[np.uint8]) -> Floats:
    """(n, bins * bins) square roots of the smoothed histogram of a and b: rows of unit length."""
    import cv2

    n = len(lab)
    step = (CHROMA_TO - CHROMA_FROM) // CHROMA_BINS
    bins = (np.clip(lab[..., 1:].astype(np.intp), CHROMA_FROM, CHROMA_TO - 1) - CHROMA_FROM) // step
    index = (bins[..., 0] * CHROMA_BINS + bins[..., 1]).reshape(n, -1)
    index += np.arange(n)[:, None] * CHROMA_BINS**2
    counts = np.bincount(index.ravel(), minlength=n * CHROMA_BINS**2).astype(np.float32)
    counts = counts.reshape(n, CHROMA_BINS, CHROMA_BINS)
    for k in range(n):
        # Neighbouring bins share their counts, so that a small shift of white balance is a small change.
        counts[k] = cv2.GaussianBlur(counts[k], (0, 0), 0.8)
    return _unit_rows(np.sqrt(counts).reshape(n, -1))


def _resized(image: Image, size_px: int) -> Image:
    import cv2

    # Averaging areas straight from 224 px takes three times as long, and this runs for every face.
    middle = cv2.resize(image, (PATCH_PX, PATCH_PX), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(middle, (size_px, size_px), interpolation=cv2.INTER_AREA), np.uint8)


def _unit_rows(rows: Floats) -> Floats:
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6), dtype=np.float32)
