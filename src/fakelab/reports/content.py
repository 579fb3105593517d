"""What the reports for people show of an analysis, and how much of it: shared by the HTML page and the PDF."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fakelab.records import Analysis, FaceScore, Finding, Kind, MediaInfo, PersonScore, Reason, TimeRange
from fakelab.reports import words

REASONS_SHOWN = 3
PEOPLE_SHOWN = 6
"""People shown open. One or two more are shown too: a fold for so few costs more than it saves."""
PEOPLE_SPARED = 2
FACES_SHOWN = (6, 6, 3)
"""Faces shown of the first, the second and every further person: rows of three, the most where it matters most."""
APART_S = 0.5
"""Faces closer in time than this look alike, so that the next moment is shown first."""
_CODECS = {"h264": "H.264", "hevc": "H.265 (HEVC)", "av1": "AV1", "vp8": "VP8", "vp9": "VP9", "mpeg4": "MPEG-4"}
_CONTAINERS = {
    "mp4": "MP4", "matroska": "Matroska or WebM", "avi": "AVI", "mpegts": "MPEG-TS", "mpeg": "MPEG", "flv": "FLV",
    "gif": "GIF", "jpeg": "JPEG", "png": "PNG", "webp": "WebP", "heif": "HEIF (HEIC, AVIF)", "tiff": "TIFF",
}  # fmt: skip


def people_shown(count: int) -> int:
    """How many of so many people stand open."""
    return count if count <= PEOPLE_SHOWN + PEOPLE_SPARED else PEOPLE_SHOWN


def faces_shown(place: int) -> int:
    """How many faces are shown of the person at this place in the order of suspicion, from 0."""
    return FACES_SHOWN[min(place, len(FACES_SHOWN) - 1)]


def facts(file: MediaInfo) -> list[tuple[str, str]]:
    """The file's identity as (label, value), without what is unknown."""
    size = f"{file.width_px} × {file.height_px} pixels" if file.width_px and file.height_px else ""
    rate = f"{round(file.fps, 2):g} frames per second" if file.fps and math.isfinite(file.fps) else ""
    if rate and file.variable_frame_rate:
        rate += " on average (varies)"
    codec = _codec(file.video_codec or file.audio_codec or "")
    if file.kind is Kind.VIDEO and file.video_codec:
        codec += f", sound {_codec(file.audio_codec)}" if file.audio_codec else ", no sound"
    rotated = f" (stored turned by {file.rotation_deg}°)" if file.rotation_deg else ""
    rows = [
        ("Kind", f"{file.kind.value.capitalize()}, {_CONTAINERS.get(file.container, file.container)}"),
        ("File size", words.byte_size(file.size_bytes)),
        ("Length", words.length(file.duration_s) if file.duration_s else ""),
        ("Picture", size + rotated if size else ""),
        ("Frame rate", rate),
        ("Codec", codec),
    ]
    return [(label, value) for label, value in rows if value]


def _codec(name: str) -> str:
    return _CODECS.get(name, name.upper() if len(name) <= 4 else name)


def duration(finding: Finding, file: MediaInfo) -> float:
    """Seconds that the time line spans; 0 where there is no time line."""
    if file.kind is Kind.PHOTO:
        return 0.0
    last_s = max((face.time_s for person in finding.people for face in person.faces), default=0.0)
    last_s = max((last_s, *(each.end_s for each in finding.windows)))
    return max(0.0, *(each for each in (file.duration_s or 0.0, last_s) if math.isfinite(each)))


def voice_lane(finding: Finding) -> PersonScore | None:
    """The stretches of speech as a time line draws a person's faces; None for a finding without any."""
    spoken = [each for each in finding.windows if each.p_fake is not None]
    if not spoken:
        return None
    marks = tuple(
        FaceScore((each.start_s + each.end_s) / 2, (0.0, 0.0, 0.0, 0.0), each.logit or 0.0, each.p_fake or 0.0)
        for each in spoken
    )
    mean = sum(each.logit for each in marks) / len(marks)
    return PersonScore(1, mean, finding.p_fake or 0.0, finding.level, finding.reasons, marks, finding.suspicious)


def unjudged(finding: Finding) -> list[tuple[TimeRange, str]]:
    """The stretches of sound that no judged window covers, in time order, each with the sentence that says why."""
    judged = [(each.start_s, each.end_s) for each in finding.windows if each.p_fake is not None]
    found: list[tuple[TimeRange, str]] = []
    for each in finding.windows:
        if each.p_fake is not None:
            continue
        start_s = max([each.start_s, *(end for start, end in judged if start <= each.start_s < end)])
        end_s = min([each.end_s, *(start for start, end in judged if start < each.end_s <= end)])
        if end_s <= start_s:
            continue
        why = each.reasons[0].text if each.reasons else ""
        if found and start_s <= found[-1][0].end_s and why == found[-1][1]:
            found[-1] = (TimeRange(found[-1][0].start_s, max(end_s, found[-1][0].end_s)), why)
        else:
            # Windows overlap: what two of them share belongs to the first.
            start_s = max(start_s, found[-1][0].end_s) if found else start_s
            if end_s > start_s:
                found.append((TimeRange(start_s, end_s), why))
    return found


def most_suspicious(faces: Sequence[FaceScore], at_most: int) -> list[FaceScore]:
    """Faces with a crop from the highest score down, moments apart from each other before neighbours of one moment."""
    ordered = sorted((face for face in faces if face.crop is not None), key=lambda face: (-face.p_fake, face.time_s))
    apart: list[FaceScore] = []
    neighbours: list[FaceScore] = []
    for face in ordered:
        near = any(abs(face.time_s - other.time_s) < APART_S for other in apart)
        (neighbours if near else apart).append(face)
    return (apart + neighbours)[:at_most]


def compared(reason: Reason) -> str:
    """The comparison behind a reason, unless its sentence holds both numbers already."""
    if reason.measured is None or reason.limit is None:
        return ""
    measured, limit = words.figure(reason.measured), words.figure(reason.limit)
    return "" if measured in reason.text and limit in reason.text else f"measured {measured}, limit {limit}"


def settings_rows(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every setting with its value; text as it is, anything else as JSON writes it."""
    from fakelab.reports.json_report import plain

    def shown(value: Any) -> str:
        if value is None:
            return "not set"
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    return [(name, shown(plain(value))) for name, value in settings.items()]


def seed_rows(analysis: Analysis) -> list[tuple[str, str]]:
    """The seed beside the settings, where the record has one."""
    return [] if analysis.seed is None else [("seed", str(analysis.seed))]


def timings_rows(analysis: Analysis) -> list[tuple[str, str]]:
    """The stages of the analysis with the seconds that each took."""
    return [(stage.replace("_", " ").removesuffix(" s"), f"{s:.2f} s") for stage, s in analysis.timings.items()]
