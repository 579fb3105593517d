"""Metrics against hand-made numbers and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakelab.errors import UsageError
from fakelab.evaluation.metrics import (
    accuracy,
    auc,
    average_precision,
    brier,
    ece,
    ece_by_chance,
    eer,
    line_for_fpr,
    refuse_hard_predictions,
    tpr_at_fpr,
    with_interval,
)

FAKE = np.array([False, False, False, True, True, True])


def test_auc_is_of_scores_and_not_of_hard_predictions() -> None:
    scores = np.array([0.1, 0.6, 0.7, 0.65, 0.8, 0.9])
    assert auc(scores, FAKE) == pytest.approx(8 / 9)
    assert auc((scores > 0.5).astype(float), FAKE) != pytest.approx(auc(scores, FAKE))


def test_auc_agrees_with_scikit_learn_with_ties() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    fake = rng.random(300) < 0.4
    scores = np.round(rng.normal(size=300) + fake, 1)
    assert auc(scores, fake) == pytest.approx(sklearn.roc_auc_score(fake, scores))


def test_auc_without_one_class_is_not_a_number() -> None:
    assert np.isnan(auc(np.array([0.1, 0.2]), np.array([True, True])))


def test_a_perfect_score_has_no_error_and_a_reversed_one_only_errors() -> None:
    scores = np.array([0.0, 0.1, 0.2, 0.7, 0.8, 0.9])
    assert eer(scores, FAKE) == 0.0
    assert tpr_at_fpr(scores, FAKE, 0.01) == 1.0
    assert auc(-scores, FAKE) == 0.0


def test_the_line_for_a_false_alarm_rate_lets_no_more_through() -> None:
    reals = np.arange(100, dtype=float)
    for share in (0.0, 0.01, 0.05, 0.5):
        assert (reals > line_for_fpr(reals, share)).mean() <= share


def test_ece_is_zero_when_stated_probabilities_come_true() -> None:
    p = np.array([0.25] * 4 + [0.75] * 4)
    fake = np.array([True, False, False, False, True, True, True, False])
    assert ece(p, fake) == pytest.approx(0.0)
    assert ece(1 - p, fake) == pytest.approx(0.5)


def test_the_interval_holds_the_value_and_is_wider_when_files_share_groups() -> None:
    rng = np.random.default_rng(1)
    fake = np.arange(80) % 2 == 0
    scores = rng.normal(size=80) + fake
    alone = with_interval(auc, scores, fake, [str(i) for i in range(80)], rounds=300)
    repeated = with_interval(auc, np.tile(scores, 4), np.tile(fake, 4), [str(i % 80) for i in range(320)], rounds=300)
    assert alone.low <= alone.value <= alone.high
    # Four copies of every file are no news: the interval must not shrink.
    assert repeated.high - repeated.low == pytest.approx(alone.high - alone.low, rel=0.25)


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), st.booleans()), min_size=2, max_size=40).filter(
        lambda rows: 0 < sum(fake for _, fake in rows) < len(rows)
    )
)
def test_average_precision_and_brier_are_those_of_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    from sklearn.metrics import average_precision_score, brier_score_loss

    p, fake = np.array([each for each, _ in rows]), np.array([each for _, each in rows])
    assert average_precision(p, fake) == pytest.approx(average_precision_score(fake, p))
    assert brier(p, fake) == pytest.approx(brier_score_loss(fake, p))
    assert accuracy(p, fake) == pytest.approx(np.mean((p >= 0.5) == fake))


def test_hard_predictions_are_refused() -> None:
    with pytest.raises(UsageError, match="hard predictions"):
        refuse_hard_predictions(np.array([0.0, 1.0, 1.0]))
    refuse_hard_predictions(np.array([0.0, 1.0, 0.5]))


def test_the_error_of_a_calibrated_model_is_what_chance_gives_and_that_of_another_is_more() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.02, 0.98, 150)
    mean, most = ece_by_chance(p)
    truths = [rng.random(150) < p for _ in range(200)]
    found = [ece(p, truth) for truth in truths]
    assert np.mean(found) == pytest.approx(mean, abs=0.01)
    assert np.mean([each <= most for each in found]) == pytest.approx(0.95, abs=0.05)
    assert 0.05 < mean < most
    bold = np.where(p > 0.5, 0.97, 0.03)
    assert ece(bold, truths[0]) > ece_by_chance(bold)[1]


def test_the_more_files_the_less_chance_gives() -> None:
    rng = np.random.default_rng(1)
    few, many = (ece_by_chance(rng.uniform(0, 1, count))[0] for count in (60, 6000))
    assert many < 0.02 < 0.08 < few


def test_with_few_fakes_chance_is_what_calibrated_scores_give_and_shifted_scores_give_more() -> None:
    """Scores that are right at even odds, one fake for four genuine files, both classes weighing the same."""
    rng = np.random.default_rng(2)
    fake = np.arange(400) < 80
    truths, lows = [], []
    for _ in range(60):
        # Two normal distributions of evidence, a distance d apart, have log-odds d * x at even odds.
        evidence = 1.5 * rng.normal(np.where(fake, 0.75, -0.75))
        for found, shift in ((truths, 0.0), (lows, -1.5)):
            p = 1 / (1 + np.exp(-(evidence + shift)))
            chance = ece_by_chance(p, odds=0.25, rounds=100)
            found.append((ece(p, fake, weights=np.where(fake, 4.0, 1.0)), *chance))
    error, mean, most = np.array(truths).T
    assert error.mean() == pytest.approx(mean.mean(), abs=0.015)
    assert (error <= most).mean() > 0.85
    error, _, most = np.array(lows).T
    assert (error > most).all(), "scores that are all too low are no chance"
