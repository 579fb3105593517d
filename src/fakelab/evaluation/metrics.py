"""Metrics of scores against labels, with bootstrap intervals over groups.

Scores are probabilities or logits, never hard predictions; labels are True for fake. numpy alone, and SciPy
for exact intervals of shares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fakelab.errors import UsageError
from fakelab.evaluation.isotonic import balanced

Metric = Callable[[NDArray[np.float64], NDArray[np.bool_]], float]


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


def auc(scores: NDArray[np.float64], fake: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the share of (fake, real) pairs in which the fake scores higher, ties counting half."""
    positives, negatives = scores[fake], scores[~fake]
    if not len(positives) or not len(negatives):
        return float("nan")
    order = np.sort(negatives)
    below = np.searchsorted(order, positives, "left")
    not_above = np.searchsorted(order, positives, "right")
    return float((below + not_above).mean() / (2 * len(negatives)))


def eer(scores: NDArray[np.float64], fake: NDArray[np.bool_]) -> float:
    """Equal error rate: where the share of reals called fake meets the share of fakes called real."""
    if fake.all() or not fake.any():
        return float("nan")
    lines = np.concatenate([[-np.inf], np.unique(scores), [np.inf]])
    reals, fakes = np.sort(scores[~fake]), np.sort(scores[fake])
    false_alarms = 1 - np.searchsorted(reals, lines, "left") / len(reals)
    misses = np.searchsorted(fakes, lines, "left") / len(fakes)
    at = int(np.argmin(np.abs(false_alarms - misses)))
    return float((false_alarms[at] + misses[at]) / 2)


def tpr_at_fpr(scores: NDArray[np.float64], fake: NDArray[np.bool_], fpr: float) -> float:
    """Share of fakes above the lowest line that at most `fpr` of the reals reach."""
    if fake.all() or not fake.any():
        return float("nan")
    return float((scores[fake] > line_for_fpr(scores[~fake], fpr)).mean())


def line_for_fpr(reals: NDArray[np.float64], fpr: float) -> float:
    """The lowest score that at most a share `fpr` of `reals` lies strictly above."""
    ordered = np.sort(reals)[::-1]
    return float(ordered[min(len(ordered) - 1, int(np.floor(fpr * len(ordered))))])


def average_precision(scores: NDArray[np.float64], fake: NDArray[np.bool_]) -> float:
    """Mean over the fakes of the share of fakes among all that score at least as high, equal scores at one time."""
    if fake.all() or not fake.any():
        return float("nan")
    lines, counts = np.unique(-scores, return_counts=True)
    caught = np.searchsorted(np.sort(-scores[fake]), lines, "right")
    gained = np.diff(caught, prepend=0)
    return float((gained * caught / np.cumsum(counts)).sum() / fake.sum())


def accuracy(p: NDArray[np.float64], fake: NDArray[np.bool_], line: float = 0.5) -> float:
    """Share of files on the right side of `line`; a p_fake on the line counts as fake."""
    return float(((p >= line) == fake).mean()) if len(p) else float("nan")


def brier(p: NDArray[np.float64], fake: NDArray[np.bool_]) -> float:
    """Mean squared distance between the stated probability and the truth (Brier 1950)."""
    return float(((p - fake) ** 2).mean()) if len(p) else float("nan")


def balanced_accuracy(p: NDArray[np.float64], fake: NDArray[np.bool_], line: float = 0.5) -> float:
    """Mean of the shares of fakes at or over `line` and of reals below it; not a number where a class is missing."""
    if fake.all() or not fake.any():
        return float("nan")
    return float(((p[fake] >= line).mean() + (p[~fake] < line).mean()) / 2)


def clopper_pearson(count: int, total: int) -> tuple[float, float]:
    """The exact 95 % interval of a share of `total` (Clopper and Pearson 1934), 2.5 % on either side."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, count, total - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, total - count)) if count < total else 1.0
    return low, high


def roc(scores: NDArray[np.float64], fake: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The curve's corners from (0, 0) to (1, 1): share of reals, and of fakes, at or over each score."""
    lines = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    reals, fakes = np.sort(scores[~fake]), np.sort(scores[fake])
    above = [1 - np.searchsorted(part, lines, "left") / max(1, len(part)) for part in (reals, fakes)]
    return above[0], above[1]


