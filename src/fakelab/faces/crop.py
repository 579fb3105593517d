"""THE cropper: the one way a face is cut, in preparation, training, evaluation and inference alike.

A ModelCard records the `CropSpec` its weights were trained with, version included; a spec of another version is
refused, since a network that is shown other crops than it learnt from answers with confident nonsense.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fakelab.errors import ModelError, unknown_name
from fakelab.records import Box, Crop, CropSpec, Image

CROPPER_VERSION = 1

FINDER_SCALE = {"yunet": 1.0, "dlib": 1.23}
"""Longer side of the YuNet box / side of this finder's box for the same face, so that a margin measured with one
finder's boxes serves the other: median of 416 faces of 205 clips (5-95 %: 1.04-1.42, since dlib knows few sizes)."""
FINDER_SHIFT = {"yunet": 0.0, "dlib": -0.058}
"""How far the centre moves down to agree with YuNet's, as a share of the YuNet side: -.072 of the dlib side, median of
the same faces (5-95 %: -.142-.003). Across, the median is .00."""


def cut_face(
    image: Image, box: Box, landmarks: NDArray[np.float32] | None, spec: CropSpec, finder: str = "yunet"
) -> Crop:
    """The face as (size, size, 3) uint8 RGB: a square around the box, `margin` times its longer side.

    What lies outside the frame repeats the border. With `spec.align` and landmarks, it is turned so that the eyes
    are level. Shrinking averages areas, enlarging is bicubic. Raises ModelError for a spec of another cropper, and
    UnknownNameError for a finder whose boxes were not measured.
    """
    import cv2

    refuse_other_versions(spec)
    centre, side = square_to_cut(box, spec, finder)
    angle = eye_angle_deg(landmarks) if spec.align else 0.0
    scale = spec.size_px / side
    if scale < 1.0:
        # Area averaging needs whole pixels: cut a little more than the square, shrink it, then place it exactly.
        image, centre, shrunk = _shrink_around(image, centre, side, scale)
        scale /= shrunk
    # getRotationMatrix2D keeps `centre` in place; move it to the crop's centre. Pixel centres lie at +.5.
    matrix = np.asarray(cv2.getRotationMatrix2D((centre[0] - 0.5, centre[1] - 0.5), angle, scale), np.float64)
    matrix[:, 2] += spec.size_px / 2 - 0.5 - np.array([centre[0] - 0.5, centre[1] - 0.5])
    pixels = cv2.warpAffine(
        image,
        matrix,
        (spec.size_px, spec.size_px),
        flags=cv2.INTER_CUBIC if scale > 1.0 else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return Crop(np.ascontiguousarray(pixels, dtype=np.uint8), CROPPER_VERSION)


def refuse_other_versions(spec: CropSpec) -> None:
    """Nothing, or ModelError when `spec` belongs to another version of the cropper."""
    if spec.version != CROPPER_VERSION:
        raise ModelError(
            f"crops of version {spec.version} cannot be cut",
            f"this FakeLab cuts version {CROPPER_VERSION}",
            "Use weights trained with this version, or the FakeLab version that the model's card names.",
        )


def square_to_cut(box: Box, spec: CropSpec, finder: str = "yunet") -> tuple[tuple[float, float], float]:
    """Centre (x, y) and side, full-frame pixels, of the square that `cut_face` shows. Raises UnknownNameError."""
    for name in (finder, spec.boxes_from):
        if name not in FINDER_SCALE:
            raise unknown_name("face finder", name, FINDER_SCALE)
    x, y, width, height = box
    centre_x, centre_y = x + width / 2, y + height / 2
    side = max(width, height) * FINDER_SCALE[finder]
    centre_y += FINDER_SHIFT[finder] * side
    if spec.boxes_from != "yunet":
        # The margin belongs to another finder's boxes: go on from YuNet's square to that finder's.
        centre_y -= FINDER_SHIFT[spec.boxes_from] * side
        side /= FINDER_SCALE[spec.boxes_from]
    return (centre_x, centre_y), max(side * spec.margin, 2.0)


def blur_and_luma(crop: Image) -> tuple[float, float]:
    """Variance of the Laplacian of the crop's luma (lower is blurrier), and its mean luma 0..255."""
    import cv2

    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var()), float(grey.mean())


def _shrink_around(
    image: Image, centre: tuple[float, float], side: float, scale: float
) -> tuple[Image, tuple[float, float], float]:
    """The neighbourhood of the square, shrunk by about `scale`, the centre in it, and the factor applied."""
    import cv2

    height, width = image.shape[:2]
    # 1.5 leaves room for the turned square's corners.
    half = side * 0.75 + 2
    x0, x1 = max(0, math.floor(centre[0] - half)), min(width, math.ceil(centre[0] + half))
    y0, y1 = max(0, math.floor(centre[1] - half)), min(height, math.ceil(centre[1] + half))
    if x1 - x0 < 2 or y1 - y0 < 2:
        return image, centre, 1.0
    part = image[y0:y1, x0:x1]
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    fx, fy = size[0] / part.shape[1], size[1] / part.shape[0]
    small = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return small, ((centre[0] - x0) * fx, (centre[1] - y0) * fy), math.sqrt(fx * fy)


def eye_angle_deg(landmarks: NDArray[np.float32] | None) -> float:
    """Slope of the line through the eyes, degrees, positive when the left eye (on the right) is lower; 0 unknown."""
    if landmarks is None:
        return 0.0
    right, left = landmarks[0], landmarks[1]
    return math.degrees(math.atan2(float(left[1] - right[1]), float(left[0] - right[0])))
