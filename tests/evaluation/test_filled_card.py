"""A card filled in from results: every number recomputed, nothing of another model, nothing by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from fakelab.errors import UsageError
from fakelab.evaluation.card import Measurement, fill_card, measured, read_measurement, roc_points, weak_spots
from fakelab.evaluation.metrics import auc
from fakelab.evaluation.run import measure
from fakelab.models.card import WEIGHTS, read_card

THRESHOLDS = {"video": {"strong": 0.9, "moderate": 0.7}}


def made(count: int = 20, made_by: str = "tiny 1 abc", line: float = 0.7) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    rows = []
    for at in range(count):
        for label, forgery in (("real", ""), ("fake", "easy"), ("fake", "hard")):
            p = float(np.clip(rng.normal({"": 0.3, "easy": 0.9, "hard": 0.32}[forgery], 0.1), 0.01, 0.99))
            level = "moderate_evidence" if p >= line else "no_evidence_found"
            rows.append(
                {
                    "path": f"{forgery}{at}.mp4",
                    "label": label,
                    "forgery": forgery,
                    "source": "s",
                    "group": str(at),
                    "p_fake": p,
                    "level": level,
                    "kind": "video",
                    "measured": {"threshold_moderate": line},
                    "made_by": made_by,
                }
            )
    return rows


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(WEIGHTS / "tiny", tmp_path / "model")
    return tmp_path / "model"


def own(folder: Path) -> str:
    return f"tiny 1 {next(iter(read_card(folder / 'card.json').files.values()))[:12]}, finder yunet"


def test_every_number_is_that_of_the_results() -> None:
    rows = made()
    row = measured(rows, THRESHOLDS)
    p = np.array([each["p_fake"] for each in rows])
    fake = np.array([each["label"] == "fake" for each in rows])
    assert row["auc"] == round(auc(p, fake), 3)
    assert row["auc_interval"][0] < row["auc"] < row["auc_interval"][1]
    assert (row["real"], row["fake"], row["not_analysable"]) == (20, 40, 0)
    caught = np.mean([each["level"] == "moderate_evidence" for each in rows if each["label"] == "fake"])
    assert row["fake_at_moderate_or_strong"] == round(float(caught), 3)
    assert row["per_forgery"]["easy"] > 0.99 > 0.75 > row["per_forgery"]["hard"]


def test_files_that_were_not_analysed_are_counted_and_scored_worst_case() -> None:
    rows = made()
    for each in rows[:6]:
        each["p_fake"], each["level"] = None, "not_analysable"
    row = measured(rows, THRESHOLDS)
    assert row["not_analysable"] == 6
    assert row["auc_worst_case"] < row["auc"]


def test_levels_by_other_lines_than_the_cards_are_not_stated() -> None:
    assert "fake_at_moderate_or_strong" not in measured(made(line=0.6), THRESHOLDS)


def test_too_few_files_are_no_measurement() -> None:
    row = measured(made(4), THRESHOLDS)
    assert "auc" not in row and "per_forgery" not in row


def test_hard_predictions_are_refused() -> None:
    rows = made()
    for each in rows:
        each["p_fake"] = float(each["p_fake"] > 0.5)
    with pytest.raises(UsageError, match="hard predictions"):
        measured(rows, THRESHOLDS)


def test_what_is_missed_becomes_a_weak_spot() -> None:
    said = weak_spots({"protocol": "words", "wild": measured(made(), THRESHOLDS)})
    assert any(each.startswith("wild, hard: AUC") for each in said)
    assert not any("easy" in each for each in said)


def test_the_card_is_filled_in_from_results_and_facts(folder: Path, tmp_path: Path) -> None:
    facts = tmp_path / "facts.toml"
    facts.write_text('version = "9.9.9"\nweak_spots = ["Sound is not examined."]\n[training]\nseed = 4\n')
    before = read_card(folder / "card.json")
    rows = tuple(made(made_by=own(folder)))
    fill_card(folder, [Measurement("wild", rows)], facts)
    card = read_card(folder / "card.json")
    assert card.version == "9.9.9" and card.metrics["wild"] == measured(rows, card.thresholds)
    assert card.weak_spots[-1] == "Sound is not examined." and len(card.weak_spots) > 1
    assert card.training == {**before.training, "seed": 4}
    assert card.thresholds == before.thresholds and card.files == before.files


def test_results_of_another_model_are_refused(folder: Path) -> None:
    before = (folder / "card.json").read_bytes()
    with pytest.raises(UsageError, match="another model"):
        fill_card(folder, [Measurement("wild", tuple(made(made_by="other 1 000000000000")))], None)
    assert (folder / "card.json").read_bytes() == before


def test_facts_hold_no_numbers_of_a_measurement(folder: Path, tmp_path: Path) -> None:
    facts = tmp_path / "facts.toml"
    facts.write_text("[metrics]\nauc = 0.99\n")
    with pytest.raises(UsageError, match="metrics cannot be stated there"):
        fill_card(folder, [], facts)


def test_results_can_be_narrowed_to_a_list(tmp_path: Path) -> None:
    rows = made(6)
    for each in rows:
        each["path"] = str(tmp_path / each["path"])
    results = written(tmp_path / "r.jsonl", rows)
    (tmp_path / "some.csv").write_text(
        "path,label,source,group,forgery\n0.mp4,real,s,0,\neasy1.mp4,fake,s,1,renamed\n", encoding="utf-8"
    )
    found = read_measurement(f"wild={results}@{tmp_path / 'some.csv'}")
    assert found.name == "wild" and [each["forgery"] for each in found.results] == ["", "renamed"]
    (tmp_path / "some.csv").write_text("path,label,source,group\nnone.mp4,real,s,0\n", encoding="utf-8")
    with pytest.raises(UsageError, match="lacks files"):
        read_measurement(f"wild={results}@{tmp_path / 'some.csv'}")
    with pytest.raises(UsageError, match="names no results"):
        read_measurement("wild")


def test_the_roc_of_a_card_is_that_of_the_scores_in_at_most_fifty_points() -> None:
    assert roc_points(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, False, True, False])) == [
        [0.0, 0.0], [0.0, 0.5], [0.5, 1.0], [1.0, 1.0],
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    fake = np.arange(2000) % 2 == 0
    scores = rng.normal(fake * 1.5, 1.0)
    points = np.array(roc_points(scores, fake))
    assert len(points) <= 50 and points[0].tolist() == [0, 0] and points[-1].tolist() == [1, 1]
    assert np.all(np.diff(points, axis=0) >= 0)
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(auc(scores, fake), abs=0.01)


def test_results_of_a_model_asked_for_by_its_folder_name_it_as_its_card_does(tmp_path: Path) -> None:
    """Else the results of two folders could be mixed, and would be refused when their card is filled in."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(WEIGHTS / "tiny", folder)
    Pillow.new("RGB", (320, 240), (120, 90, 60)).save(tmp_path / "a.png")
    row = {"path": str(tmp_path / "a.png"), "label": "real", "source": "s", "group": "g"}
    by_folder, by_name = (measure(row, {"model": name}) for name in (str(folder), "tiny"))
    assert by_folder["made_by"] == by_name["made_by"]
    assert by_name["made_by"].startswith(f"tiny {read_card(folder / 'card.json').version} ")
