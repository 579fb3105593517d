"""Isotonic calibration: the curve, when it is chosen, and that an analysis reads it from the card as it was fitted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakelab.cli import main
from fakelab.evaluation.calibrate import LEAST_GAIN, calibrate
from fakelab.evaluation.isotonic import Curve, balanced, isotonic
from fakelab.evaluation.metrics import ece, reliability
from fakelab.models.card import WEIGHTS, read_card
from fakelab.records import Kind
from fakelab.verdict import rules_of


def sources(truth: Any, seed: int = 0, *, count: int = 20, each: int = 40) -> list[dict[str, Any]]:
    """Files of `count` sources whose share of fakes at a logit is `truth` of it."""
    rng = np.random.default_rng(seed)
    rows = []
    for source in range(count):
        for logit in rng.uniform(-4, 4, each):
            label = "fake" if rng.random() < truth(logit) else "real"
            rows.append({"label": label, "source": f"s{source}", "logit": float(logit), "people": 1})
    return rows


def straight(logit: float) -> float:
    return float(1 / (1 + np.exp(-0.8 * logit)))


def bent(logit: float) -> float:
    """Nothing is learnt above 0: half of the high scores are genuine."""
    return 0.02 if logit < -1 else 0.5 if logit < 3 else 0.98


def fitted(rows: list[dict[str, Any]]) -> Curve:
    logits = np.array([each["logit"] for each in rows])
    fake = np.array([each["label"] == "fake" for each in rows])
    return isotonic(logits, fake, np.ones(len(rows)), Curve(1.0, 0.0))


def test_the_line_is_kept_where_it_is_right_and_the_curve_is_chosen_where_it_is_not() -> None:
    plain, curved = calibrate(sources(straight)), calibrate(sources(bent))
    assert plain.knots == () and len(curved.knots) > 2
    assert curved.ece_of["isotonic"] <= curved.ece_of["platt"] - LEAST_GAIN
    assert curved.ece == curved.ece_of["isotonic"] and plain.ece == plain.ece_of["platt"]


def test_its_probabilities_come_true_on_new_sources() -> None:
    found, fresh = calibrate(sources(bent)), sources(bent, seed=9)
    curve = Curve(found.slope, found.offset, found.knots)
    line = calibrate(sources(bent), "platt")
    logits = np.array([each["logit"] for each in fresh])
    fake = np.array([each["label"] == "fake" for each in fresh])
    stated = [1 / (1 + np.exp(-each.evidence(logits))) for each in (curve, Curve(line.slope, line.offset))]
    weights = balanced(np.ones(len(fake)), fake)
    assert ece(stated[0], fake, weights=weights) < 0.05 < ece(stated[1], fake, weights=weights)


def test_the_error_is_measured_on_sources_that_were_left_out() -> None:
    # Scores that hold inside a source alone: each source's own shift is learnt by nobody else.
    rng = np.random.default_rng(0)
    rows = []
    for source in range(5):
        shift = 2.0 * rng.normal()
        for _ in range(30):
            fake = bool(rng.random() < 0.5)
            logit = float(shift + rng.normal() + 4 * fake)
            rows.append({"label": "fake" if fake else "real", "source": f"s{source}", "logit": logit, "people": 1})
    for method in ("platt", "isotonic"):
        found = calibrate(rows, method)
        logits = np.array([each["logit"] for each in rows])
        fake = np.array([each["label"] == "fake" for each in rows])
        p = 1 / (1 + np.exp(-Curve(found.slope, found.offset, found.knots).evidence(logits)))
        assert found.ece > ece(p, fake, weights=balanced(np.ones(len(fake)), fake)) + 0.01


def test_without_sources_to_leave_out_there_is_no_error_and_no_curve() -> None:
    found = calibrate(sources(bent, count=1, each=200))
    assert found.knots == () and np.isnan(found.ece) and found.reliability == ()


@given(
    st.lists(st.tuples(st.sampled_from([-3.0, -1.0, 0.0, 0.5, 2.0]), st.booleans()), min_size=4, max_size=60).filter(
        lambda rows: 0 < sum(fake for _, fake in rows) < len(rows)
    )
)
def test_a_higher_logit_is_more_evidence_whatever_the_files_say(rows: list[tuple[float, bool]]) -> None:
    curve = isotonic(
        np.array([x for x, _ in rows]), np.array([fake for _, fake in rows]), np.ones(len(rows)), Curve(0.7, 0.1)
    )
    at = np.linspace(-6, 6, 200)
    assert (np.diff(curve.evidence(at)) > 0).all()
    assert np.isfinite(curve.evidence(at)).all()


def test_the_steps_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.isotonic")
    rng = np.random.default_rng(1)
    logits = rng.normal(size=120)
    fake = rng.random(120) < 1 / (1 + np.exp(-2 * logits))
    curve = fitted([{"logit": x, "label": "fake" if y else "real"} for x, y in zip(logits, fake, strict=True)])
    weights = np.where(fake, 0.5 * 120 / fake.sum(), 0.5 * 120 / (~fake).sum())
    theirs = sklearn.IsotonicRegression().fit(logits, fake.astype(float), weights).predict(logits)
    assert len(curve.knots) == len(np.unique(theirs.round(9)))


def test_an_analysis_reads_the_curve_as_it_was_fitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, results = tmp_path / "mine", tmp_path / "r.jsonl"
    shutil.copytree(WEIGHTS / "tiny", folder)
    rows = sources(bent)
    results.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    assert main(["calibrate", str(folder), "--video", str(results)]) == 0
    assert "video: isotonic" in capsys.readouterr().out
    card = read_card(folder / "card.json")
    own = card.calibration["video"]
    assert own["method"] == "isotonic" and own["ece"] == own["ece_by_method"]["isotonic"] < 0.05
    assert sum(files for *_, files in own["reliability"]) == len(rows)
    assert f"<desc>stated {own['reliability'][0][0]:.2f}" in (folder / "reliability-video.svg").read_text("utf-8")
    rules, found = rules_of(card.calibration, card.thresholds, card.gate, Kind.VIDEO, 0.5), calibrate(rows)
    curve = Curve(found.slope, found.offset, found.knots)
    for logit in (-9.0, -4.0, -1.0, 0.0, 1.7, 3.9, 12.0):
        assert rules.evidence(logit) == pytest.approx(float(curve.evidence(np.array([logit]))[0]), abs=1e-3)
    assert rules_of(card.calibration, card.thresholds, card.gate, Kind.PHOTO, 0.5).curve == ()


def test_a_method_can_be_asked_for_and_an_unknown_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, results = tmp_path / "mine", tmp_path / "r.jsonl"
    shutil.copytree(WEIGHTS / "tiny", folder)
    results.write_text("".join(json.dumps(each) + "\n" for each in sources(bent)), encoding="utf-8")
    assert main(["calibrate", str(folder), "--video", str(results), "--method", "platt"]) == 0
    assert "curve" not in read_card(folder / "card.json").calibration["video"]
    assert main(["calibrate", str(folder), "--video", str(results), "--method", "isotonc"]) == 2
    assert "Did you mean 'isotonic'" in capsys.readouterr().err


def test_weights_make_both_classes_count_the_same() -> None:
    p = np.array([0.9, 0.9, 0.9, 0.1])
    fake = np.array([True, True, True, False])
    even = np.array([1 / 3, 1 / 3, 1 / 3, 1.0])
    assert [each.share for each in reliability(p, fake, weights=even)] == pytest.approx([0.5, 0.5])
    assert ece(p, fake, weights=even) == pytest.approx(0.1)
