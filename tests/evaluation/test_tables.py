"""The table counts in public what could not be scored."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

import pytest

from fakelab.evaluation.tables import flattered, table, worst_case


def result(label: str, p: float | None, level: str, forgery: str = "", number: int = 0) -> dict[str, Any]:
    return {
        "label": label,
        "source": "s",
        "group": str(number),
        "forgery": forgery,
        "p_fake": p,
        "logit": p,
        "level": level,
    }


def made() -> list[dict[str, Any]]:
    reals = [result("real", 0.1 + i / 100, "no_evidence_found", number=i) for i in range(10)]
    fakes = [result("fake", 0.8 + i / 100, "strong_evidence", "swap", 20 + i) for i in range(10)]
    return [*reals, *fakes, result("fake", None, "not_analysable", "lips", 40)]


def test_unscored_files_are_counted_and_scored_worst_case() -> None:
    text = table("t", made(), rounds=50)
    assert "not analysable 1 of 21 (4.8 %)" in text
    assert "| AUC | 1.000" in text
    assert "| AUC, unscored files worst-case | 0.909" in text


def test_a_single_clip_is_no_measurement() -> None:
    assert "| lips | 1 | not measured (n = 1) | 0 (0 %) |" in table("t", made(), rounds=50)


def test_levels_are_shares_of_all_files_and_not_of_those_scored() -> None:
    assert "| strong or moderate | 0 (0 %) | 10 (91 %) |" in table("t", made(), rounds=50)


def test_worst_case_leaves_scored_files_alone() -> None:
    worst = worst_case(made())
    assert worst[:20] == made()[:20]
    assert worst[20]["p_fake"] == 0.0


def numbered(known: Container[int]) -> list[dict[str, Any]]:
    return [
        {**each, "path": f"/home/ann/{n:02}.mp4", "known_bits": 20 if n in known else 90}
        for n, each in enumerate(made())
    ]


def test_files_that_the_model_was_trained_on_are_named_and_the_auc_without_them_is_told() -> None:
    assert flattered(made()) == flattered(numbered([])) == ""
    assert "flatter" not in table("t", numbered([]), rounds=50)
    results = numbered(range(5, 10))
    # Genuine files that score high, but for those that the model knows.
    for n in range(5):
        results[n]["p_fake"] = 0.99
    text = table("t", results, rounds=50)
    assert "| AUC | 0.500" in text
    assert "5 of these files show faces that the model was trained on: the numbers flatter." in text
    assert "Without them the AUC is 0.000" in text
    assert "They are 05.mp4, 06.mp4, 07.mp4, 08.mp4, 09.mp4." in text, "names, no folders"


def test_without_enough_strangers_there_is_no_second_number_and_long_lists_are_cut() -> None:
    told = flattered(numbered(range(21)))
    assert told.startswith("21 of these files show")
    assert "Without" not in told
    assert told.endswith("09.mp4 and 11 more.")


def test_the_calibration_error_weighs_classes_alike_and_stands_beside_chance() -> None:
    text = table("t", made(), rounds=50)
    row = next(line for line in text.splitlines() if line.startswith("| ECE, classes weighing alike"))
    error, mean, most = (float(each) for each in re.findall(r"\d\.\d+", row))
    assert error == pytest.approx(0.145, abs=0.01), "genuine files score .10 to .19, fakes .80 to .89: too careful"
    assert 0.05 < mean < most, "which 20 files cannot show"


def test_where_no_genuine_file_could_be_scored_nothing_is_weighed() -> None:
    results = [{**each, "p_fake": None, "logit": None} if each["label"] == "real" else each for each in made()]
    assert "| ECE, classes weighing alike (by chance alone, and its 95 % line) | nan (nan, nan) |" in table(
        "t", results, rounds=50
    )
