"""The nouns of FakeLab, frozen and typed: what one room hands to the next.

Conventions everywhere: images are (H, W, 3) uint8 RGB arrays, upright (rotation already applied); boxes are
``(x, y, width, height)`` in pixels of the full, upright frame, floats; times are seconds from the start of the
file, floats; ``p_fake`` is a calibrated probability 0..1 with 1 = manipulated; a raw network score is a ``logit``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # What starts the reader process needs nouns, and must not wait for numpy.
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    """(H, W, 3) uint8 RGB."""
else:
    Image = Any
Box = tuple[float, float, float, float]
"""x, y, width, height in pixels of the full upright frame."""


Progress = Callable[[str, int, int | None], None]
"""progress(stage, done, total): stages are open, model, faces, voice, lips, done; total is None if not known."""


class Kind(StrEnum):
    """What a file is, by its first bytes."""

    VIDEO = "video"
    PHOTO = "photo"
    AUDIO = "audio"


class Level(StrEnum):
    """The verdict in words, from worst to mildest, then what could not be judged."""

    STRONG = "strong_evidence"
    MODERATE = "moderate_evidence"
    INCONCLUSIVE = "inconclusive"
    NONE_FOUND = "no_evidence_found"
    NOT_ANALYSABLE = "not_analysable"


LEVEL_WORDS: dict[Level, str] = {
    Level.STRONG: "Strong evidence of manipulation",
    Level.MODERATE: "Moderate evidence, not conclusive",
    Level.INCONCLUSIVE: "Inconclusive",
    Level.NONE_FOUND: "No evidence of manipulation found",
    Level.NOT_ANALYSABLE: "Could not be analysed",
}
"""What people read for each level, in verdicts and in reports alike."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a level was given: a stable `code` (see `fakelab.verdict.REASONS`), and the sentence shown."""

    code: str
    text: str
    measured: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What `media.probe` learned of a file while reading it once. Unknown values are None."""

    path: str
    name: str
    size_bytes: int
    sha256: str
    kind: Kind
    container: str
    """The format that the first bytes name: mp4, matroska, avi, mpeg, mpegts, flv, gif, jpeg, png, webp, heif, ..."""
    width_px: int | None = None
    height_px: int | None = None
    """Upright size: after rotation or EXIF orientation."""
    duration_s: float | None = None
    fps: float | None = None
    """Average frame rate."""
    variable_frame_rate: bool = False
    rotation_deg: int = 0
    video_codec: str | None = None
    audio_codec: str | None = None
    video_bitrate_bps: float | None = None
    frames_count: int | None = None
    """Frames that the container declares or that were counted."""
    pixel_format: str | None = None
    """How a video stores its pixels, in FFmpeg's word: yuv420p is 8 bits with halved colour, as browsers want it."""
    phash: tuple[str, ...] = ()
    """Perceptual hashes of sampled frames, 64 bits in hexadecimal: files that look alike have near ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture. `burst` numbers the group of neighbouring frames it was sampled in."""

    image: Image
    time_s: float
    index: int
    """Running number among the sampled frames, from 0."""
    burst: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A face cut by the one cropper: (size, size, 3) uint8 RGB, with the version of the cropper that cut it."""

    image: Image
    version: int


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in one sampled frame, its crop cut when it was found (the frame is dropped)."""

    box: Box
    score: float
    """The finder's confidence, 0..1."""
    landmarks: NDArray[np.float32] | None
    """(5, 2) pixels of the full frame: right eye, left eye, nose, right and left mouth corner; None if not given."""
    time_s: float
    frame_index: int
    burst: int
    frame_size: tuple[int, int]
    """(width, height) of the full frame."""
    crop: Crop
    blur: float
    """Variance of the Laplacian of the crop's luma at the card's size; lower is blurrier."""
    luma: float
    """Mean luma of the crop, 0..255."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """All sampled faces of one person in time order. `person` counts from 1 in order of first appearance."""

    person: int
    faces: tuple[Face, ...]

    @property
    def start_s(self) -> float:
        return self.faces[0].time_s

    @property
    def end_s(self) -> float:
        return self.faces[-1].time_s


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A stretch of a file, seconds from its start."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, eq=False)
class FaceScore:
    """One scored face of a person: what a timeline draws."""

    time_s: float
    box: Box
    logit: float
    p_fake: float
    heat_map: NDArray[np.float32] | None = None
    """(h, w) 0..1 over the crop, higher where the network saw traces; kept for the faces shown in a report."""
    crop: Image | None = None
    """The (size, size, 3) RGB crop, kept for the faces shown in a report."""


@dataclass(frozen=True, slots=True, eq=False)
class PersonScore:
    """One person of a file: mean logit over the faces, calibrated p_fake, the faces in time order."""

    person: int
    logit: float
    p_fake: float
    level: Level
    reasons: tuple[Reason, ...]
    faces: tuple[FaceScore, ...]
    suspicious: tuple[TimeRange, ...] = ()


@dataclass(frozen=True, slots=True)
class WindowScore:
    """One stretch of sound. `logit` and `p_fake` are None exactly when `level` is not_analysable: no speech in it."""

    start_s: float
    end_s: float
    level: Level
    logit: float | None
    p_fake: float | None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What one detector says of a file. `p_fake` is None exactly when `level` is not_analysable."""

    detector: str
    """face_video, face_photo, voice, ..."""
    looks_for: str
    """One plain sentence."""
    level: Level
    p_fake: float | None
    reasons: tuple[Reason, ...]
    model: str | None = None
    finder: str | None = None
    people: tuple[PersonScore, ...] = ()
    decided_by: int | None = None
    """The number of the person who decided."""
    suspicious: tuple[TimeRange, ...] = ()
    frames_sampled: int = 0
    frames_failed: int = 0
    faces_found: int = 0
    error_rate: str = ""
    """The stated error rate with its test set, from the model's card."""
    measured: dict[str, float] = field(default_factory=dict)
    """What the gate measured: smallest face, blur, luma, bits per pixel ..."""
    windows: tuple[WindowScore, ...] = ()
    """The sound in overlapping windows, in time order; empty for a finding about pictures."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The file's answer. `sentence` is what people read first; `not_said` what it does not show."""

    level: Level
    p_fake: float | None
    sentence: str
    not_said: str
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class CropSpec:
    """How a model wants its faces cut. A loaded card whose `version` the cropper does not know is refused."""

    version: int
    size_px: int
    margin: float
    """Side of the square crop / longer side of the finder's box."""
    align: bool = False
    """Turned so that the eyes are level."""
    boxes_from: str = "yunet"
    """The finder whose boxes `margin` was measured against."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What travels with the weights. Loading refuses a card that does not fit its files (see `models.card`)."""

    name: str
    version: str
    summary: str
    architecture: str
    task: str
    crop: CropSpec
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    colour_order: str
    calibration: dict[str, Any]
    thresholds: dict[str, Any]
    gate: dict[str, float]
    files: dict[str, str]
    """File name -> SHA-256."""
    training: dict[str, Any]
    data: tuple[dict[str, str], ...]
    """One row per data set: name, use, licence."""
    metrics: dict[str, Any]
    weak_spots: tuple[str, ...]
    licence: str


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """What one check without a neural network says of a file: signatures, metadata, traces of compression.

    A check that stands in no verdict is still a fact of the file. Its texts are plain words; values come from the file
    and are as little to be trusted as the file.
    """

    name: str
    """provenance, generator_traces, metadata, ela, ..."""
    state: str
    """One word, such as none, valid, found, not_applicable, failed."""
    sentence: str
    facts: tuple[tuple[str, str], ...] = ()
    """(label, value)."""
    contradictions: tuple[str, ...] = ()
    """What does not fit together, one sentence each."""
    maps: tuple[tuple[str, NDArray[np.float32]], ...] = ()
    """(name, (h, w) 0..1), upright, brighter where the check saw more."""
    how_to_read: str = ""
    when_it_misleads: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """The whole answer for one file: what `fakelab.analyze` returns."""

    file: MediaInfo
    verdict: Verdict
    findings: tuple[Finding, ...]
    models: tuple[dict[str, str], ...]
    """name, version, sha256 of every model used."""
    started: datetime
    """UTC."""
    timings: dict[str, float]
    """Stage -> seconds."""
    settings: dict[str, Any]
    versions: dict[str, str]
    """FakeLab, its commit, and the libraries that can change a number."""
    warnings: tuple[str, ...] = ()
    evidence: tuple[Check, ...] = ()
    """What the checks that need no network found, in the order shown."""
    seed: int | None = None
    """What everything that was drawn at random began from; None in records of earlier versions."""
