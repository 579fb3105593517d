"""SVG drawings as strings: the lanes of the time line, their axis and key, the level's mark, a map of faces.

Horizontal places are percentages and vertical ones pixels, so that a lane stretches to any width while its type,
strokes and marks keep their size. Attributes give a plain look of their own; the classes let a page restyle them.
No drawing relies on colour: levels differ by the shape of their mark, suspicious stretches are hatched, and what could
not be judged is striped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from fakelab.records import LEVEL_WORDS, FaceScore, Level, PersonScore, TimeRange
from fakelab.reports import words

LANE_HEIGHT_PX = 104
_TOP_PX, _BOTTOM_PX, _PRESENCE_PX = 8, 84, 97
"""Where a score of 1, a score of 0, and the strip of presence lie in a lane."""
SPREAD_PX = 9
"""Width of the band from the lowest to the highest face of a moment."""
MERGED_SHARE = 0.012
"""Faces closer together than this share of the file's length get one mark, since two would cover each other."""
_LABEL_GAP_PX = 13
_HIDDEN = 'aria-hidden="true" focusable="false"'
_MARK_PATHS = {
    Level.STRONG: "M0-5.5 5.2 4H-5.2Z",
    Level.MODERATE: "M0-5 5 0 0 5-5 0Z",
    Level.NONE_FOUND: "M-3.5 0A3.5 3.5 0 1 0 3.5 0A3.5 3.5 0 1 0-3.5 0Z",
}
"""Triangle, diamond, ring: by the line of the score that a single face reaches."""


def lane(
    person: PersonScore,
    duration_s: float,
    lines: Mapping[Level, float],
    key: str,
    label: str | None = None,
    voice: bool = False,
    unjudged: Sequence[tuple[TimeRange, str]] = (),
) -> str:
    """One person over the length of the file: marks and line of p_fake, presence below, suspicious stretches hatched.

    A mark is the mean of the faces of one moment, the band around it runs from their lowest to their highest: what was
    measured, and no interval of confidence, which no record holds.
    `lines` are the scores at which levels begin, drawn as bands; without them, plain quarter lines are drawn.
    `key` makes the identifiers unique on a page; `voice` says that the marks are stretches of speech. `unjudged` are
    stretches that could not be judged, each with its reason: striped, and told on hovering. Faces whose time or score
    is no number are left out.
    """
    name = label or f"Person {person.person}"
    faces = finite(person)
    bursts = split_bursts([face.time_s for face in faces])
    hatch = f"hatch-{key}"
    parts = [_hatch_pattern(hatch)]
    parts += _bands(lines)
    if unjudged:
        parts.append(_stripe_pattern(f"stripe-{key}"))
        parts += [_unjudged(stretch, why, duration_s, f"stripe-{key}") for stretch, why in unjudged]
    for stretch in person.suspicious:
        parts.append(_stretch(stretch, duration_s, hatch))
    for first, last in bursts:
        x1, x2 = _x(faces[first].time_s, duration_s), _x(faces[last - 1].time_s, duration_s)
        parts.append(
            f'<line class="fl-presence" x1="{x1}" x2="{x2}" y1="{_PRESENCE_PX}" y2="{_PRESENCE_PX}"'
            ' stroke="#444" stroke-width="6" stroke-linecap="round"/>'
        )
    moments = find_moments(faces, bursts, duration_s)
    parts += [_spread(moment, duration_s) for moment in moments if len(moment.scores) > 1]
    parts += _connections(moments, duration_s)
    parts += [_mark(_x(each.time_s, duration_s), _y(each.p_fake), level_of(each.p_fake, lines)) for each in moments]
    return _svg(f"lane-{key}", LANE_HEIGHT_PX, f"{name}: score over time", lane_text(person, faces, voice), parts)


def finite(person: PersonScore) -> list[FaceScore]:
    """The faces whose time and score are numbers."""
    return [face for face in person.faces if math.isfinite(face.time_s) and math.isfinite(face.p_fake)]


def is_spread(person: PersonScore, duration_s: float) -> bool:
    """Whether a moment of this person has several faces, so that its lane holds a band."""
    faces = finite(person)
    bursts = split_bursts([face.time_s for face in faces])
    return any(len(each.scores) > 1 for each in find_moments(faces, bursts, duration_s))


def axis(duration_s: float) -> str:
    """The time axis below the lanes. Hidden from screen readers: each lane says its own times."""
    step = tick_step(duration_s)
    parts = ['<line class="fl-axis" x1="0" x2="100%" y1="1" y2="1" stroke="#444"/>']
    ticks = max(1, int(duration_s / step + 1e-6))
    for number in range(ticks + 1):
        time_s = number * step
        x = _x(time_s, duration_s)
        # The outermost labels lean inwards, or they would be cut off.
        anchor = "start" if number == 0 else "end" if time_s > duration_s * 0.97 else "middle"
        parts.append(f'<line class="fl-axis" x1="{x}" x2="{x}" y1="1" y2="6" stroke="#444"/>')
        label = tick_label(time_s, step)
        parts.append(f'<text class="fl-label" x="{x}" y="20" text-anchor="{anchor}" font-size="11">{label}</text>')
    return f'<svg class="fl-chart" width="100%" height="26" {_HIDDEN}>{"".join(parts)}</svg>'


