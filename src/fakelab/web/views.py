"""What pages show, made ready for their templates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from fakelab.records import Analysis, Check, FaceScore, Finding, Kind, PersonScore
from fakelab.reports import content, words
from fakelab.reports.html import CheckView, FindingView, check_views, finding_views, key_marks, meanings
from fakelab.reports.read_json import face_name, map_name, read_document
from fakelab.service.runs import Artifact, Run
from fakelab.web.house import House

SEARCH_PAGES = (
    ("Google Lens", "https://lens.google.com/"),
    ("TinEye", "https://tineye.com/"),
    ("Yandex Images", "https://yandex.com/images/"),
    ("Bing Visual Search", "https://www.bing.com/visualsearch"),
)
_THERE: NDArray[np.uint8] = np.zeros((1, 1, 3), dtype=np.uint8)
"""Stands for a picture that is kept: the page fetches it by its address."""
_LIKE = 8


@dataclass(frozen=True, slots=True)
class Still:
    """A key frame: its file, and the moment that it shows."""

    name: str
    time_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that the result page shows of a run."""

    run: Run
    analysis: Analysis
    level: str
    sentence: str
    reasons: tuple[str, ...]
    reasons_left: int
    not_said: str
    facts: list[tuple[str, str]]
    findings: tuple[FindingView, ...]
    checks: tuple[CheckView, ...]
    all_reasons: list[tuple[str, str, str]]
    duration_s: float
    stills: tuple[Still, ...]
    poster: str
    strongest_s: float | None
    settings: list[tuple[str, str]]
    timings: list[tuple[str, str]]
    key: dict[str, Any]
    meanings: list[tuple[Any, str, str]]
    copy_text: Markup

    @property
    def kind(self) -> str:
        return self.analysis.file.kind.value


def result_of(house: House, run: Run, prefix: str = "f") -> Result:
    """The result of a run that could be analysed. `prefix` keeps two results on one page apart."""
    document = house.history.document(run.id)
    artifacts = house.history.artifacts(run.id)
    known = {each.name for each in artifacts}
    analysis = read_document(document, lambda name: _THERE if name in known else None)

    def pictures(finding: Finding, person: PersonScore, face: FaceScore) -> tuple[str, str | None]:
        number = next(at for at, each in enumerate(person.faces) if each is face)
        crop = face_name(finding.detector, person.person, number, "crop")
        over = f"/runs/{run.id}/overlays/{crop.removesuffix('-crop.png')}" if face.heat_map is not None else None
        return f"/api/v1/analyses/{run.id}/artifacts/{crop}", over

    def address(check: Check, name: str, heat: NDArray[np.float32]) -> str:
        return f"/api/v1/analyses/{run.id}/artifacts/{map_name(check.name, name)}"

    level, sentence = words.headline(analysis.verdict)
    faces = [face for finding in analysis.findings for person in finding.people for face in person.faces]
    strongest = max(faces, key=lambda each: each.p_fake, default=None)
    stills = _stills(artifacts)
    return Result(
        run=run,
        analysis=analysis,
        level=level,
        sentence=sentence,
        reasons=tuple(each.text for each in analysis.verdict.reasons[: content.REASONS_SHOWN]),
        reasons_left=max(0, len(analysis.verdict.reasons) - content.REASONS_SHOWN),
        not_said=words.not_said(analysis.verdict),
        facts=content.facts(analysis.file),
        findings=finding_views(analysis, pictures, prefix),
        checks=check_views(analysis, address, prefix="check" if prefix == "f" else f"check-{prefix}"),
        all_reasons=[(where, each.text, content.compared(each)) for where, each in words.all_reasons(analysis)],
        duration_s=max((content.duration(each, analysis.file) for each in analysis.findings), default=0.0)
        or (analysis.file.duration_s or 0.0),
        stills=stills,
        poster="poster.jpg" if "poster.jpg" in known else "",
        strongest_s=strongest.time_s if strongest is not None and analysis.file.kind is Kind.VIDEO else None,
        settings=content.settings_rows(analysis.settings) + content.seed_rows(analysis),
        timings=content.timings_rows(analysis),
        key=key_marks(),
        meanings=meanings(),
        copy_text=copy_text(run, analysis),
    )


def _stills(artifacts: list[Artifact]) -> tuple[Still, ...]:
    """The key frames in the order of the file; their names hold their moments (see `fakelab.service.stills`)."""
    found = []
    for each in artifacts:
        if each.name.startswith("still-"):
            found.append(Still(each.name, float(each.name.removesuffix(".jpg").rsplit("-", 1)[1])))
    return tuple(sorted(found, key=lambda each: each.time_s))


