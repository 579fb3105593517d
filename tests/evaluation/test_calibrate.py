"""Calibration, lines, and the rate that is stated for sources left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakelab.errors import UnknownNameError, UsageError
from fakelab.evaluation.calibrate import (
    HIGHEST,
    calibrate,
    calibrate_card,
    error_rates,
    platt,
    source_weights,
    weighted_line,
)
from fakelab.models.card import load_card, read_card, write_card
from fakelab.verdict import sigmoid


def results(seed: int = 0, *, shift: float = 0.0, sources: int = 12, each: int = 12) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    made = []
    for source in range(sources):
        offset = rng.normal() * shift
        for _ in range(each):
            made.append(
                {"label": "real", "source": f"s{source}", "logit": float(rng.normal() - 2 + offset), "people": 1}
            )
            made.append(
                {"label": "fake", "source": f"s{source}", "logit": float(rng.normal() + 2 + offset), "people": 1}
            )
    return made


def test_stated_probabilities_come_true_on_new_files() -> None:
    found = calibrate(results(0))
    fresh = results(1)
    p = np.array([sigmoid(found.slope * each["logit"] + found.offset) for each in fresh])
    fake = np.array([each["label"] == "fake" for each in fresh])
    assert abs(p[fake].mean() - 1) < 0.1
    assert abs(p.mean() - 0.5) < 0.05


def test_the_lines_are_in_order_and_hold_on_new_files() -> None:
    found = calibrate(results(0))
    assert found.unsure <= found.moderate <= found.strong
    fresh = np.array([sigmoid(found.slope * r["logit"] + found.offset) for r in results(2) if r["label"] == "real"])
    assert (fresh >= found.strong).mean() <= 0.03
    assert (fresh >= found.moderate).mean() <= 0.09


def test_sources_that_differ_show_in_the_left_out_rate() -> None:
    same, different = calibrate(results(3, shift=0.0)), calibrate(results(3, shift=2.5))
    assert different.false_alarms_moderate > same.false_alarms_moderate


def test_a_huge_source_does_not_drown_the_others() -> None:
    weights = source_weights(np.array(["big"] * 400 + ["small"] * 4))
    assert weights[:400].sum() / weights[400:].sum() == pytest.approx(10.0)


def test_the_slope_is_found() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(size=4000) * 3
    fake = rng.random(4000) < 1 / (1 + np.exp(-(0.7 * logits)))
    slope, offset = platt(logits, fake, np.ones(4000))
    assert slope == pytest.approx(0.7, rel=0.1)
    assert offset == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.2, 0.5])
def test_a_line_lets_no_more_than_its_share_through(share: float) -> None:
    rng = np.random.default_rng(0)
    reals = rng.normal(size=157)
    line = weighted_line(reals, np.ones(157), share)
    assert (reals >= line).mean() <= share


def test_files_that_could_not_be_scored_do_not_count_as_genuine_ones() -> None:
    made = results(0)
    more = [*made, *({"label": "real", "source": "x", "logit": None, "people": 0} for _ in range(50))]
    assert calibrate(more).reals == calibrate(made).reals


def test_too_few_files_are_refused() -> None:
    with pytest.raises(UsageError, match="too few"):
        calibrate(results(0, sources=1, each=3))


def test_files_that_the_gate_holds_back_move_no_line_and_count_as_no_alarm() -> None:
    plain = results(0)
    gifs = [
        {"label": "real", "source": "gifs", "logit": 9.0, "people": 1, "reasons": ["few_colours", "above_strong"]}
        for _ in range(10)
    ]
    without, with_gifs = calibrate(plain), calibrate(plain + gifs)
    assert (with_gifs.slope, with_gifs.strong, with_gifs.moderate) == (without.slope, without.strong, without.moderate)
    assert with_gifs.reals == without.reals + 10 and with_gifs.real_sources == without.real_sources + 1
    assert with_gifs.false_alarms_moderate == pytest.approx(
        without.false_alarms_moderate * without.reals / with_gifs.reals
    )


def test_an_experimental_model_gives_moderate_evidence_at_most_and_from_the_strong_line_on(tmp_path: Path) -> None:
    measured = tmp_path / "r.jsonl"
    measured.write_text("".join(json.dumps({"path": str(n), **row}) + "\n" for n, row in enumerate(results(0))))
    lines = {}
    for highest in HIGHEST:
        folder = tmp_path / highest
        folder.mkdir()
        write_card(load_card("tiny"), folder)
        printed = calibrate_card(folder, {"photo": measured}, highest=highest)
        lines[highest] = read_card(folder / "card.json").thresholds["photo"]
    assert lines["moderate"]["strong"] > 1, "no probability reaches it"
    assert lines["moderate"]["moderate"] == lines["strong"]["strong"]
    assert lines["moderate"]["unsure"] == lines["strong"]["moderate"]
    assert "strong_evidence" not in lines["moderate"]["error_rates"]
    assert "the highest that is given" in printed[0]
    with pytest.raises(UnknownNameError, match="no highest level is called 'strongest'"):
        calibrate_card(folder, {"photo": measured}, highest="strongest")


def test_copies_move_the_lines_and_count_as_no_further_file() -> None:
    rng = np.random.default_rng(0)
    results = [
        {"label": label, "source": f"s{n % 6}", "logit": float(logit), "people": 0, "copy": copy}
        for label, middle in (("real", -1.0), ("fake", 2.0))
        for n, logit in enumerate(rng.normal(middle, 1.0, 60))
        for copy in (False, True)
    ]
    with_copies, alone = calibrate(results), calibrate([each for each in results if not each["copy"]])
    assert (with_copies.reals, with_copies.fakes, with_copies.with_copies) == (60, 60, True)
    assert (alone.reals, alone.with_copies) == (60, False)
    assert "(60 files and a degraded copy of each)" in error_rates(with_copies, "photo")["all"]
    assert "(60 files)" in error_rates(alone, "photo")["all"]
    few = [each for each in results if each["label"] == "fake" or each["source"] in ("s0",)]
    with pytest.raises(UsageError, match="10 real beside copies"):
        calibrate(few)
