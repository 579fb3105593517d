"""Curves as SVG, each named and told apart by its dash: a training run's, and what a model's card measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from markupsafe import Markup

from fakelab.service.trainings import Training

WIDTH, HEIGHT = 720, 240
SIDE = 240
"""Of the square in which two shares stand against each other."""
FALSE_ALARMS = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of genuine files called fake at which a ROC curve is read for its table."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 130, 12, 24
_SQUARE_PX = _TOP + SIDE + 48
"""Height of the square with its labels."""
_DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 4", "12 4", "12 3 2 3 2 3", "4 8")


def curve_svg(run: Training, key: str) -> Markup:
    """Accuracy and AUC (0 to 1) of a run over its steps; empty where there is none."""
    curves = {name: points for name, points in run.curves.items() if "auc" in name or "accuracy" in name}
    if not curves:
        return Markup("")
    last_step = max(points[-1][0] for points in curves.values()) or 1
    low = min(0.5, *(value for points in curves.values() for _, value in points))
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + (1 - low) * share
        y = _y(value, low)
        parts.append(f'<line class="fl-grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="fl-label" x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{value:.2f}</text>')
    parts.append(f'<text class="fl-label" x="{_LEFT}" y="{HEIGHT - 6}">0</text>')
    parts.append(
        f'<text class="fl-label" x="{WIDTH - _RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{last_step} steps</text>'
    )
    labels_at: list[float] = []
    for number, (name, points) in enumerate(sorted(curves.items(), key=lambda each: -each[1][-1][1])):
        places = " ".join(f"{_x(step, last_step)},{_y(value, low)}" for step, value in points)
        dash = _DASHES[number % len(_DASHES)]
        parts.append(f'<polyline class="fl-curve" points="{places}" fill="none" stroke-dasharray="{dash}"/>')
        at = _y(points[-1][1], low) + 4
        while any(abs(at - other) < 13 for other in labels_at):
            at += 13
        labels_at.append(at)
        text = f"{name.removeprefix('val_').replace('_', ' ')} {points[-1][1]:.3f}"
        parts.append(f'<text class="fl-label" x="{WIDTH - _RIGHT + 8}" y="{at:.0f}">{escape(text)}</text>')
    said = ", ".join(f"{name} {points[-1][1]:.3f}" for name, points in curves.items())
    return Markup(
        f'<svg class="fl-chart curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{key}-t">'
        f'<title id="{key}-t">{escape(f"Run {run.name}, last values: {said}")}</title>{"".join(parts)}</svg>'
    )


def roc_svg(curves: Mapping[str, Sequence[Sequence[float]]], key: str, model: str) -> Markup:
    """ROC curves by the name of their set: share of fakes found over share of genuine files called fake."""
    parts = [*_square("genuine files called fake", "fakes found"), _diagonal()]
    for number, (name, points) in enumerate(curves.items()):
        corners: list[str] = []
        before = None
        for reals, fakes in points:
            if before is not None:
                corners.append(f"{_across(reals)},{_up(before)}")
            corners.append(f"{_across(reals)},{_up(fakes)}")
            before = fakes
        dash, y = _DASHES[number % len(_DASHES)], _SQUARE_PX + 18 * number
        parts.append(
            f'<polyline class="fl-curve" points="{" ".join(corners)}" fill="none" stroke-dasharray="{dash}"/>'
            f'<line class="fl-curve" x1="{_LEFT}" x2="{_LEFT + 28}" y1="{y}" y2="{y}" stroke-dasharray="{dash}"/>'
            f'<text class="fl-label" x="{_LEFT + 36}" y="{y + 4}">{escape(name)}</text>'
        )
    said = "; ".join(f"{name}: {_read_out(points)}" for name, points in curves.items())
    height = _SQUARE_PX + 18 * len(curves)
    return _drawn(
        height, key, f"ROC of {model}", f"Fakes found, at the share of genuine files called fake. {said}.", parts
    )


def roc_readings(points: Sequence[Sequence[float]]) -> list[float]:
    """The share of fakes that a ROC curve finds with at most each of the FALSE_ALARMS."""
    return [max((fakes for reals, fakes in points if reals <= share), default=0.0) for share in FALSE_ALARMS]


def _read_out(points: Sequence[Sequence[float]]) -> str:
    rows = zip(FALSE_ALARMS, roc_readings(points), strict=True)
    return ", ".join(f"{100 * fakes:.0f} % at {100 * share:.0f} %" for share, fakes in rows)


def reliability_svg(bins: Sequence[Sequence[float]], key: str, title: str) -> Markup:
    """What was stated against what came true, by bins of (stated, came true, files); larger dots hold more files."""
    most = max((files for _, _, files in bins), default=1)
    parts = [*_square("score, as stated", "share of manipulated files"), _diagonal()]
    for stated, came_true, files in bins:
        size = 3 + 6 * (files / most) ** 0.5
        parts.append(f'<circle class="fl-dot" cx="{_across(stated)}" cy="{_up(came_true)}" r="{size:.1f}"/>')
    said = "; ".join(f"{stated:.2f} stated, {came:.2f} came true, {files} files" for stated, came, files in bins)
    return _drawn(_SQUARE_PX, key, title, f"{said}.", parts)


def _square(across: str, up: str) -> list[str]:
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = _across(share), _up(share)
        parts.append(f'<line class="fl-grid" x1="{_LEFT}" x2="{_LEFT + SIDE}" y1="{y}" y2="{y}"/>')
        parts.append(f'<line class="fl-grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_TOP + SIDE}"/>')
        parts.append(f'<text class="fl-label" x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{share:.2f}</text>')
        parts.append(f'<text class="fl-label" x="{x}" y="{_TOP + SIDE + 16}" text-anchor="middle">{share:.2f}</text>')
    middle, low = _LEFT + SIDE / 2, _TOP + SIDE + 34
    parts.append(f'<text class="fl-label" x="{middle}" y="{low}" text-anchor="middle">{across}</text>')
    turn = f"rotate(-90 {_LEFT - 34} {_TOP + SIDE / 2})"
    place = f'x="{_LEFT - 34}" y="{_TOP + SIDE / 2}"'
    parts.append(f'<text class="fl-label" {place} text-anchor="middle" transform="{turn}">{up}</text>')
    return parts


def _diagonal() -> str:
    ends = f'x1="{_across(0)}" y1="{_up(0)}" x2="{_across(1)}" y2="{_up(1)}"'
    return f'<line class="fl-axis" {ends} stroke-dasharray="3 3"/>'


def _drawn(height: int, key: str, title: str, said: str, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg class="fl-chart curves square" viewBox="-12 0 {_LEFT + SIDE + 32} {height}" role="img"'
        f' aria-labelledby="{key}-t" aria-describedby="{key}-d"><title id="{key}-t">{escape(title)}</title>'
        f'<desc id="{key}-d">{escape(said)}</desc>{"".join(parts)}</svg>'
    )


def _across(share: float) -> float:
    return round(_LEFT + SIDE * share, 1)


def _up(share: float) -> float:
    return round(_TOP + SIDE * (1 - share), 1)


def _x(step: int, last: int) -> float:
    return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * step / last, 1)


def _y(value: float, low: float) -> float:
    return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - (value - low) / (1 - low)), 1)
