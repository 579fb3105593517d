"""Analyses made by hand: what every report is tried on. Crops and heat maps are drawn, nothing is random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.records import (
    Analysis,
    FaceScore,
    Finding,
    Image,
    Kind,
    Level,
    MediaInfo,
    PersonScore,
    Reason,
    TimeRange,
    Verdict,
)

STARTED = datetime(2026, 3, 14, 9, 26, 53, 589793, tzinfo=UTC)
NOT_SAID = (
    "This does not show that the file is authentic. Nothing was looked for but manipulated faces: not the sound, "
    "not the scene, not when or where it was taken."
)
STRONG_NOT_SAID = (
    "This does not show who made the file or why, nor that other parts of it are untouched. Harmless edits such as "
    "beauty filters can leave the same traces."
)
LINES = {"threshold_moderate": 0.62, "threshold_strong": 0.88}
ERROR_RATE = (
    "At this line, 1.0 % of 412 genuine clips raised a false alarm and 58 % of 350 manipulated ones were caught "
    "(FaceForensics++ c23, not used in training; 95 % interval 0.4 to 2.5 %)."
)


def face_picture(shade: int = 150, size: int = 112) -> Image:
    """A drawn head: an ellipse with two eyes on a graded ground."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    image = np.stack([60 + 60 * x, 70 + 50 * y, 90 + 40 * x], axis=-1)
    image[((x - 0.5) / 0.32) ** 2 + ((y - 0.5) / 0.42) ** 2 < 1] = (shade, shade * 0.8, shade * 0.7)
    for eye_x in (0.38, 0.62):
        image[(x - eye_x) ** 2 + (y - 0.42) ** 2 < 0.0016] = (30, 25, 25)
    return image.round().clip(0, 255).astype(np.uint8)


def heat(peak: float, x: float = 0.5, y: float = 0.7) -> NDArray[np.float32]:
    """A 14 x 14 map with one hill of height `peak` at a place given in shares of the side."""
    rows, columns = np.mgrid[0:14, 0:14] / 13
    return (peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 0.06)).astype(np.float32)


def info(**changes: Any) -> MediaInfo:
    video = MediaInfo(
        path="/incoming/2026-03/clip.mp4",
        name="clip.mp4",
        size_bytes=18_452_311,
        sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        kind=Kind.VIDEO,
        container="mp4",
        width_px=1280,
        height_px=720,
        duration_s=42.5,
        fps=29.97,
        video_codec="h264",
        audio_codec="aac",
        video_bitrate_bps=2_400_000.0,
        frames_count=1274,
    )
    return replace(video, **changes)


def photo_info(**changes: Any) -> MediaInfo:
    photo = info(
        path="/incoming/photo.jpg",
        name="photo.jpg",
        size_bytes=812_004,
        kind=Kind.PHOTO,
        container="jpeg",
        width_px=2048,
        height_px=1365,
        duration_s=None,
        fps=None,
        video_codec=None,
        audio_codec=None,
        video_bitrate_bps=None,
        frames_count=None,
    )
    return replace(photo, **changes)


def person(
    number: int,
    p_fake: float,
    level: Level,
    times_s: Sequence[float],
    suspicious: tuple[TimeRange, ...] = (),
    reasons: tuple[Reason, ...] = (),
    crop: Image | None = None,
    pictures: bool = True,
) -> PersonScore:
    """One person seen at these times, scores swinging round `p_fake`, higher inside what is suspicious."""
    faces = []
    picture = crop if crop is not None else face_picture(120 + 15 * (number % 8))
    for index, time_s in enumerate(times_s):
        inside = any(each.start_s <= time_s <= each.end_s for each in suspicious)
        swing = 0.09 * math.sin(1.7 * index + number) + (0.5 * (1 - p_fake) if inside else -0.12 if suspicious else 0)
        p = min(0.995, max(0.004, p_fake + swing))
        faces.append(
            FaceScore(
                time_s=time_s,
                box=(100.0 * number % 1100, 120.5 + index % 5, 180.25, 220.75),
                logit=math.log(p / (1 - p)),
                p_fake=p,
                heat_map=heat(p, 0.35 + 0.05 * (index % 6), 0.68) if pictures else None,
                crop=picture if pictures else None,
            )
        )
    return PersonScore(number, math.log(p_fake / (1 - p_fake)), p_fake, level, reasons, tuple(faces), suspicious)


def bursts(first_s: float, last_s: float, count: int = 8, faces: int = 4, fps: float = 30) -> list[float]:
    """Times of `count` bursts of `faces` neighbouring frames."""
    step = (last_s - first_s) / max(1, count - 1)
    return [round(first_s + step * burst + frame / fps, 3) for burst in range(count) for frame in range(faces)]


def analysis(
    verdict: Verdict, findings: tuple[Finding, ...], file: MediaInfo | None = None, **changes: Any
) -> Analysis:
    whole = Analysis(
        file=file or info(),
        verdict=verdict,
        findings=findings,
        models=({"name": "clip_face", "version": "1.0", "sha256": "ab" * 32},),
        started=STARTED,
        timings={"probe_s": 0.08, "find_s": 1.913, "score_s": 3.4, "total_s": 5.77},
        settings={"finder": "yunet", "bursts": 8, "frames_per_burst": 4, "stability": False, "threads": None},
        versions={"fakelab": "0.1.0", "numpy": "2.4.6", "onnxruntime": "1.32.0", "av": "18.1.0"},
    )
    return replace(whole, **changes)