def key_mark(level: Level) -> str:
    """The mark of one face of this level, as in a lane, for a legend; a ring for any level below moderate."""
    inner = _mark("10", 8, level)
    return f'<svg class="fl-key" width="20" height="16" {_HIDDEN}>{inner}</svg>'


def key_hatch(key: str) -> str:
    """A sample of the hatching of suspicious stretches, for a legend."""
    return _key_stretch("fl-suspicious", f"hatch-{key}", _hatch_pattern, "#8a4b08")


def key_unjudged(key: str) -> str:
    """A sample of the stripes over what could not be judged, for a legend."""
    return _key_stretch("fl-unjudged", f"stripe-{key}", _stripe_pattern, "#767676")


def _key_stretch(css: str, name: str, pattern: Callable[[str], str], colour: str) -> str:
    return (
        f'<svg class="fl-key" width="28" height="16" {_HIDDEN}>{pattern(name)}'
        f'<rect class="{css}" x="1" y="1" width="26" height="14" fill="url(#{name})" stroke="{colour}"/></svg>'
    )


def key_spread() -> str:
    """A sample of the band from the lowest to the highest face of a moment, for a legend."""
    return f'<svg class="fl-key" width="20" height="16" {_HIDDEN}>{_spread_box("10", 1, 15)}{_mark("10", 8)}</svg>'


def key_presence() -> str:
    """A sample of the strip of presence, for a legend."""
    line = (
        '<line class="fl-presence" x1="5" x2="23" y1="8" y2="8" stroke="#444" stroke-width="6" stroke-linecap="round"/>'
    )
    return f'<svg class="fl-key" width="28" height="16" {_HIDDEN}>{line}</svg>'


def level_mark(level: Level) -> str:
    """Three steps, filled as far as the evidence goes; struck out for what could not be told. No colour is needed."""
    filled = {Level.STRONG: 3, Level.MODERATE: 2, Level.INCONCLUSIVE: 0, Level.NONE_FOUND: 0, Level.NOT_ANALYSABLE: 0}
    parts = []
    for step in range(3):
        full = step < filled[level]
        height = 12 + 8 * step
        dashed = ' stroke-dasharray="3 3"' if level in (Level.INCONCLUSIVE, Level.NOT_ANALYSABLE) else ""
        css = "fl-step fl-full" if full else "fl-step"
        fill = "#222" if full else "none"
        parts.append(
            f'<rect class="{css}" x="{1 + 15 * step}" y="{29 - height}" width="11" height="{height}" rx="1.5"'
            f' fill="{fill}" stroke="#222" stroke-width="1.5"{dashed}/>'
        )
    if level is Level.NOT_ANALYSABLE:
        parts.append('<line class="fl-strike" x1="1" x2="42" y1="29" y2="3" stroke="#222" stroke-width="2"/>')
    return (
        f'<svg class="fl-level" width="43" height="30" viewBox="0 0 43 30" role="img" aria-label="'
        f'{escape(LEVEL_WORDS[level])}">{"".join(parts)}</svg>'
    )


def face_map(people: Sequence[PersonScore], width_px: int, height_px: int, key: str) -> str:
    """Where in a photo each person's face is: the outline of the photo with numbered boxes."""
    scale = 320 / max(width_px, height_px)
    width, height = width_px * scale, height_px * scale
    parts = [
        f'<rect class="fl-frame" x=".5" y=".5" width="{width - 1:.1f}" height="{height - 1:.1f}"'
        ' fill="none" stroke="#888"/>'
    ]
    for person in people:
        for face in person.faces[:1]:
            if not all(map(math.isfinite, face.box)):
                continue
            x, y, box_width, box_height = (side * scale for side in face.box)
            parts.append(
                f'<rect class="fl-box" x="{x:.1f}" y="{y:.1f}" width="{box_width:.1f}" height="{box_height:.1f}"'
                ' fill="none" stroke="#222"/>'
                f'<text class="fl-number" x="{x + box_width / 2:.1f}" y="{y + box_height / 2 + 4:.1f}"'
                f' text-anchor="middle" font-size="12">{person.person}</text>'
            )
    numbers = ", ".join(str(person.person) for person in people)
    return (
        f'<svg class="fl-map" viewBox="0 0 {width:.1f} {height:.1f}" width="{width:.0f}" role="img"'
        f' aria-labelledby="map-{key}"><title id="map-{key}">Where the faces are: person {numbers}</title>'
        f"{''.join(parts)}</svg>"
    )


