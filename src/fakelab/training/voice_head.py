"""The head of the voice network: fitted so that what spans sources decides, not what marks one source.

Two directions are added. One is logistic regression in which every source and class weighs the same. The other is a
discriminant: the mean step from a source's real speech to its fakes (and to its twins), measured against the spread
inside sources and between them, so that what only tells one source from another counts for little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakelab.evaluation.metrics import auc
from fakelab.training.voice import CLIP

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Clips as numbers: features (N, F), and of each clip whether it is fake, its source, and whether it is a twin."""

    features: Floats
    fake: Bools
    source: NDArray[np.str_]
    twin: Bools

    def take(self, kept: Bools) -> Rows:
        """The rows where `kept` is True."""
        return Rows(self.features[kept], self.fake[kept], self.source[kept], self.twin[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """logit = clip((features - mean) / scale, CLIP) @ weight + offset."""

    mean: Floats
    scale: Floats
    weight: Floats
    offset: float

    def logits(self, features: Floats) -> Floats:
        """(N,) of (N, F)."""
        return np.asarray(scaled(features, self.mean, self.scale) @ self.weight + self.offset, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """What a fit can be told."""

    strength: float = 0.001
    """Of logistic regression: sklearn's C."""
    ridge: float = 5.0
    """Of the discriminant, in mean variances of the scatter."""
    between: float = 2.0
    """How much the spread between sources weighs in the scatter."""
    twin_share: float = 0.3
    """Weight of twins beside fakes."""


def fit_head(rows: Rows, config: HeadConfig | None = None) -> Head:
    """The head for these rows. Raises ValueError where one class is missing."""
    config = config or HeadConfig()
    if rows.fake.all() or not rows.fake.any():
        raise ValueError("both classes are needed")
    mean, scale = rows.features.mean(axis=0), rows.features.std(axis=0) + 1e-6
    x = scaled(rows.features, mean, scale)
    directions = []
    for weight in (_logistic(x, rows, config), _discriminant(x, rows, config)):
        along = x @ weight
        directions.append(weight / max(float(along.std()), 1e-9))
    weight = np.sum(directions, axis=0)
    along = x @ weight
    middle = (along[rows.fake].mean() + along[~rows.fake].mean()) / 2
    return Head(mean, scale, weight, -float(middle))


def scaled(features: Floats, mean: Floats, scale: Floats) -> Floats:
    """Features in their deviations, clipped."""
    return np.asarray(np.clip((features - mean) / scale, -CLIP, CLIP), dtype=np.float64)


def folds_of(sources: NDArray[np.str_], count: int = 5, seed: int = 0) -> dict[str, int]:
    """Source -> fold: every source in one, shuffled by the seed."""
    names = np.random.RandomState(seed).permutation(sorted(set(sources.tolist())))
    return {str(name): place % count for place, name in enumerate(names)}


def left_out_logits(tested: Rows, trained: Rows, config: HeadConfig | None = None, seed: int = 0) -> Floats:
    """(N,) logits of `tested`, each by a head fitted to the rows of `trained` whose sources lie in other folds."""
    fold = folds_of(np.concatenate([tested.source, trained.source]), seed=seed)
    of_test = np.array([fold[each] for each in tested.source.tolist()])
    of_train = np.array([fold[each] for each in trained.source.tolist()])
    logits = np.zeros(len(tested.fake))
    for each in sorted(set(of_test.tolist())):
        head = fit_head(trained.take(of_train != each), config)
        logits[of_test == each] = head.logits(tested.features[of_test == each])
    return logits


def pooled_auc(logits: Floats, rows: Rows) -> tuple[float, int]:
    """AUC over the clips of sources that hold both classes, and how many such sources there are. No twins."""
    sources = rows.source
    both = {each for each in set(sources.tolist()) if len(set(rows.fake[(sources == each) & ~rows.twin].tolist())) == 2}
    kept = np.isin(sources, sorted(both)) & ~rows.twin
    return auc(logits[kept], rows.fake[kept]), len(both)


def weights(rows: Rows, config: HeadConfig) -> Floats:
    """(N,): every source's share of its class grows with the root of its clips; both classes weigh the same."""
    found = np.zeros(len(rows.fake))
    keys = np.array([f"{s}\t{f}\t{t}" for s, f, t in zip(rows.source, rows.fake, rows.twin, strict=True)])
    for key in sorted(set(keys.tolist())):
        found[keys == key] = 1 / np.sqrt((keys == key).sum())
    found[rows.twin] *= config.twin_share
    for side in (rows.fake, ~rows.fake):
        found[side] /= found[side].sum()
    return found * len(found) / 2


def _logistic(x: Floats, rows: Rows, config: HeadConfig) -> Floats:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=config.strength, max_iter=200, tol=1e-3)
    model.fit(x, rows.fake, sample_weight=weights(rows, config))
    return np.asarray(model.coef_[0], dtype=np.float64)


def _discriminant(x: Floats, rows: Rows, config: HeadConfig) -> Floats:
    steps: dict[bool, list[Floats]] = {False: [], True: []}
    scatter, real_means = [], []
    for source in sorted(set(rows.source.tolist())):
        own = rows.source == source
        real = own & ~rows.fake
        if real.any():
            real_means.append(x[real].mean(axis=0))
        for twin in (False, True):
            made = own & rows.fake & (rows.twin == twin)
            if real.any() and made.any():
                steps[twin].append(x[made].mean(axis=0) - x[real].mean(axis=0))
        for group in (real, own & rows.fake & ~rows.twin, own & rows.fake & rows.twin):
            if group.any():
                scatter.append((x[group] - x[group].mean(axis=0)) * group.sum() ** -0.25)
    shares = {False: 1.0, True: config.twin_share}
    step = sum((shares[twin] * np.mean(found, axis=0) for twin, found in steps.items() if found), np.zeros(x.shape[1]))
    for means in (real_means, steps[False]):
        if means:
            scatter.append((np.array(means) - np.mean(means, axis=0)) * np.sqrt(config.between))
    z = np.concatenate(scatter)
    z /= np.sqrt((z**2).sum(axis=1).mean() * len(z) / z.shape[1]) + 1e-12
    # (z'z + ridge)^-1 step, by the smaller of the two matrices.
    inner = np.linalg.solve(z @ z.T + config.ridge * np.eye(len(z)), z @ step)
    return np.asarray((step - z.T @ inner) / config.ridge, dtype=np.float64)
