"""The drawings of the PDF, from the numbers of `fakelab.reports.charts`: lanes, axis, marks, the map of faces.

Levels differ by the shape of their mark and suspicious stretches are hatched, so that nothing hangs on colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from fakelab.records import Level, PersonScore
from fakelab.reports import charts, words
from fakelab.reports.pdf.flow import CURVE, INK, QUIET, RULE, WARN, Paper, Part
from fakelab.reports.pdf.tags import Node
from fakelab.reports.pdf.text import Span, draw, lay_out, text_width

_HEIGHT, _TOP, _BOTTOM, _PRESENCE = 76.0, 8.0, 62.0, 70.5
"""Of a lane, and in it, from above: where a score of 1, a score of 0, and the strip of presence lie."""
_LABELS = 50.0
"""Room at the right for the names of the lines."""
_SMALL = 7.0
_GREY = 0.86, 0.93
"""Ground above the line of strong evidence, and between both lines."""
_SPREAD = 0.83, 0.87, 0.91


class Lane(Part):
    """One person over the length of the file: see `charts.lane`, which draws the same for the page."""

    def __init__(self, person: PersonScore, duration_s: float, lines: Mapping[Level, float], node: Node) -> None:
        self.person, self.duration_s, self.lines, self.node = person, duration_s, lines, node

    def lay(self, width: float) -> float:
        return _HEIGHT

    def paint(self, canvas: Any, x: float, y: float) -> None:
        with canvas.paper.tree.marked(canvas, self.node):
            canvas.saveState()
            canvas.translate(x, y)
            self._draw(canvas, self.width - _LABELS)
            canvas.restoreState()

    def _draw(self, canvas: Any, width: float) -> None:
        faces = charts.finite(self.person)
        bursts = charts.split_bursts([face.time_s for face in faces])
        self._bands(canvas, width)
        for stretch in self.person.suspicious:
            left, right = (self._x(each, width) for each in (stretch.start_s, stretch.end_s))
            wide = max(right - left, 0.008 * width)
            hatched(canvas, min(left, width - wide), _HEIGHT - _BOTTOM, wide, _BOTTOM - 1)
        canvas.setStrokeColorRGB(*QUIET)
        canvas.setLineCap(1)
        canvas.setLineWidth(4)
        for first, behind in bursts:
            left, right = self._x(faces[first].time_s, width), self._x(faces[behind - 1].time_s, width)
            canvas.line(left, _HEIGHT - _PRESENCE, right + 0.01, _HEIGHT - _PRESENCE)
        canvas.setLineCap(0)
        moments = charts.find_moments(faces, bursts, self.duration_s)
        for moment in moments:
            if len(moment.scores) > 1:
                low, high = _y(min(moment.scores)), _y(max(moment.scores))
                spread(canvas, self._x(moment.time_s, width), low, high)
        canvas.setStrokeColorRGB(*CURVE)
        canvas.setLineWidth(1.1)
        for before, after in pairwise(moments):
            if before.burst != after.burst:
                canvas.setDash(0.8, 2.6)
            places = [(self._x(each.time_s, width), _y(each.p_fake)) for each in (before, after)]
            canvas.line(*places[0], *places[1])
            canvas.setDash()
        for moment in moments:
            mark(canvas, self._x(moment.time_s, width), _y(moment.p_fake), charts.level_of(moment.p_fake, self.lines))

    def _bands(self, canvas: Any, width: float) -> None:
        strong, moderate = self.lines.get(Level.STRONG), self.lines.get(Level.MODERATE)
        labels: list[tuple[float, str]] = []
        above = 1.0
        for line, name, grey in ((strong, "strong", _GREY[0]), (moderate, "moderate", _GREY[1])):
            if line is None:
                continue
            # The highest band goes on above 1, so that a mark at the very top lies inside it.
            ceiling = _y(above) + (5.0 if above == 1.0 else 0.0)
            canvas.setFillGray(grey)
            canvas.rect(0, _y(line), width, ceiling - _y(line), stroke=0, fill=1)
            labels.append((_y(line), name))
            above = line
        canvas.setLineWidth(0.5)
        canvas.setStrokeColorRGB(*RULE)
        canvas.line(0, _y(0.0), width, _y(0.0))
        for share in () if self.lines else (0.5, 1.0):
            labels.append((_y(share), words.percent(share)))
        canvas.setStrokeColorRGB(*QUIET)
        canvas.setDash(3, 2)
        last = math.inf
        for height, name in sorted(labels, reverse=True):
            canvas.line(0, height, width, height)
            # Kept apart where two lines are close.
            last = min(height - 2.4, last - _SMALL - 1)
            write(canvas, width + 6, last, name)
        canvas.setDash()

    def _x(self, time_s: float, width: float) -> float:
        return charts.percent_of(time_s, self.duration_s) * width / 100


class Axis(Part):
    """The time axis below the lanes. Decoration: each lane says its own times."""

    def __init__(self, duration_s: float) -> None:
        self.duration_s = duration_s

    def lay(self, width: float) -> float:
        return 18.0

    def paint(self, canvas: Any, x: float, y: float) -> None:
        width, top = self.width - _LABELS, y + self.height - 1
        step = charts.tick_step(self.duration_s)
        with canvas.paper.tree.marked(canvas, None):
            canvas.setStrokeColorRGB(*QUIET)
            canvas.setLineWidth(0.6)
            canvas.line(x, top, x + width, top)
            for place in range(max(1, int(self.duration_s / step + 1e-6)) + 1):
                time_s = place * step
                at = x + charts.percent_of(time_s, self.duration_s) * width / 100
                canvas.line(at, top, at, top - 3.5)
                label = charts.tick_label(time_s, step)
                # The outermost labels lean inwards, as on the page.
                lean = 0.0 if place == 0 else 1.0 if time_s > 0.97 * self.duration_s else 0.5
                write(canvas, at - lean * text_width(label, _SMALL), top - 11.5, label)


class Key(Part):
    """The legend: drawings with their words, in a row that wraps."""

    def __init__(self, items: Sequence[tuple[Callable[[Any, float, float], None], str]], node: Node) -> None:
        self._items, self._node = items, node

    def lay(self, width: float) -> float:
        self._places: list[tuple[float, int]] = []
        x, row = 0.0, 0
        for _, text in self._items:
            wide = 26 + text_width(text, 8.0)
            if x and x + wide > width:
                x, row = 0.0, row + 1
            self._places.append((x, row))
            x += wide + 7
        return 14.0 * (row + 1)

    def paint(self, canvas: Any, x: float, y: float) -> None:
        with canvas.paper.tree.marked(canvas, self._node):
            for (drawn, text), (left, row) in zip(self._items, self._places, strict=True):
                base = y + self.height - 14.0 * row - 9.5
                drawn(canvas, x + left + 10, base + 2.8)
                write(canvas, x + left + 24, base, text + " ", 8.0)


class LevelMark(Part):
    """Three steps, filled as far as the evidence goes; struck out for what could not be told."""

    def __init__(self, level: Level, node: Node, height: float = 24.0) -> None:
        self.level, self.node, self._tall = level, node, height

    def lay(self, width: float) -> float:
        return self._tall

    def paint(self, canvas: Any, x: float, y: float) -> None:
        filled = {Level.STRONG: 3, Level.MODERATE: 2}.get(self.level, 0)
        dashed = self.level in (Level.INCONCLUSIVE, Level.NOT_ANALYSABLE)
        unit = self._tall / 30
        with canvas.paper.tree.marked(canvas, self.node):
            canvas.setStrokeColorRGB(*INK)
            canvas.setFillColorRGB(*INK)
            canvas.setLineWidth(1.4 * unit)
            if dashed:
                canvas.setDash(3 * unit, 3 * unit)
            for step in range(3):
                canvas.rect(
                    x + (1 + 15 * step) * unit, y + unit, 11 * unit, (12 + 8 * step) * unit, fill=int(step < filled)
                )
            canvas.setDash()
            if self.level is Level.NOT_ANALYSABLE:
                canvas.setLineWidth(2 * unit)
                canvas.line(x + unit, y + unit, x + 42 * unit, y + 28 * unit)


class FaceMap(Part):
    """Where in a photo each person's face is: the outline of the photo with numbered boxes."""

    def __init__(self, people: Sequence[PersonScore], size_px: tuple[int, int], node: Node) -> None:
        self.people, self.size_px, self.node = people, size_px, node

    def lay(self, width: float) -> float:
        self._scale = 220 / max(self.size_px)
        return self.size_px[1] * self._scale + 2

    def paint(self, canvas: Any, x: float, y: float) -> None:
        scale, top = self._scale, y + self.height - 1
        with canvas.paper.tree.marked(canvas, self.node):
            canvas.setLineWidth(0.6)
            canvas.setStrokeColorRGB(*QUIET)
            canvas.rect(x + 0.5, y + 1, self.size_px[0] * scale, self.size_px[1] * scale)
            canvas.setStrokeColorRGB(*CURVE)
            canvas.setLineWidth(1)
            for person in self.people:
                for face in person.faces[:1]:
                    if not all(map(math.isfinite, face.box)):
                        continue
                    left, upper, wide, high = (side * scale for side in face.box)
                    canvas.rect(x + left, top - upper - high, wide, high)
                    label = str(person.person)
                    at = x + left + wide / 2 - text_width(label, 8.0, True) / 2
                    write(canvas, at, top - upper - high / 2 - 3, label, 8.0, bold=True)


