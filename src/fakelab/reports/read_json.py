"""A document of the schema ``fakelab.analysis/1`` -> the Analysis that it was written from, for a report of an old run.

What the document leaves out (crops and heat maps) comes back where the caller still has it.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakelab.records import (
    Analysis,
    Check,
    FaceScore,
    Finding,
    Kind,
    Level,
    MediaInfo,
    PersonScore,
    Reason,
    TimeRange,
    Verdict,
    WindowScore,
)
from fakelab.reports.json_report import FILE_FIELDS

Doc = Mapping[str, Any]
Picture = Callable[[str], NDArray[np.uint8] | None]
"""picture(name) -> the pixels of a kept file (see `face_name`), or None where there is none."""


def face_name(detector: str, person: int, number: int, part: str) -> str:
    """The name of a face's kept picture; `part` is `crop` or `map`."""
    return f"{detector}-person{person}-face{number}-{part}.png"


def map_name(check: str, name: str) -> str:
    """The name of a check's kept map."""
    return f"evidence-{check}-{name}.png"


def read_document(doc: Doc, picture: Picture = lambda name: None) -> Analysis:
    """The Analysis of a document, times with their zone, numbers to six digits.

    Raises KeyError, TypeError or ValueError for a document that does not keep to the schema, and ValueError for that
    of a file that could not be read: it has no analysis.
    """
    if "error" in doc:
        raise ValueError(doc["error"]["what"])
    verdict = doc["verdict"]
    return Analysis(
        file=_file(doc["file"]),
        verdict=Verdict(
            Level(verdict["level"]),
            verdict["p_fake"],
            verdict["sentence"],
            verdict["not_said"],
            tuple(map(_reason, verdict["reasons"])),
        ),
        findings=tuple(_finding(each, picture) for each in doc["findings"]),
        models=tuple(dict(each) for each in doc["models"]),
        started=datetime.fromisoformat(doc["started"]),
        timings=dict(doc["timings"]),
        settings=dict(doc["settings"]),
        versions=dict(doc["versions"]),
        warnings=tuple(doc["warnings"]),
        seed=doc.get("seed"),
        evidence=tuple(_check(each, picture) for each in doc.get("evidence", ())),
    )


def _check(check: Doc, picture: Picture) -> Check:
    kept = [(name, picture(map_name(check["name"], name))) for name in check["maps"]]
    return Check(
        name=check["name"],
        state=check["state"],
        sentence=check["sentence"],
        facts=tuple((each["label"], each["value"]) for each in check["facts"]),
        contradictions=tuple(check["contradictions"]),
        maps=tuple((name, _heat(pixels)) for name, pixels in kept if pixels is not None),
        how_to_read=check["how_to_read"],
        when_it_misleads=check["when_it_misleads"],
    )


def _heat(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return pixels.astype(np.float32) / np.float32(255)


def _file(file: Doc) -> MediaInfo:
    path = file["path"]
    if "path_base64" in file:
        path = os.fsdecode(base64.b64decode(file["path_base64"]))
    values = {name: file[name] for name in ("name", *FILE_FIELDS)} | {"kind": Kind(file["kind"])}
    return MediaInfo(path=path, pixel_format=file.get("pixel_format"), phash=tuple(file.get("phash", ())), **values)


def _finding(finding: Doc, picture: Picture) -> Finding:
    return Finding(
        detector=finding["detector"],
        looks_for=finding["looks_for"],
        level=Level(finding["level"]),
        p_fake=finding["p_fake"],
        reasons=tuple(map(_reason, finding["reasons"])),
        model=finding["model"],
        finder=finding["finder"],
        people=tuple(_person(each, finding["detector"], picture) for each in finding["people"]),
        decided_by=finding["decided_by"],
        suspicious=tuple(map(_range, finding["suspicious"])),
        frames_sampled=finding["frames_sampled"],
        frames_failed=finding["frames_failed"],
        faces_found=finding["faces_found"],
        error_rate=finding["error_rate"] or "",
        measured={name: _finite(value) for name, value in finding["measured"].items()},
        windows=tuple(map(_window, finding.get("windows", ()))),
    )


def _window(window: Doc) -> WindowScore:
    return WindowScore(
        start_s=window["start_s"],
        end_s=window["end_s"],
        level=Level(window["level"]),
        logit=window["logit"],
        p_fake=window["p_fake"],
        reasons=tuple(map(_reason, window["reasons"])),
    )


def _person(person: Doc, detector: str, picture: Picture) -> PersonScore:
    number = person["person"]
    return PersonScore(
        person=number,
        logit=_finite(person["logit"]),
        p_fake=_finite(person["p_fake"]),
        level=Level(person["level"]),
        reasons=tuple(map(_reason, person["reasons"])),
        faces=tuple(
            _face(each, lambda part, at=at: picture(face_name(detector, number, at, part)))  # type: ignore[misc]
            for at, each in enumerate(person["faces"])
        ),
        suspicious=tuple(map(_range, person["suspicious"])),
    )


def _face(face: Doc, picture: Picture) -> FaceScore:
    box = face["box"] or [float("nan")] * 4
    heat_map = picture("map")
    return FaceScore(
        time_s=_finite(face["time_s"]),
        box=(box[0], box[1], box[2], box[3]),
        logit=_finite(face["logit"]),
        p_fake=_finite(face["p_fake"]),
        heat_map=None if heat_map is None else _heat(heat_map),
        crop=picture("crop"),
    )


def _reason(reason: Doc) -> Reason:
    return Reason(reason["code"], reason["text"], reason["measured"], reason["limit"])


def _range(stretch: Doc) -> TimeRange:
    return TimeRange(stretch["start_s"], stretch["end_s"])


def _finite(value: float | None) -> float:
    return float("nan") if value is None else float(value)
