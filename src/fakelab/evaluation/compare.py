"""Two models on the same files: the difference of their AUCs, with intervals that know the files are the same.

The bootstrap draws groups (identities, originals) as every other interval here does, and is the one to quote. DeLong's
interval (1988) takes files for independent of each other, which files of one person are not; it stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakelab.errors import UsageError
from fakelab.evaluation.metrics import Interval, auc, refuse_hard_predictions
from fakelab.evaluation.tables import MIN_FILES, Result, arrays

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Comparison:
    """AUC of one set of results minus that of another, on the files that both scored."""

    reals: int
    fakes: int
    left_out: int
    """Files that only one of the two has, or that one of the two could not score."""
    first: float
    second: float
    difference: Interval
    """first - second, by the bootstrap over groups."""
    delong: Interval
    delong_p: float
    """Two-sided, for no difference at all."""


def compare(results: Sequence[Result], others: Sequence[Result], *, rounds: int = 2000, seed: int = 0) -> Comparison:
    """The paired comparison; files are matched by path. Raises UsageError where too few are common to both."""
    theirs = {each["path"]: each for each in others}
    ours = {each["path"] for each in results}
    pairs = [(each, theirs[each["path"]]) for each in results if each["path"] in theirs]
    pairs = [(a, b) for a, b in pairs if a["p_fake"] is not None and b["p_fake"] is not None]
    p, fake, groups = arrays([a for a, _ in pairs])
    q = np.array([b["p_fake"] for _, b in pairs], np.float64)
    reals, fakes = int((~fake).sum()), int(fake.sum())
    if min(reals, fakes) < MIN_FILES:
        raise UsageError(
            "the two results cannot be compared",
            f"{reals} real and {fakes} fake files were scored in both",
            f"Evaluate the same list with both models; {MIN_FILES} of each are needed.",
        )
    refuse_hard_predictions(p)
    refuse_hard_predictions(q)
    deviation = math.sqrt(max(0.0, delong_variance(p, q, fake)))
    gap = auc(p, fake) - auc(q, fake)
    z = abs(gap) / deviation if deviation else (math.inf if gap else 0.0)
    return Comparison(
        reals,
        fakes,
        len(ours | theirs.keys()) - len(pairs),
        auc(p, fake),
        auc(q, fake),
        bootstrap_difference(p, q, fake, groups, rounds=rounds, seed=seed),
        Interval(gap, gap - 1.96 * deviation, gap + 1.96 * deviation),
        math.erfc(z / math.sqrt(2)),
    )


def bootstrap_difference(
    p: Floats, q: Floats, fake: Bools, groups: Sequence[str], *, rounds: int = 2000, seed: int = 0
) -> Interval:
    """AUC of `p` minus AUC of `q` with its 95 % interval, the same groups being drawn for both."""
    names, which = np.unique(np.asarray(groups), return_inverse=True)
    rows_of = [np.flatnonzero(which == each) for each in range(len(names))]
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(rounds):
        rows = np.concatenate([rows_of[each] for each in rng.integers(0, len(names), len(names))])
        value = auc(p[rows], fake[rows]) - auc(q[rows], fake[rows])
        if math.isfinite(value):
            drawn.append(value)
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn else (math.nan, math.nan)
    return Interval(auc(p, fake) - auc(q, fake), float(low), float(high))


def delong_variance(p: Floats, q: Floats, fake: Bools) -> float:
    """The variance of AUC(p) - AUC(q) on the same files (DeLong, DeLong and Clarke-Pearson 1988)."""
    by_fake, by_real = zip(*(_placements(each, fake) for each in (p, q)), strict=True)
    gap_fake, gap_real = by_fake[0] - by_fake[1], by_real[0] - by_real[1]
    return float(gap_fake.var(ddof=1) / len(gap_fake) + gap_real.var(ddof=1) / len(gap_real))


def _placements(scores: Floats, fake: Bools) -> tuple[Floats, Floats]:
    """For every fake the share of reals below it, and for every real the share of fakes above it; ties count half."""
    fakes, reals = scores[fake], scores[~fake]
    above = (fakes[:, None] > reals[None, :]) + 0.5 * (fakes[:, None] == reals[None, :])
    return above.mean(1), above.mean(0)