def level_of(p_fake: float, lines: Mapping[Level, float]) -> Level:
    """The strongest level whose line this score reaches, `no_evidence_found` below all of them."""
    for level in (Level.STRONG, Level.MODERATE):
        if level in lines and p_fake >= lines[level]:
            return level
    return Level.NONE_FOUND


def split_bursts(times_s: Sequence[float]) -> list[tuple[int, int]]:
    """Runs of neighbouring samples as (first, behind last): a gap of over 2.5 times the usual one ends a run."""
    if not times_s:
        return []
    gaps = [later - earlier for earlier, later in pairwise(times_s)]
    usual = sorted(gaps)[len(gaps) // 2] if gaps else 0.0
    ends = [index + 1 for index, gap in enumerate(gaps) if gap > 2.5 * usual]
    return list(zip([0, *ends], [*ends, len(times_s)], strict=True))


def lane_text(person: PersonScore, faces: Sequence[FaceScore], voice: bool = False) -> str:
    """What a lane shows, in words; the marks of a voice are stretches of speech."""
    one, many, whose = ("stretch", "stretches", "voice") if voice else ("face", "faces", "person")
    if not faces:
        return "No face of this person was scored."
    top = max(faces, key=lambda face: face.p_fake)
    text = (
        f"{words.count(len(faces), one, many)} between {words.span(faces[0].time_s, faces[-1].time_s)}."
        f" Score of the {whose} {words.person_percent(person)}, highest {one} {words.percent(top.p_fake)} at"
        f" {words.clock(top.time_s)}, lowest {words.percent(min(face.p_fake for face in faces))}."
    )
    if person.suspicious:
        text += f" Suspicious: {words.spans(person.suspicious)}."
    return text


def _bands(lines: Mapping[Level, float]) -> Iterator[str]:
    top, bottom = _TOP_PX, _BOTTOM_PX
    yield f'<line class="fl-grid" x1="0" x2="100%" y1="{bottom}" y2="{bottom}" stroke="#999"/>'
    if not lines:
        for share in (0.5, 1.0):
            y = _y(share)
            yield f'<line class="fl-grid" x1="0" x2="100%" y1="{y}" y2="{y}" stroke="#ccc" stroke-dasharray="2 3"/>'
            word = words.percent(share)
            yield f'<text class="fl-label" x="100%" dx="8" y="{y + 4}" font-size="11">{word}</text>'
        return
    label_y = 0.0
    for level, css, word in ((Level.STRONG, "strong", "strong"), (Level.MODERATE, "moderate", "moderate")):
        if level not in lines:
            continue
        y = _y(lines[level])
        above = top if level is Level.STRONG or Level.STRONG not in lines else _y(lines[Level.STRONG])
        shade = {"strong": ".14", "moderate": ".07"}[css]
        # The band of the highest level goes on above 1, so that a mark at the very top lies inside it.
        start = above - (7 if above == top else 0)
        yield (
            f'<rect class="fl-band fl-{css}" x="0" width="100%" y="{start}" height="{y - start:.1f}"'
            f' fill="#000" fill-opacity="{shade}"/>'
            f'<line class="fl-line" x1="0" x2="100%" y1="{y}" y2="{y}" stroke="#666" stroke-dasharray="4 3"/>'
        )
        # Beside the lane, in the margin that the page leaves; kept apart where the lines are close.
        label_y = max(y, label_y + _LABEL_GAP_PX)
        yield f'<text class="fl-label" x="100%" dx="8" y="{label_y:.1f}" font-size="11">{word}</text>'


def _stretch(stretch: TimeRange, duration_s: float, hatch: str) -> str:
    start = percent_of(stretch.start_s, duration_s)
    # At least wide enough to be seen.
    width = max(percent_of(stretch.end_s, duration_s) - start, 0.8)
    start = min(start, 100 - width)
    return (
        f'<rect class="fl-suspicious" x="{start:.2f}%" width="{width:.2f}%" y="1" height="{_BOTTOM_PX - 1}"'
        f' fill="url(#{hatch})" stroke="#8a4b08"/>'
    )


def _unjudged(stretch: TimeRange, why: str, duration_s: float, stripe: str) -> str:
    start, end = percent_of(stretch.start_s, duration_s), percent_of(stretch.end_s, duration_s)
    said = escape(words.safe(f"{words.span(stretch.start_s, stretch.end_s)}: {why or 'not judged'}"))
    return (
        f'<rect class="fl-unjudged" x="{start:.2f}%" width="{end - start:.2f}%" y="1" height="{_BOTTOM_PX - 1}"'
        f' fill="url(#{stripe})" stroke="#767676" stroke-dasharray="2 3"><title>{said}</title></rect>'
    )


def _spread(moment: Moment, duration_s: float) -> str:
    return _spread_box(_x(moment.time_s, duration_s), _y(max(moment.scores)), _y(min(moment.scores)))


def _spread_box(x: str, top: float, bottom: float) -> str:
    half = SPREAD_PX / 2
    return (
        f'<svg x="{x}" overflow="visible"><rect class="fl-spread" x="{-half}" width="{SPREAD_PX}" y="{top}"'
        f' height="{bottom - top:.1f}" rx="2" fill="#23527c" fill-opacity=".2" stroke="#23527c"'
        ' stroke-width=".8"/></svg>'
    )


@dataclass(frozen=True, slots=True)
class Moment:
    """Faces so close in time that they share a mark."""

    burst: int
    time_s: float
    scores: tuple[float, ...]

    @property
    def p_fake(self) -> float:
        return sum(self.scores) / len(self.scores)


def find_moments(faces: Sequence[FaceScore], bursts: Sequence[tuple[int, int]], duration_s: float) -> list[Moment]:
    """The faces in groups so close in time that two marks would cover each other; bursts stay apart."""
    moments = []
    for number, (first, end) in enumerate(bursts):
        begin = first
        for index in range(first + 1, end + 1):
            if index == end or faces[index].time_s - faces[begin].time_s > MERGED_SHARE * duration_s:
                group = faces[begin:index]
                middle_s = (group[0].time_s + group[-1].time_s) / 2
                moments.append(Moment(number, middle_s, tuple(face.p_fake for face in group)))
                begin = index
    return moments


def _connections(moments: Sequence[Moment], duration_s: float) -> Iterator[str]:
    """Lines between neighbours: solid inside a burst, dotted across, where nothing was looked at."""
    for before, after in pairwise(moments):
        dotted = ' stroke-dasharray="1 4" stroke-linecap="round"' if before.burst != after.burst else ""
        yield (
            f'<line class="fl-curve" x1="{_x(before.time_s, duration_s)}" y1="{_y(before.p_fake)}"'
            f' x2="{_x(after.time_s, duration_s)}" y2="{_y(after.p_fake)}"'
            f' stroke="#23527c" stroke-width="1.5"{dotted}/>'
        )


def _mark(x: str, y: float, level: Level = Level.NONE_FOUND) -> str:
    path = _MARK_PATHS.get(level, _MARK_PATHS[Level.NONE_FOUND])
    css = {Level.STRONG: "fl-mark fl-full", Level.MODERATE: "fl-mark fl-full"}.get(level, "fl-mark")
    fill = "#23527c" if "fl-full" in css else "#fff"
    return (
        f'<svg x="{x}" y="{y}" overflow="visible"><path class="{css}" d="{path}" fill="{fill}" stroke="#23527c"'
        ' stroke-width="1.5"/></svg>'
    )


def _hatch_pattern(name: str) -> str:
    return (
        f'<defs><pattern id="{name}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<line class="fl-hatch" x1="0" x2="0" y1="0" y2="6" stroke="#8a4b08" stroke-width="1.6"/></pattern></defs>'
    )


def _stripe_pattern(name: str) -> str:
    """Level and grey, where the hatching of suspicious stretches leans: not told apart by colour alone."""
    return (
        f'<defs><pattern id="{name}" width="8" height="6" patternUnits="userSpaceOnUse">'
        '<line class="fl-stripe" x1="0" x2="8" y1="3" y2="3" stroke="#767676" stroke-width="1"/></pattern></defs>'
    )


def _svg(name: str, height_px: int, title: str, text: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="fl-chart" width="100%" height="{height_px}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(words.safe(title))}</title><desc id="{name}-d">{escape(words.safe(text))}</desc>'
        f"{''.join(parts)}</svg>"
    )


def percent_of(time_s: float, duration_s: float) -> float:
    """The time's place in the file, 0..100."""
    return 100 * min(1.0, max(0.0, time_s / duration_s)) if duration_s > 0 else 0.0


def _x(time_s: float, duration_s: float) -> str:
    return f"{percent_of(time_s, duration_s):.2f}%"


def _y(p_fake: float) -> float:
    return round(_BOTTOM_PX - (_BOTTOM_PX - _TOP_PX) * min(1.0, max(0.0, p_fake)), 1)


def tick_step(duration_s: float) -> float:
    """The smallest round step that gives at most six ticks."""
    for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600):
        if duration_s / step <= 6:
            return step
    return 3600.0 * math.ceil(duration_s / 3600 / 6)


def tick_label(time_s: float, step: float) -> str:
    """A time as the axis writes it: without tenths where no step needs them."""
    text = words.clock(time_s)
    return text if step < 1 else text[: text.rindex(".")]
