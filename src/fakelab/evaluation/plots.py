"""Figures of an evaluation as SVG strings that stand alone: ROC curve, reliability diagram, values with intervals.

Plain shapes and system type, light and dark enough to print; nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from fakelab.evaluation.metrics import Bin, Interval, clopper_pearson, roc

INK, GREY, BLUE, PALE = "#222", "#999", "#23527c", "#cfdde9"
LEFT, TOP, SIDE = 56, 16, 300
"""Where the square of a curve begins, and its side, in pixels."""


@dataclass(frozen=True, slots=True)
class Operating:
    """A point of the ROC curve that users meet: shares of reals and of fakes that reach a level."""

    name: str
    reals: float
    fakes: float


def roc_svg(p: NDArray[np.float64], fake: NDArray[np.bool_], points: Sequence[Operating] = (), title: str = "") -> str:
    """The ROC curve with the points at which the levels of evidence lie."""
    false_alarms, caught = roc(p, fake)
    line = " ".join(f"{_x(a):.1f},{_y(b):.1f}" for a, b in _stairs(false_alarms, caught))
    parts = [
        *_square("share of genuine files called fake", "share of fakes found"),
        f'<polyline points="{line}" fill="none" stroke="{BLUE}" stroke-width="2"/>',
    ]
    placed = -100.0
    for point in sorted(points, key=lambda each: -each.fakes):
        x, y = _x(point.reals), _y(point.fakes)
        # Names of points that lie close together are set below each other.
        placed = max(y + 4, placed + 14)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#fff" stroke="{INK}" stroke-width="1.5"/>')
        parts.append(_text(x + 9, placed, point.name))
    words = "; ".join(f"{each.name}: {each.reals:.3f} of genuine files, {each.fakes:.3f} of fakes" for each in points)
    return _svg(LEFT + SIDE + 150, TOP + SIDE + 46, title or "ROC curve", words, parts)


def reliability_svg(bins: Sequence[Bin], title: str = "") -> str:
    """Stated probability against the share of fakes with its 95 % interval; below, how many files each bin holds."""
    parts = [*_square("p_fake, as stated", "share of fakes")]
    most = max((each.files for each in bins), default=1)
    floor = TOP + SIDE + 100
    for each in bins:
        x, y = _x(each.stated), _y(each.came_true)
        low, high = clopper_pearson(round(each.came_true * each.files), each.files)
        height = 44 * each.files / most
        parts += [
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_y(low):.1f}" y2="{_y(high):.1f}" stroke="{BLUE}"/>',
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{BLUE}"/>',
            f'<rect x="{x - 6:.1f}" y="{floor - height:.1f}" width="12" height="{height:.1f}" fill="{PALE}"'
            f' stroke="{BLUE}"/>',
            _text(x, floor - height - 3, str(each.files), "middle", 9),
        ]
    parts.append(_text(LEFT - 8, floor - 4, "files", "end"))
    words = "; ".join(f"stated {each.stated:.2f}: {each.came_true:.2f} of {each.files}" for each in bins)
    return _svg(LEFT + SIDE + 24, floor + 8, title or "Reliability diagram", words, parts)


def intervals_svg(
    rows: Sequence[tuple[str, Interval]], title: str, *, low: float = 0.0, high: float = 1.0, mark: float | None = 0.5
) -> str:
    """One line a row: a value as a dot, its interval as a bar, between `low` and `high`; `mark` is drawn dashed."""
    wide, left, step = 280, 190, 22
    foot = TOP + step * len(rows)

    def x(value: float) -> float:
        return left + wide * (min(high, max(low, value)) - low) / (high - low)

    parts = []
    for share in np.linspace(low, high, 5):
        parts.append(f'<line x1="{x(share):.1f}" x2="{x(share):.1f}" y1="{TOP}" y2="{foot}" stroke="#ddd"/>')
        parts.append(_text(x(share), foot + 15, f"{share:.2f}", "middle"))
    if mark is not None:
        at = f"{x(mark):.1f}"
        parts.append(f'<line x1="{at}" x2="{at}" y1="{TOP}" y2="{foot}" stroke="{INK}" stroke-dasharray="4 3"/>')
    for number, (name, each) in enumerate(rows):
        y = TOP + step * number + step / 2
        parts.append(_text(left - 8, y + 4, name if len(name) < 29 else name[:27] + "…", "end"))
        if np.isfinite([each.value, each.low, each.high]).all():
            parts += [
                f'<line x1="{x(each.low):.1f}" x2="{x(each.high):.1f}" y1="{y}" y2="{y}" stroke="{BLUE}"'
                ' stroke-width="2"/>',
                f'<circle cx="{x(each.value):.1f}" cy="{y}" r="4" fill="{BLUE}"/>',
                _text(left + wide + 10, y + 4, f"{each.value:.3f}"),
            ]
    words = "; ".join(f"{name}: {each}" for name, each in rows)
    return _svg(left + wide + 60, foot + 24, title, words, parts)


def matrix_svg(rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]], title: str) -> str:
    """A table as shaded cells, darker for higher values; a value that is missing leaves its cell empty."""
    left, cell, tall, head = 190, 96, 34, 40
    parts = [_text(left + cell * at + cell / 2, head - 10, name, "middle") for at, name in enumerate(columns)]
    for row, name in enumerate(rows):
        y = head + tall * row
        parts.append(_text(left - 8, y + tall / 2 + 4, name, "end"))
        for at, value in enumerate(values[row]):
            x, known = left + cell * at, bool(np.isfinite(value))
            shade = 0.75 * max(0.0, min(1.0, 2 * (value - 0.5))) if known else 0.0
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell}" height="{tall}" fill="{BLUE}" fill-opacity="{shade:.2f}"'
                f' stroke="{GREY}"/>'
            )
            ink = "#fff" if shade > 0.45 else INK
            parts.append(_text(x + cell / 2, y + tall / 2 + 4, f"{value:.3f}" if known else "–", "middle", 12, ink))
    words = "; ".join(
        f"{row}, {column}: {values[i][j]:.3f}" for i, row in enumerate(rows) for j, column in enumerate(columns)
    )
    return _svg(left + cell * len(columns) + 10, head + tall * len(rows) + 10, title, words, parts)


def _stairs(x: NDArray[np.float64], y: NDArray[np.float64]) -> Iterable[tuple[float, float]]:
    """The corners, without those that lie on a straight line between their neighbours."""
    last = len(x) - 1
    for at in range(last + 1):
        inside = 0 < at < last
        if inside and (x[at - 1] == x[at] == x[at + 1] or y[at - 1] == y[at] == y[at + 1]):
            continue
        yield float(x[at]), float(y[at])


def _x(share: float) -> float:
    return LEFT + SIDE * share


def _y(share: float) -> float:
    return TOP + SIDE * (1 - share)


def _square(across: str, up: str) -> list[str]:
    """Frame, diagonal, ticks and names of the axes."""
    parts = [
        f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="#fff" stroke="{GREY}"/>',
        f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" stroke="{GREY}" stroke-dasharray="4 3"/>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_text(_x(share), TOP + SIDE + 15, f"{share:g}", "middle"))
        parts.append(_text(LEFT - 6, _y(share) + 4, f"{share:g}", "end"))
    parts.append(_text(LEFT + SIDE / 2, TOP + SIDE + 34, across, "middle"))
    middle = TOP + SIDE / 2
    parts.append(
        f'<text x="14" y="{middle}" font-size="11" fill="{INK}" text-anchor="middle"'
        f' transform="rotate(-90 14 {middle})">{escape(up)}</text>'
    )
    return parts


def _text(x: float, y: float, words: str, anchor: str = "start", size: int = 11, ink: str = INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{ink}" text-anchor="{anchor}">{escape(words)}</text>'
    )


def _svg(width: float, height: float, title: str, words: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
        f' height="{height:.0f}" role="img" font-family="system-ui, sans-serif"><title>{escape(title)}</title>'
        f"<desc>{escape(words)}</desc>{''.join(parts)}</svg>"
    )
