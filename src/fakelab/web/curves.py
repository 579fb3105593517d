"""Curves of a training run as an SVG: values over steps, each curve named at its end, told apart by its dash."""

from __future__ import annotations

from html import escape

from markupsafe import Markup

from fakelab.service.trainings import Training

WIDTH, HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 130, 12, 24
_DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 4", "10 4")


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


def _x(step: int, last: int) -> float:
    return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * step / last, 1)


def _y(value: float, low: float) -> float:
    return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - (value - low) / (1 - low)), 1)
