"""The report for machines: one JSON document in the published schema ``fakelab.analysis/1``.

A field that is null has its reason beside it: every object that can hold a null has ``reason``, which maps the name
of each such field to one sentence. Numbers are finite; anything else becomes null with its reason.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from numbers import Integral, Real
from pathlib import Path
from typing import Any

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
    WindowScore,
)

SCHEMA_ID = "fakelab.analysis/1"
SCHEMA_PATH = Path(__file__).parent / "schema" / "fakelab.analysis-1.json"
_DIGITS = 6
"""Decimals kept: a millionth of a second, of a probability, of a pixel."""
_NOT_FINITE = "not a finite number"
_UNREADABLE = "the file could not be read"
# JSON escapes C0 itself. The rest can end a line for a careless reader, or turn a terminal's text around.
_TROUBLE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

Document = dict[str, Any]


def write_json(analysis: Analysis) -> str:
    """The document over several lines, ending in a newline."""
    return dumps(document(analysis))


def write_jsonl(analysis: Analysis) -> str:
    """The document on one line, ending in a newline."""
    return dumps_line(document(analysis))


def dumps(doc: Document) -> str:
    """A document of `document` or `error_document` over several lines, ending in a newline."""
    return _dumps(doc, indent=2)


def dumps_line(doc: Document) -> str:
    """A document of `document` or `error_document` on one line, ending in a newline."""
    return _dumps(doc, indent=None)


def schema() -> Document:
    """The published JSON Schema (draft 2020-12) that every document keeps to."""
    loaded: Document = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    return loaded


def document(analysis: Analysis) -> Document:
    """The whole analysis as plain dicts, lists, strings and finite numbers. Heat maps and crops are left out.

    Raises ValueError where the `p_fake` of the file, a finding or a person is outside 0..1 or its being None does not
    fit the level, or where a range is not finite: such an analysis is a fault of ours, and no document may hide it.
    """
    verdict = analysis.verdict
    doc: Document = {
        "schema": SCHEMA_ID,
        "file": _file(analysis.file),
        "verdict": {
            "level": verdict.level.value,
            "p_fake": _p_fake("the verdict", verdict.level, verdict.p_fake),
            "reason": _no_p_fake(verdict.level, verdict.reasons),
            "sentence": verdict.sentence,
            "not_said": verdict.not_said,
            "reasons": [_reason(each) for each in verdict.reasons],
        },
        "findings": [_finding(each) for each in analysis.findings],
        "evidence": [_check(each) for each in analysis.evidence],
        "models": [dict(each) for each in analysis.models],
        "timings": {stage: _number(each) for stage, each in analysis.timings.items() if math.isfinite(each)},
        "started": rfc3339(analysis.started),
        "settings": plain(analysis.settings),
        **({} if analysis.seed is None else {"seed": analysis.seed}),
        "versions": dict(analysis.versions),
        "warnings": list(analysis.warnings),
    }
    cleaned: Document = _valid_unicode(doc)
    return cleaned


def error_document(
    path: str, name: str, code: str, what: str, why: str = "", do: str = "", started: datetime | None = None
) -> Document:
    """The document for a file that could not be analysed, in the same schema, with ``error`` beside the verdict.

    `code` is a stable word (``unreadable``, ``unsupported``, ...), `what`, `why` and `do` the parts of the error.
    `started` is when the attempt began (UTC), now if not given.
    """
    failed = f"{what}: {why}" if why else what
    text = " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in (failed, do) if part)
    unknown: Document = dict.fromkeys(FILE_FIELDS)
    doc: Document = {
        "schema": SCHEMA_ID,
        "file": {
            "path": path,
            "name": name,
            **unknown,
            "reason": dict.fromkeys(unknown, _UNREADABLE),
            **_path_bytes(path),
        },
        "verdict": {
            "level": Level.NOT_ANALYSABLE.value,
            "p_fake": None,
            "reason": {"p_fake": text},
            "sentence": "The file could not be analysed.",
            "not_said": "This says nothing about whether the file was manipulated.",
            "reasons": [{"code": code, "text": text, "measured": None, "limit": None}],
        },
        "findings": [],
        "models": [],
        "timings": {},
        "started": rfc3339(started or datetime.now(UTC)),
        "settings": {},
        "versions": {},
        "warnings": [],
        "error": {"code": code, "what": what, "why": why, "do": do},
    }
    cleaned: Document = _valid_unicode(doc)
    return cleaned


FILE_FIELDS = (
    "sha256",
    "kind",
    "container",
    "size_bytes",
    "width_px",
    "height_px",
    "duration_s",
    "fps",
    "variable_frame_rate",
    "rotation_deg",
    "video_codec",
    "audio_codec",
    "video_bitrate_bps",
    "frames_count",
)
_VIDEO_ONLY = {"duration_s", "fps", "video_codec", "video_bitrate_bps", "frames_count", "audio_codec"}


def _file(info: MediaInfo) -> Document:
    values = {name: plain(getattr(info, name)) for name in FILE_FIELDS}
    nulls = [name for name, value in values.items() if value is None]
    why = {name: _why_unknown(info.kind, name) for name in nulls}
    seen: Document = {"pixel_format": info.pixel_format} if info.pixel_format else {}
    seen |= {"phash": list(info.phash)} if info.phash else {}
    return {"path": info.path, "name": info.name, **values, **seen, "reason": why, **_path_bytes(info.path)}


def _why_unknown(kind: Kind, name: str) -> str:
    if kind is Kind.PHOTO and name in _VIDEO_ONLY:
        return "a photo has none"
    if kind is Kind.AUDIO and name not in {"duration_s", "audio_codec"}:
        return "a recording has none"
    return "the file has none" if name == "audio_codec" else "the file does not say"


def _path_bytes(path: str) -> Document:
    """The exact bytes of a path that is no valid Unicode, so that a machine can still find the file."""
    if _is_unicode(path):
        return {}
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = path.encode("utf-8", "surrogatepass")
    return {"path_base64": base64.b64encode(raw).decode("ascii")}


def _finding(finding: Finding) -> Document:
    why = _no_p_fake(finding.level, finding.reasons)
    optional = {
        "model": (finding.model, "no model was asked"),
        "finder": (finding.finder, "no face finder was asked"),
        "decided_by": (finding.decided_by, "no single person decided"),
        "error_rate": (finding.error_rate or None, "the model's card states none"),
    }
    measured = {name: _number(value) for name, value in finding.measured.items()}
    why |= {name: text for name, (value, text) in optional.items() if value is None}
    why |= {f"measured.{name}": _NOT_FINITE for name, value in measured.items() if value is None}
    return {
        "detector": finding.detector,
        "looks_for": finding.looks_for,
        "level": finding.level.value,
        "p_fake": _p_fake(f"the finding of {finding.detector}", finding.level, finding.p_fake),
        "reason": why,
        "reasons": [_reason(each) for each in finding.reasons],
        **{name: value for name, (value, _) in optional.items()},
        "suspicious": [_range(each) for each in finding.suspicious],
        "frames_sampled": finding.frames_sampled,
        "frames_failed": finding.frames_failed,
        "faces_found": finding.faces_found,
        "measured": measured,
        "people": [_person(each) for each in finding.people],
        **({"windows": [_window(each) for each in finding.windows]} if finding.windows else {}),
    }


def _window(window: WindowScore) -> Document:
    logit = None if window.logit is None else _number(window.logit)
    why = _no_p_fake(window.level, window.reasons)
    why |= {} if logit is not None else {"logit": why.get("p_fake", _NOT_FINITE)}
    return {
        **_range(TimeRange(window.start_s, window.end_s)),
        "level": window.level.value,
        "p_fake": _p_fake(f"the window at {window.start_s} s", window.level, window.p_fake),
        "logit": logit,
        "reason": why,
        "reasons": [_reason(each) for each in window.reasons],
    }


def _person(person: PersonScore) -> Document:
    judged = person.level is not Level.NOT_ANALYSABLE
    logit = _number(person.logit)
    why = _no_p_fake(person.level, person.reasons) | ({} if logit is not None else {"logit": _NOT_FINITE})
    p_fake = _p_fake(f"person {person.person}", person.level, person.p_fake if judged else None)
    return {
        "person": person.person,
        "level": person.level.value,
        "p_fake": p_fake,
        "logit": logit,
        "reason": why,
        "reasons": [_reason(each) for each in person.reasons],
        "suspicious": [_range(each) for each in person.suspicious],
        "faces": [_face(each) for each in person.faces],
    }


def _face(face: FaceScore) -> Document:
    box = [_number(side) for side in face.box]
    values: Document = {
        "time_s": _number(face.time_s),
        "box": None if None in box else box,
        "logit": _number(face.logit),
        "p_fake": _number(face.p_fake),
    }
    return {**values, "reason": {name: _NOT_FINITE for name, value in values.items() if value is None}}


def _check(check: Check) -> Document:
    return {
        "name": check.name,
        "state": check.state,
        "sentence": check.sentence,
        "facts": [{"label": label, "value": value} for label, value in check.facts],
        "contradictions": list(check.contradictions),
        "maps": [name for name, _ in check.maps],
        "how_to_read": check.how_to_read,
        "when_it_misleads": check.when_it_misleads,
    }


def _reason(reason: Reason) -> Document:
    measured, limit = (None if each is None else _number(each) for each in (reason.measured, reason.limit))
    return {"code": reason.code, "text": reason.text, "measured": measured, "limit": limit}


def _range(stretch: TimeRange) -> Document:
    if not (math.isfinite(stretch.start_s) and math.isfinite(stretch.end_s)):
        raise ValueError(f"a suspicious range from {stretch.start_s} to {stretch.end_s} s is no stretch of a file")
    return {"start_s": _number(stretch.start_s), "end_s": _number(stretch.end_s)}


def _p_fake(whose: str, level: Level, p_fake: float | None) -> float | None:
    if (p_fake is None) != (level is Level.NOT_ANALYSABLE):
        raise ValueError(f"p_fake of {whose} is {p_fake}, which does not fit the level {level.value}")
    if p_fake is not None and not 0 <= p_fake <= 1:
        raise ValueError(f"p_fake of {whose} is {p_fake}, not a probability from 0 to 1")
    return None if p_fake is None else _number(p_fake)


def _no_p_fake(level: Level, reasons: tuple[Reason, ...]) -> dict[str, str]:
    if level is not Level.NOT_ANALYSABLE:
        return {}
    return {"p_fake": " ".join(each.text for each in reasons) or "not analysable"}


def _number(value: float) -> float | None:
    return round(float(value), _DIGITS) if math.isfinite(value) else None


def rfc3339(moment: datetime) -> str:
    """A moment as RFC 3339 in UTC with milliseconds; one without a zone is taken as UTC."""
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """The value as JSON can hold it; what JSON has no word for becomes its text."""
    match value:
        case Enum():
            return plain(value.value)
        case None | bool() | str():
            return value
        # The abstract kinds, since numpy's numbers are registered there.
        case Integral():
            return int(value)
        case Real():
            return _number(float(value))
        case datetime():
            return rfc3339(value)
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case set() | frozenset():
            return sorted((plain(each) for each in value), key=str)
        case list() | tuple():
            return [plain(each) for each in value]
        case _:
            return str(value)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _valid_unicode(value: Any) -> Any:
    """The same structure with every lone surrogate replaced by U+FFFD, so that it can be written as UTF-8."""
    match value:
        case str():
            return value if _is_unicode(value) else re.sub("[\ud800-\udfff]", "\ufffd", value)
        case dict():
            return {_valid_unicode(key): _valid_unicode(each) for key, each in value.items()}
        case list():
            return [_valid_unicode(each) for each in value]
        case _:
            return value


def _dumps(doc: Document, indent: int | None) -> str:
    separators = (",", ":") if indent is None else None
    text = json.dumps(doc, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)
    # Outside strings JSON is pure ASCII, so that a plain replacement is safe.
    return _TROUBLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text) + "\n"
