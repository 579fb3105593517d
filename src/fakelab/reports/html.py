"""The report for people: one self-contained, printable HTML page without script, font or request to anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakelab.records import LEVEL_WORDS, Analysis, Check, FaceScore, Finding, Kind, Level, PersonScore, TimeRange
from fakelab.reports import charts, content, words

if TYPE_CHECKING:
    import numpy as np
    from jinja2 import Template
    from numpy.typing import NDArray

TEMPLATES = Path(__file__).parent / "templates"
ROWS_SHOWN = 120
"""Rows of the table behind the lanes; the JSON report has them all."""
MapAddress = Callable[[Check, str, "NDArray[np.float32]"], str]
"""address(check, name of its map, the map) -> where the map's picture lies."""
Pictures = Callable[[Finding, PersonScore, FaceScore], tuple[str, str | None]]
"""pictures(finding, person, face) -> the addresses of its crop and of its heat map."""


@dataclass(frozen=True, slots=True)
class FaceView:
    """One face as shown: the addresses of its crop and its heat map, in a report data URIs."""

    when: str
    time_s: float
    score: str
    crop: str
    heat_map: str | None


@dataclass(frozen=True, slots=True)
class PersonView:
    """One person as shown. `lane` is an SVG, empty for a photo."""

    number: int
    name: str
    level: str
    score: str
    decides: bool
    seen: str
    suspicious: str
    reasons: tuple[str, ...]
    lane: str
    thumbnail: str | None
    faces: tuple[FaceView, ...]


@dataclass(frozen=True, slots=True)
class FindingView:
    """One detector's finding as shown; `people` open, `folded` behind a fold."""

    key: str
    title: str
    finding: Finding
    level: str
    score: str
    model: str
    looked_at: str
    people: tuple[PersonView, ...]
    folded: tuple[PersonView, ...]
    folded_note: str
    axis: str
    spread: bool
    """Whether a lane holds a band from the lowest to the highest face of a moment."""
    face_map: str
    rows: tuple[tuple[str, str, str], ...]
    rows_left: int
    lines: tuple[tuple[str, str], ...]
    measured: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class CheckView:
    """One check without a network as shown; `maps` as (title, address of a picture)."""

    key: str
    title: str
    state: str
    sentence: str
    facts: tuple[tuple[str, str], ...]
    contradictions: tuple[str, ...]
    maps: tuple[tuple[str, str], ...]
    how_to_read: str
    when_it_misleads: str


def write_html(analysis: Analysis, record: Mapping[str, str] | None = None) -> str:
    """The page as text, to be written as UTF-8. All text is escaped, no script runs, nothing is fetched.

    `record` is what the history adds, by its label: the run's identifier, the head of the log, the key.
    """
    level, sentence = words.headline(analysis.verdict)
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8") + _sheet_foot(analysis.file.sha256)
    views = finding_views(analysis)
    with_reasons = words.all_reasons(analysis)
    page = _template().render(
        css=_markup(css),
        css_hash=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        analysis=analysis,
        file=analysis.file,
        started=analysis.started.astimezone(UTC) if analysis.started.tzinfo else analysis.started,
        level=level,
        sentence=sentence,
        score=words.percent(analysis.verdict.p_fake) if analysis.verdict.p_fake is not None else "",
        mark=_markup(charts.level_mark(analysis.verdict.level)),
        reasons=[reason.text for reason in analysis.verdict.reasons[: content.REASONS_SHOWN]],
        reasons_left=max(0, len(analysis.verdict.reasons) - content.REASONS_SHOWN),
        not_said=words.not_said(analysis.verdict),
        facts=content.facts(analysis.file),
        findings=views,
        checks=check_views(analysis, embedded_map),
        checks_title=words.CHECKS_TITLE,
        all_reasons=[(where, reason.text, content.compared(reason)) for where, reason in with_reasons],
        key=key_marks(),
        meanings=meanings(),
        record=list((record or {}).items()),
        settings=content.settings_rows(analysis.settings) + content.seed_rows(analysis),
        timings=content.timings_rows(analysis),
    )
    return page.rstrip() + "\n"


def key_marks() -> dict[str, Any]:
    """The drawings of the key to the lanes."""
    return {
        "ring": _markup(charts.key_mark(Level.NONE_FOUND)),
        "diamond": _markup(charts.key_mark(Level.MODERATE)),
        "triangle": _markup(charts.key_mark(Level.STRONG)),
        "hatch": _markup(charts.key_hatch("key")),
        "unjudged": _markup(charts.key_unjudged("key")),
        "presence": _markup(charts.key_presence()),
        "spread": _markup(charts.key_spread()),
    }


def meanings() -> list[tuple[Any, str, str]]:
    """Every level with its mark, its words and what it means."""
    return [(_markup(charts.level_mark(each)), LEVEL_WORDS[each], words.LEVEL_MEANINGS[each]) for each in LEVEL_WORDS]


def finding_views(analysis: Analysis, pictures: Pictures | None = None, prefix: str = "f") -> tuple[FindingView, ...]:
    """Every finding as a page shows it. `pictures` says where the faces' pictures lie; else they go into the page.

    `prefix` keeps the identifiers of several analyses on one page apart.
    """
    return tuple(
        _finding_view(finding, analysis, f"{prefix}{number}", pictures or _embedded)
        for number, finding in enumerate(analysis.findings, start=1)
    )


def check_views(analysis: Analysis, address: MapAddress, prefix: str = "check") -> tuple[CheckView, ...]:
    """Every check as a page shows it; `address` says where a map's picture lies."""
    return tuple(
        CheckView(
            f"{prefix}-{check.name}",
            *words.check_words(check),
            check.sentence,
            check.facts,
            check.contradictions,
            tuple((name.replace("_", " ").capitalize(), address(check, name, heat)) for name, heat in check.maps),
            check.how_to_read,
            check.when_it_misleads,
        )
        for check in analysis.evidence
    )


