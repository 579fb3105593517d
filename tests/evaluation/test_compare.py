"""The paired difference of two AUCs: against pairs counted by hand, and against what repetition gives."""

from __future__ import annotations

import numpy as np
import pytest
from result_maker import made_results

from fakelab.errors import UsageError
from fakelab.evaluation.compare import bootstrap_difference, compare, delong_variance
from fakelab.evaluation.metrics import auc


def drawn(rng: np.random.Generator, count: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    fake = np.arange(2 * count) % 2 == 0
    shared = rng.normal(size=2 * count)
    return shared + fake + rng.normal(size=2 * count), shared + 0.5 * fake + rng.normal(size=2 * count), fake


def test_delongs_deviation_is_that_of_repeated_experiments() -> None:
    rng = np.random.default_rng(0)
    gaps, variances = [], []
    for _ in range(400):
        p, q, fake = drawn(rng)
        gaps.append(auc(p, fake) - auc(q, fake))
        variances.append(delong_variance(p, q, fake))
    assert np.sqrt(np.mean(variances)) == pytest.approx(np.std(gaps), rel=0.1)


def test_bootstrap_and_delong_agree_where_files_are_independent() -> None:
    p, q, fake = drawn(np.random.default_rng(3), 150)
    found = bootstrap_difference(p, q, fake, [str(i) for i in range(300)], rounds=600)
    half = 1.96 * np.sqrt(delong_variance(p, q, fake))
    assert found.value == pytest.approx(auc(p, fake) - auc(q, fake))
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.15)


def test_a_model_does_not_differ_from_itself() -> None:
    found = compare(made_results(), made_results(), rounds=50)
    assert found.difference.low == found.difference.value == found.difference.high == 0.0
    assert found.delong_p == 1.0 and found.left_out == 0


def test_a_better_model_is_better_and_pairing_makes_the_interval_narrow() -> None:
    good = [each for each in made_results(60, seed=1) if each["forgery"] != "subtle"]
    worse = [{**each, "p_fake": 0.5 + 0.2 * (each["p_fake"] - 0.5)} for each in good]
    # The same order of scores: the same AUC, though every score is another.
    assert compare(good, worse, rounds=50).difference.value == 0.0
    rng = np.random.default_rng(0)
    noisy = [{**each, "p_fake": float(np.clip(each["p_fake"] + rng.normal() * 0.6, 0.01, 0.99))} for each in good]
    found = compare(good, noisy, rounds=300)
    assert found.difference.low > 0 and found.delong.low > 0 and found.delong_p < 0.05


def test_files_are_matched_by_path_and_the_rest_is_counted() -> None:
    mine, theirs = made_results(20), made_results(20)
    theirs[0]["p_fake"] = None
    theirs = theirs[:-6]
    found = compare(list(reversed(mine)), theirs, rounds=20)
    assert found.left_out == 7 and found.reals + found.fakes == 53
    assert found.difference.value == 0.0


def test_what_has_no_files_in_common_is_not_compared() -> None:
    others = [{**each, "path": "other " + each["path"]} for each in made_results()]
    with pytest.raises(UsageError, match="cannot be compared"):
        compare(made_results(), others)


def test_hard_predictions_are_not_compared() -> None:
    hard = [{**each, "p_fake": float(each["p_fake"] > 0.5)} for each in made_results()]
    with pytest.raises(UsageError, match="hard predictions"):
        compare(made_results(), hard)
