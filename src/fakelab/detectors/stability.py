"""Does the verdict hold when the file is stored once more? The faces that decided are asked again on degraded copies.

Not the file is degraded but the crops that are cut already, as they would look in a copy: compressed once more, at half
the size, cut a little closer. A few faces, spread over the clip, are scored before and after; the mean change of their
logits is laid on the person's score, so that a verdict flips by the degradation alone, never by the choice of faces.
Every copy loses traces, so evidence that becomes weaker holds; a flip is evidence that becomes "nothing found", or the
reverse. What a chat service does to a clip is milder or about the same: the severities are set, not tuned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fakelab.faces.crop import square_to_cut
from fakelab.media.degrade import photo_codec, rescale, video_codec
from fakelab.models.runtime import FaceModel
from fakelab.records import Crop, CropSpec, Face, Image, Kind, Level, Reason
from fakelab.verdict import Rules, flips, level_at, reason, shifted

FACES = 2
"""So many faces of the deciding person are scored again, each once a change."""
CRF, QUALITY = 28, 60
"""H.264's rate factor for a video's faces, JPEG's quality for a photo's."""
CUT = 0.04
"""Share of a crop's side that is cut off at the top and the left, and stretched over."""
ASKED = (Level.STRONG, Level.MODERATE, Level.NONE_FOUND)
"""The levels that can flip; what is inconclusive already is not asked again."""


@dataclass(frozen=True, slots=True)
class Stability:
    """p_fake at even odds after each change, and a reason for every change under which the verdict flips."""

    measured: dict[str, float]
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A degradation: `apply` takes a crop and the side in pixels that it had in the file; None if nothing changes."""

    code: str
    name: str
    apply: Callable[[Image, float, Kind, float], Image | None]


def check(
    faces: Sequence[tuple[Face, Crop, float]],
    p: float,
    level: Level,
    model: FaceModel,
    rules: Rules,
    kind: Kind,
    finder: str,
) -> Stability:
    """What becomes of `level`, which was read from `p` (even odds), when the file is stored once more.

    `faces` are the deciding person's, in time order, with a crop of full size and the logit.
    """
    chosen = [faces[at] for at in np.unique(np.linspace(0, len(faces) - 1, FACES + 2).round().astype(int)[1:-1])]
    smallest = rules.gate["small_face_px"] * model.card.crop.margin
    jobs = [
        (change, logit, Crop(image, crop.version))
        for change in CHANGES
        for face, crop, logit in chosen
        if (image := change.apply(crop.image, _side(face, model.card.crop, finder), kind, smallest)) is not None
    ]
    logits, _ = model.score([crop for _, _, crop in jobs])
    mean = float(np.mean([logit for _, _, logit in faces]))
    measured, reasons = {}, []
    for change in CHANGES:
        # A face that the change leaves as it is counts with no difference.
        gaps = [after - before for (each, before, _), after in zip(jobs, logits, strict=True) if each is change]
        moved = rules.evidence(mean + float(sum(gaps)) / len(chosen)) - rules.evidence(mean)
        value = shifted(p, moved)
        measured[f"p_fake_{change.name}"] = value
        if flips(level, level_at(value, rules)):
            reasons.append(reason(change.code, value, rules.moderate if level is Level.NONE_FOUND else rules.unsure))
    return Stability(measured, tuple(reasons))


def _side(face: Face, spec: CropSpec, finder: str) -> float:
    return square_to_cut(face.box, spec, finder)[1]


def _compressed(image: Image, side: float, kind: Kind, smallest: float) -> Image:
    """Through the codec at the size that the face has in the file, so that its blocks have their true size."""
    import cv2

    height, width = image.shape[:2]
    share = min(1.0, side / width)
    size = (max(16, round(width * share)), max(16, round(height * share)))
    small = image if share == 1.0 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    coded = photo_codec(small, "jpeg", QUALITY) if kind is Kind.PHOTO else video_codec([small], "h264", CRF)[0]
    if share == 1.0:
        return coded
    return np.asarray(cv2.resize(coded, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _halved(image: Image, side: float, kind: Kind, smallest: float) -> Image | None:
    """At half the size, but not below the size that the gate holds back; a large face fills the crop all the same."""
    width = image.shape[1]
    left = max(side / 2, smallest)
    return rescale(image, left / width) if left < min(side, width) else None


def _cut(image: Image, side: float, kind: Kind, smallest: float) -> Image:
    """The crop as a finder's box that moved a little would give it."""
    import cv2

    height, width = image.shape[:2]
    part = np.ascontiguousarray(image[round(CUT * height) :, round(CUT * width) :])
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


CHANGES = (
    Change("unstable_compression", "compressed", _compressed),
    Change("unstable_size", "halved", _halved),
    Change("unstable_cut", "cut", _cut),
)