def copy_text(run: Run, analysis: Analysis) -> Markup:
    """The finding in a few lines, to be put into a message: with what it does not say, and how to find it again."""
    level, sentence = words.headline(analysis.verdict)
    lines = [f"FakeLab: {level}. {sentence}".strip()]
    lines += [f"- {each.text}" for each in analysis.verdict.reasons[: content.REASONS_SHOWN]]
    lines.append(words.not_said(analysis.verdict))
    lines += [f"- {each.looks_for}: {each.error_rate}" for each in analysis.findings if each.error_rate]
    models = ", ".join(f"{each['name']} {each['version']}" for each in analysis.models)
    lines.append(f"File: {words.safe(run.name)}, SHA-256 {run.sha256}")
    lines.append(f"Run {run.id}, {run.started[:10]}, FakeLab {run.fakelab}, model {models}")
    return escape("\n".join(words.safe(line) for line in lines))


def track_data(result: Result) -> str:
    """What the player draws: boxes by time, as JSON for a data block. Nothing in it can end the block."""
    people = [
        {
            "person": person.person,
            "key": f"f{number}-{person.person}",
            "faces": [
                [round(face.time_s, 3), *(round(side, 1) for side in face.box), round(face.p_fake, 4)]
                for face in person.faces
            ],
        }
        for number, finding in enumerate(result.analysis.findings, start=1)
        for person in finding.people
    ]
    file = result.analysis.file
    data = {
        "lines": lines_of(result),
        "duration_s": result.duration_s,
        "width_px": file.width_px,
        "height_px": file.height_px,
        "people": people,
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def relatives(house: House, run: Run) -> tuple[list[Run], list[Run]]:
    """Other runs of the same bytes, and of files that look alike, of the same desk."""
    same = (
        [each for each in house.history.same_file(run.sha256, owner=run.owner) if each.id != run.id]
        if run.sha256
        else []
    )
    like = house.history.similar(run.phash, owner=run.owner, but=run.id) if run.phash else []
    seen = {each.id for each in same}
    return same[:_LIKE], [each for each in like if each.id not in seen and each.sha256 != run.sha256][:_LIKE]


def sound_lane(rows: list[tuple[float, float]]) -> Markup:
    """The outline of a file's sound as a drawing as wide as the lanes; empty without sound."""
    if not rows:
        return Markup("")
    top = [f"{at},{round(24 - 22 * high, 1)}" for at, (_, high) in enumerate(rows)]
    bottom = [f"{at},{round(24 - 22 * low, 1)}" for at, (low, _) in reversed(list(enumerate(rows)))]
    return Markup(
        f'<svg class="fl-chart outline" width="100%" height="48" viewBox="0 0 {max(1, len(rows) - 1)} 48"'
        f' preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f'<polygon points="{" ".join(top + bottom)}"/></svg>'
    )


def shot_lane(cuts: list[float], duration_s: float) -> Markup:
    """The shots of a video as boxes side by side, as wide as the lanes; empty where it has one."""
    if not cuts or duration_s <= 0:
        return Markup("")
    edges = [0.0, *(each for each in cuts if each < duration_s), duration_s]
    boxes = "".join(
        f'<rect class="shot{" odd" if at % 2 else ""}" x="{100 * start / duration_s:.2f}%"'
        f' width="{100 * (end - start) / duration_s:.2f}%" y="2" height="14"/>'
        for at, (start, end) in enumerate(pairwise(edges))
    )
    return Markup(f'<svg class="fl-chart" width="100%" height="18" aria-hidden="true" focusable="false">{boxes}</svg>')


def lines_of(result: Result) -> dict[str, float]:
    """The scores at which levels begin, by the level's word, of the finding that decides."""
    for finding in result.analysis.findings:
        found = words.thresholds(finding)
        if found:
            return {level.value: line for level, line in found.items()}
    return {}


def diverging(a: Result, b: Result) -> list[tuple[str, str, str]]:
    """What two results differ in: (what, first, second)."""
    rows: list[tuple[str, str, str]] = []

    def row(what: str, one: str, two: str) -> None:
        if one != two:
            rows.append((what, one, two))

    row("Verdict", a.level, b.level)
    row("Score", words.percent(a.run.p_fake), words.percent(b.run.p_fake))
    row("File", f"{a.run.name} ({a.run.sha256[:12]})", f"{b.run.name} ({b.run.sha256[:12]})")
    for label in dict.fromkeys([*dict(a.facts), *dict(b.facts)]):
        row(label, dict(a.facts).get(label, "–"), dict(b.facts).get(label, "–"))
    row("Models", a.run.models, b.run.models)
    row("FakeLab", a.run.fakelab, b.run.fakelab)
    for name in dict.fromkeys([*dict(a.settings), *dict(b.settings)]):
        row(f"Setting {name}", dict(a.settings).get(name, "–"), dict(b.settings).get(name, "–"))
    for name in sorted({*a.analysis.versions, *b.analysis.versions}):
        row(f"Version of {name}", a.analysis.versions.get(name, "–"), b.analysis.versions.get(name, "–"))
    return rows