def mark(canvas: Any, x: float, y: float, level: Level) -> None:
    """Triangle, diamond or ring, by the line of the score that a face reaches."""
    canvas.setStrokeColorRGB(*CURVE)
    canvas.setLineWidth(1.1)
    if level in (Level.STRONG, Level.MODERATE):
        canvas.setFillColorRGB(*CURVE)
        path = canvas.beginPath()
        corners = [(0.0, 4.2), (4.0, -3.1), (-4.0, -3.1)]
        if level is Level.MODERATE:
            corners = [(0.0, 3.8), (3.8, 0.0), (0.0, -3.8), (-3.8, 0.0)]
        path.moveTo(x + corners[0][0], y + corners[0][1])
        for dx, dy in corners[1:]:
            path.lineTo(x + dx, y + dy)
        path.close()
        canvas.drawPath(path, stroke=1, fill=1)
    else:
        canvas.setFillGray(1)
        canvas.circle(x, y, 2.7, stroke=1, fill=1)


def spread(canvas: Any, x: float, low: float, high: float) -> None:
    """The band from the lowest to the highest face of a moment."""
    canvas.setFillColorRGB(*_SPREAD)
    canvas.setStrokeColorRGB(*CURVE)
    canvas.setLineWidth(0.5)
    canvas.roundRect(x - 3.2, low, 6.4, high - low, min(1.2, (high - low) / 2), stroke=1, fill=1)