def finding(level: Level, p_fake: float | None, people: tuple[PersonScore, ...], **changes: Any) -> Finding:
    whole = Finding(
        detector="face_video",
        looks_for="Faces that were swapped, re-enacted or generated, person by person.",
        level=level,
        p_fake=p_fake,
        reasons=(),
        model="clip_face",
        finder="yunet",
        people=people,
        decided_by=max(people, key=lambda each: each.p_fake).person if people else None,
        suspicious=tuple(stretch for each in people for stretch in each.suspicious),
        frames_sampled=32,
        faces_found=sum(len(each.faces) for each in people),
        error_rate=ERROR_RATE,
        measured={
            "people_judged": 2.0,
            "largest_face_px": 212.0,
            "median_face_px": 148.0,
            "median_blur": 86.2,
            "median_luma": 118.4,
            "bits_per_pixel": 0.0869,
            **LINES,
        },
    )
    return replace(whole, **changes)


def two_people(crops: Sequence[Image | None] = (None, None), **changes: Any) -> Analysis:
    """A video in which person 2 is suspicious in two stretches."""
    stretches = (TimeRange(12.0, 19.5), TimeRange(30.2, 34.0))
    reasons = (
        Reason(
            "score_above_strong", "The score of person 2 is above the line that 1 % of genuine clips cross.", 0.93, 0.88
        ),
        Reason("parts_agree", "27 of 32 faces of person 2 point the same way, in all eight parts of the clip."),
        Reason("media_in_scope", "Size, sharpness, light and compression are within what the model was tested on."),
    )
    people = (
        person(1, 0.12, Level.NONE_FOUND, bursts(0.4, 24.0, 5), crop=crops[0]),
        person(2, 0.93, Level.STRONG, bursts(6.2, 41.8, 8), stretches, crop=crops[1]),
    )
    verdict = Verdict(
        Level.STRONG,
        0.93,
        "Strong evidence that the face of person 2 was manipulated, most of all from 0:12 to 0:19.",
        STRONG_NOT_SAID,
        reasons,
    )
    return analysis(verdict, (finding(Level.STRONG, 0.93, people, reasons=reasons[:1]),), **changes)


def crowd(number: int = 30) -> Analysis:
    """A video with so many people that the verdict is held back."""
    reason = Reason(
        "too_many_people", "30 people were seen; with more than 12, one of them scores high by chance.", number, 12
    )
    people = tuple(
        person(
            each, 0.72 - 0.02 * each, Level.INCONCLUSIVE if each < 5 else Level.NONE_FOUND, bursts(each, each + 12.0, 3)
        )
        for each in range(1, number + 1)
    )
    verdict = Verdict(Level.INCONCLUSIVE, 0.7, "Inconclusive: too many people to single one out.", NOT_SAID, (reason,))
    return analysis(verdict, (finding(Level.INCONCLUSIVE, 0.7, people, reasons=(reason,)),))


def photo(crops: Sequence[Image | None] = (None, None)) -> Analysis:
    """A photo with two faces and nothing found."""
    people = (
        person(1, 0.21, Level.NONE_FOUND, [0.0], crop=crops[0]),
        person(7, 0.34, Level.NONE_FOUND, [0.0], crop=crops[1]),
    )
    found = finding(
        Level.NONE_FOUND,
        0.34,
        people,
        detector="face_photo",
        frames_sampled=1,
        measured={"median_face_px": 412.0, "median_blur": 91.5, "median_luma": 104.0, **LINES},
    )
    verdict = Verdict(
        Level.NONE_FOUND, 0.34, "No evidence that a face in this photo was manipulated was found.", NOT_SAID
    )
    return analysis(verdict, (found,), photo_info())


def generated() -> Analysis:
    """A photo without evidence in its faces, and with some in the picture as a whole."""
    faces = photo().findings[0]
    why = (Reason("above_moderate", "The score is above the line for moderate evidence, below that for strong."),)
    whole = finding(
        Level.MODERATE,
        0.81,
        (),
        detector="generated_photo",
        looks_for="Photos that a generator made as a whole, face or no face.",
        model="generated_photo",
        finder=None,
        reasons=why,
        frames_sampled=1,
        faces_found=0,
        measured={"logit": 1.4, "views": 5.0, "logit_whole": 1.1, "logit_parts": 1.7, "threshold_moderate": 0.74},
    )
    sentence = "Moderate evidence of manipulation. The picture as a whole: suspect; the faces: no evidence found."
    verdict = Verdict(Level.MODERATE, 0.81, sentence, "This is a hint, not a finding.", why)
    return analysis(verdict, (faces, whole), photo_info())


def no_face() -> Analysis:
    """A video in which no face was found."""
    reason = Reason("no_face", "No face was found in 32 frames. A clip in which a face is larger and lit would help.")
    found = finding(
        Level.NOT_ANALYSABLE, None, (), reasons=(reason,), faces_found=0, frames_failed=3, measured={}, error_rate=""
    )
    verdict = Verdict(
        Level.NOT_ANALYSABLE,
        None,
        "Not analysable",
        "This says nothing about whether the file was manipulated.",
        (reason,),
    )
    return analysis(verdict, (found,), warnings=("3 of 35 frames could not be decoded.",))


def named(name: str, text: str = "") -> Analysis:
    """The two-person video under another name, which is also quoted in every other text."""
    whole = two_people()
    spoken = replace(
        whole.verdict,
        sentence=f"Strong evidence in {name}.",
        reasons=(Reason("odd", f"Odd: {name}"),),
        not_said=f"It does not show {name}",
    )
    return replace(
        whole,
        file=info(name=name, path=f"/in/{name}", container=text or "mp4"),
        verdict=spoken,
        warnings=(f"Warned of {name}",),
        settings={"path": name, name: 1},
        versions={"fakelab": name},
        models=({"name": name, "version": name, "sha256": name},),
    )


EVERY = {"two_people": two_people, "crowd": crowd, "photo": photo, "generated": generated, "no_face": no_face}