def embedded_map(check: Check, name: str, heat: NDArray[np.float32]) -> str:
    """A map as a data URI."""
    from fakelab.reports.pictures import grey, png

    return "data:image/png;base64," + base64.b64encode(png(grey(heat))).decode("ascii")


def _embedded(finding: Finding, person: PersonScore, face: FaceScore) -> tuple[str, str | None]:
    from fakelab.reports.pictures import crop_uri, overlay_uri

    assert face.crop is not None
    return crop_uri(face.crop), None if face.heat_map is None else overlay_uri(face.crop, face.heat_map)


def _sheet_foot(sha256: str) -> str:
    """The rule by which every printed sheet says which file it is about."""
    if not sha256.isalnum():
        return ""
    return f'@page {{ @bottom-left {{ content: "FakeLab report · SHA-256 {sha256}"; }} }}\n'


@lru_cache(maxsize=1)
def _template() -> Template:
    import jinja2

    def shown(value: Any) -> Any:
        """Every value on its way into the page: trouble becomes visible, and no line breaks before a percent sign."""
        return value if hasattr(value, "__html__") else words.safe(value).replace(" %", "\u00a0%")

    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _markup(trusted: str) -> Any:
    """Text that goes into the page as it is: only drawings of charts.py, which escape what they quote, and our CSS."""
    from markupsafe import Markup

    return Markup(trusted)


def _finding_view(finding: Finding, analysis: Analysis, key: str, pictures: Pictures) -> FindingView:
    ordered = words.by_suspicion(finding)
    open_count = content.people_shown(len(ordered))
    lines = words.thresholds(finding)
    duration_s = content.duration(finding, analysis.file)
    views = tuple(
        _person_view(person, finding, lines, duration_s, f"{key}-{person.person}", content.faces_shown(place), pictures)
        for place, person in enumerate(ordered)
    )
    if (voice := content.voice_lane(finding)) is not None:
        views, open_count = (_voice_view(voice, content.unjudged(finding), lines, duration_s, key),), 1
    rest = ordered[open_count:]
    note = words.others(rest) if rest else ""
    rows = _rows(ordered) if duration_s else []
    version = {model.get("name"): model.get("version", "") for model in analysis.models}.get(finding.model, "")
    file = analysis.file
    mapped = file.kind is Kind.PHOTO and len(ordered) > 1 and file.width_px and file.height_px
    return FindingView(
        key=key,
        title=words.detector_words(finding.detector),
        finding=finding,
        level=LEVEL_WORDS[finding.level],
        score=words.percent(finding.p_fake),
        model=f"{finding.model} {version}".strip() if finding.model else "–",
        looked_at=words.looked_at(finding),
        people=views[:open_count],
        folded=views[open_count:],
        folded_note=note,
        axis=_markup(charts.axis(duration_s)) if duration_s else "",
        spread=any("fl-spread" in each.lane for each in views),
        face_map=_markup(charts.face_map(ordered, file.width_px or 1, file.height_px or 1, key)) if mapped else "",
        rows=tuple(rows[:ROWS_SHOWN]),
        rows_left=max(0, len(rows) - ROWS_SHOWN),
        lines=tuple((LEVEL_WORDS[level], words.percent(line)) for level, line in lines.items()),
        measured=tuple(words.measured_rows(finding)),
    )


def _person_view(
    person: PersonScore,
    finding: Finding,
    lines: Mapping[Level, float],
    duration_s: float,
    key: str,
    faces_max: int,
    pictures: Pictures,
) -> PersonView:
    shown = content.most_suspicious(person.faces, faces_max)
    faces = tuple(_face_view(face, pictures(finding, person, face), duration_s > 0) for face in shown)
    known = {reason.text for reason in finding.reasons}
    return PersonView(
        number=person.person,
        name=f"Person {person.person}",
        level=LEVEL_WORDS[person.level],
        score=words.person_percent(person),
        decides=finding.decided_by == person.person and len(finding.people) > 1,
        seen=words.span(person.faces[0].time_s, person.faces[-1].time_s) if person.faces and duration_s else "",
        suspicious=words.spans(person.suspicious),
        reasons=tuple(reason.text for reason in person.reasons if reason.text not in known),
        lane=_markup(charts.lane(person, duration_s, lines, key)) if duration_s else "",
        thumbnail=faces[0].crop if faces else None,
        faces=faces,
    )


def _voice_view(
    voice: PersonScore,
    unjudged: Sequence[tuple[TimeRange, str]],
    lines: Mapping[Level, float],
    duration_s: float,
    key: str,
) -> PersonView:
    lane = charts.lane(voice, duration_s, lines, f"{key}-voice", "Voice", True, unjudged) if duration_s else ""
    return PersonView(
        number=0,
        name="Voice",
        level=LEVEL_WORDS[voice.level],
        score=words.person_percent(voice),
        decides=False,
        seen=words.span(voice.faces[0].time_s, voice.faces[-1].time_s) if duration_s else "",
        suspicious=words.spans(voice.suspicious),
        reasons=(),
        lane=_markup(lane),
        thumbnail=None,
        faces=(),
    )


def _face_view(face: FaceScore, addresses: tuple[str, str | None], timed: bool) -> FaceView:
    crop, heat_map = addresses
    when = words.clock(face.time_s) if timed else ""
    return FaceView(when, face.time_s, words.percent(face.p_fake), crop, heat_map)


def _rows(people: Sequence[PersonScore]) -> list[tuple[str, str, str]]:
    return [
        (f"Person {person.person}", words.clock(face.time_s), words.percent(face.p_fake))
        for person in people
        for face in person.faces
    ]