@dataclass(frozen=True, slots=True)
class Bin:
    """One column of a reliability diagram: what was stated on average, what came true, of how many files."""

    stated: float
    came_true: float
    files: int
    share: float
    """Its share of the weight of all files."""


def reliability(
    p: NDArray[np.float64], fake: NDArray[np.bool_], bins: int = 15, weights: NDArray[np.float64] | None = None
) -> list[Bin]:
    """The bins of `ece` that hold files, from low to high; every file weighs the same unless `weights` are given."""
    w = np.ones(len(p)) if weights is None else weights
    which = np.minimum((p * bins).astype(int), bins - 1)
    parts = [which == each for each in np.unique(which)]
    means = [(np.average(p[part], weights=w[part]), np.average(fake[part], weights=w[part])) for part in parts]
    return [
        Bin(float(stated), float(true), int(part.sum()), float(w[part].sum() / w.sum()))
        for (stated, true), part in zip(means, parts, strict=True)
    ]


def refuse_hard_predictions(scores: NDArray[np.float64]) -> None:
    """Raises UsageError where scores are nothing but 0 and 1: their AUC is one point of the curve, not its area."""
    if len(scores) > 2 and set(np.unique(scores).tolist()) <= {0.0, 1.0}:
        raise UsageError(
            "these scores are hard predictions", f"all {len(scores)} are 0 or 1", "Give probabilities or logits."
        )


def ece(
    p: NDArray[np.float64], fake: NDArray[np.bool_], bins: int = 15, weights: NDArray[np.float64] | None = None
) -> float:
    """Expected calibration error: mean gap between stated probability and share of fakes, weighted by bin."""
    return float(sum(abs(each.stated - each.came_true) * each.share for each in reliability(p, fake, bins, weights)))


def ece_by_chance(
    p: NDArray[np.float64], bins: int = 15, *, odds: float = 1.0, rounds: int = 500, seed: int = 0
) -> tuple[float, float]:
    """The `ece` of a perfectly calibrated model with these very scores: its mean, and what 95 % of draws stay below.

    Few files in a bin miss their stated share by chance, so that the error of few files is never near 0. Labels are
    drawn from the scores (Broecker and Smith 2007, "Increasing the reliability of reliability diagrams"). The scores
    are meant at even odds; `odds` is the number of fakes for each genuine file, and each draw is weighed by it, not by
    its own share of fakes: scores that are all too low would else pass as chance.
    """
    rng = np.random.default_rng(seed)
    share = odds * p / (odds * p + 1 - p)
    drawn = []
    for _ in range(rounds):
        fake = rng.random(len(p)) < share
        drawn.append(ece(p, fake, bins, np.where(fake, 1.0 / odds, 1.0)))
    return float(np.mean(drawn)), float(np.percentile(drawn, 95))


def even_ece(p: NDArray[np.float64], fake: NDArray[np.bool_]) -> tuple[float, float, float]:
    """ECE with both classes weighing the same, since p_fake is meant at even odds; its mean and 95 % line by chance.

    Not numbers where one class alone was scored.
    """
    if fake.all() or not fake.any():
        return float("nan"), float("nan"), float("nan")
    odds = float(fake.sum() / (~fake).sum())
    return ece(p, fake, weights=balanced(np.ones(len(p)), fake)), *ece_by_chance(p, odds=odds)


def with_interval(
    metric: Metric, scores: ArrayLike, fake: ArrayLike, groups: Sequence[str], *, rounds: int = 2000, seed: int = 0
) -> Interval:
    """The metric and its 95 % interval, whole groups (identities, originals) being drawn with replacement."""
    values, labels = np.asarray(scores, dtype=np.float64), np.asarray(fake, dtype=bool)
    names, which = np.unique(np.asarray(groups), return_inverse=True)
    rows_of = [np.flatnonzero(which == g) for g in range(len(names))]
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(rounds):
        rows = np.concatenate([rows_of[g] for g in rng.integers(0, len(names), len(names))])
        value = metric(values[rows], labels[rows])
        if np.isfinite(value):
            drawn.append(value)
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn else (float("nan"), float("nan"))
    return Interval(metric(values, labels), float(low), float(high))
