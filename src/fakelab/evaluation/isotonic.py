"""Calibration curves: Platt's straight line, or an isotonic curve that bends where the files say so.

Isotonic regression gives steps, on which all scores are equal; here its steps are joined at their centres (Oron and
Flournoy 2017), so that a higher logit always means more evidence. Beyond the outermost centres the curve goes on with
the slope of the straight line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DOUBT = 2.0
"""Files' weight of doubt that every step is given, half of it for each class: no step is ever certain."""
LEAST_RISE = 0.05
"""The curve rises by at least this share of the straight line's slope."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Logit -> evidence, in log-odds at even odds. Without `knots` (logit, evidence) it is a straight line."""

    slope: float
    offset: float
    knots: tuple[tuple[float, float], ...] = ()

    def evidence(self, logits: Floats) -> Floats:
        if not self.knots:
            return self.slope * logits + self.offset
        x, y = (np.array(each) for each in zip(*self.knots, strict=True))
        inside = np.interp(logits, x, y)
        beyond = np.minimum(logits - x[0], 0.0) + np.maximum(logits - x[-1], 0.0)
        return np.asarray(inside + self.slope * beyond, dtype=np.float64)


def balanced(weights: Floats, fake: Bools) -> Floats:
    """The weights, scaled so that both classes weigh the same and the mean is 1."""
    weights = weights.copy()
    for label in (True, False):
        weights[fake == label] *= 0.5 * len(fake) / weights[fake == label].sum()
    return weights


def isotonic(logits: Floats, fake: Bools, weights: Floats, line: Curve) -> Curve:
    """The isotonic curve of the share of fakes, classes weighing the same; `line` goes on beyond its ends."""
    weights = balanced(weights, fake)
    order = np.argsort(logits, kind="stable")
    x, y, w = logits[order], fake[order].astype(np.float64), weights[order]
    centres, fakes, sizes = _steps(x, y, w)
    shares = (fakes + DOUBT / 2) / (sizes + DOUBT)
    evidence = np.log(shares / (1 - shares))
    knots: list[tuple[float, float]] = []
    for at, value in zip(centres, evidence, strict=True):
        if knots:
            value = max(value, knots[-1][1] + LEAST_RISE * line.slope * (at - knots[-1][0]))
        knots.append((float(at), float(value)))
    return Curve(line.slope, line.offset, tuple(knots))


def _steps(x: Floats, y: Floats, w: Floats) -> tuple[Floats, Floats, Floats]:
    """Centre, weight of fakes and weight of each step of the isotonic regression (pooled adjacent violators)."""
    steps: list[list[float]] = []
    for at, fake, weight in zip(x, y, w, strict=True):
        steps.append([at * weight, fake * weight, weight])
        # Equal logits are one step, and so are those in the wrong order.
        while len(steps) > 1 and _not_rising(steps[-2], steps[-1]):
            last = steps.pop()
            steps[-1] = [a + b for a, b in zip(steps[-1], last, strict=True)]
    moments, fakes, sizes = (np.array(each) for each in zip(*steps, strict=True))
    return moments / sizes, fakes, sizes


def _not_rising(first: list[float], second: list[float]) -> bool:
    same_place = second[0] / second[2] - first[0] / first[2] <= 1e-9
    return same_place or second[1] / second[2] <= first[1] / first[2]