def hatched(canvas: Any, x: float, y: float, width: float, height: float) -> None:
    """A frame with slanted lines in it."""
    canvas.saveState()
    canvas.setStrokeColorRGB(*WARN)
    canvas.setLineWidth(0.8)
    canvas.rect(x, y, width, height)
    clip = canvas.beginPath()
    clip.rect(x, y, width, height)
    canvas.clipPath(clip, stroke=0, fill=0)
    canvas.setLineWidth(0.6)
    step = 0.0
    while step < width + height:
        canvas.line(x + step - height, y, x + step, y + height)
        step += 5.5
    canvas.restoreState()


def presence(canvas: Any, x: float, y: float) -> None:
    """A sample of the strip of presence."""
    canvas.setStrokeColorRGB(*QUIET)
    canvas.setLineCap(1)
    canvas.setLineWidth(4)
    canvas.line(x - 6, y, x + 6, y)
    canvas.setLineCap(0)


def write(canvas: Any, x: float, y: float, text: str, size: float = _SMALL, bold: bool = False) -> None:
    """One line of quiet text inside a drawing."""
    paper: Paper = canvas.paper
    draw(canvas, paper.fonts, lay_out([Span(text, bold, INK if bold else QUIET)], size, 1e6)[0], x, y, size)


def _y(p_fake: float) -> float:
    return _HEIGHT - _BOTTOM + (_BOTTOM - _TOP) * min(1.0, max(0.0, p_fake))
