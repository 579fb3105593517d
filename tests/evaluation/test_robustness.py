"""The grid of degraded copies: what is made, what is counted as a flip, and that a run goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from result_maker import made_results, one

from fakelab.cli import main
from fakelab.errors import UsageError
from fakelab.evaluation import robustness
from fakelab.evaluation.robustness import (
    CRFS,
    CUTS,
    ORIGINAL,
    SCALES,
    Cell,
    grid,
    read_cell,
    robustness_document,
    run_grid,
    summarise,
)
from portrait_maker import portrait


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A genuine photo, a brighter copy called fake, and one that cannot be read."""
    picture = np.ascontiguousarray(portrait()[:, :, ::-1])
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    cv2.imwrite(str(tmp_path / "b.png"), np.clip(picture * 1.2, 0, 255).astype(np.uint8))
    (tmp_path / "c.png").write_text("words")
    path = tmp_path / "list.csv"
    path.write_text(
        "path,label,source,group,forgery\na.png,real,s,1,\nb.png,fake,s,2,x\nc.png,fake,s,3,x\n", encoding="utf-8"
    )
    return path


def test_the_grid_is_every_combination_and_a_name_says_which() -> None:
    cells = grid()
    assert len(cells) == len(set(cells)) == len(CRFS) * len(SCALES) * len(CUTS) == 18
    assert [read_cell(each.name) for each in cells] == cells
    assert len(grid([23, 23], [1.0], [0.0])) == 1


@pytest.mark.parametrize("wrong", [([52], [1.0], [0.0]), ([23], [0.0], [0.0]), ([23], [1.5], [0.0]), ([23], [1], [1])])
def test_a_copy_that_cannot_be_made_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError):
        grid(*wrong)


def graded(level: str, cell: str, number: int, label: str = "real", p: float | None = 0.5) -> dict[str, Any]:
    return one(label, p, number, forgery="x" if label == "fake" else "") | {"level": level, "cell": cell}


def test_a_flip_is_evidence_in_one_of_original_and_copy() -> None:
    pairs = [
        ("no_evidence_found", "moderate_evidence"),
        ("strong_evidence", "inconclusive"),
        ("strong_evidence", "moderate_evidence"),
        ("no_evidence_found", "inconclusive"),
    ]
    results = [
        graded(level, cell, number)
        for number, levels in enumerate(pairs)
        for level, cell in zip(levels, (ORIGINAL, "crf 40, scale 1, cut 0"), strict=True)
    ]
    results += [graded("strong_evidence", ORIGINAL, 9), graded("not_analysable", results[1]["cell"], 9, p=None)]
    original, copied = summarise(results, rounds=10)
    assert (original.flips, original.not_analysable) == (0, 0)
    assert (copied.flips, copied.flips_real, copied.compared, copied.not_analysable) == (2, 2, 4, 1)
    assert (copied.evidence_real, copied.inconclusive) == (2, 2)


def test_a_cell_has_its_own_auc_and_lost_files_are_listed() -> None:
    good = [{**each, "cell": ORIGINAL} for each in made_results(20)]
    poor = [{**each, "cell": "crf 40, scale 0.25, cut 0.1", "p_fake": 0.3 + 1e-4 * at} for at, each in enumerate(good)]
    poor[1] |= {"p_fake": None, "level": "not_analysable", "error": "it is too small"}
    first, second = summarise(good + poor, rounds=50)
    assert first.auc_value > second.auc_value > second.auc_worst_case
    document = robustness_document("t", good + poor, rounds=20)
    table = document.sections[0].tables[0]
    assert [row[0] for row in table.rows] == [ORIGINAL, "crf 40, scale 0.25, cut 0.1"]
    assert table.rows[1][-1] == "1 (2 %)"
    assert "it is too small" in document.sections[1].tables[0].rows[0]
    assert f"{second.auc_value:.3f}" in document.sections[0].figures[0].svg


def test_copies_go_through_analyze_and_a_run_goes_on_where_it_was(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "report"
    words = ["robustness", str(listed), "--report", str(folder), "--model", "tiny", "--crf", "40", "--scale", "0.5"]
    assert main([*words, "--cut", "0", "--cut", "0.1"]) == 0
    lines = [json.loads(line) for line in (folder / "robustness.jsonl").read_text("utf-8").splitlines()]
    assert [each["cell"] for each in lines[:3]] == [ORIGINAL, "crf 40, scale 0.5, cut 0", "crf 40, scale 0.5, cut 0.1"]
    assert len({each["path"] for each in lines}) == 3 and len(lines) == 9
    scored = {each["cell"]: each["logit"] for each in lines if each["path"].endswith("a.png")}
    assert len(set(scored.values())) == 3
    faces = [each["measured"]["largest_face_px"] for each in lines[:3]]
    assert faces[1] == pytest.approx(faces[0] / 2, rel=0.15)
    assert all(each["p_fake"] is None and each["error"] for each in lines[6:])
    assert "| 1 (33 %) |" in capsys.readouterr().out and (folder / "robustness.html").is_file()

    (folder / "robustness.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines[:4]), "utf-8")
    done: list[str] = []
    plain = robustness.measure_copy
    monkeypatch.setattr(robustness, "measure_copy", lambda row, given: done.append(row["cell"]) or plain(row, given))
    assert main([*words, "--cut", "0", "--cut", "0.1"]) == 0
    assert len(done) == 5
    again = [json.loads(line) for line in (folder / "robustness.jsonl").read_text("utf-8").splitlines()]
    assert [each["logit"] for each in again] == [each["logit"] for each in lines]


def test_several_at_a_time_give_the_same(listed: Path, tmp_path: Path) -> None:
    from fakelab.evaluation.run import read_list

    rows, cells = read_list(listed), [Cell(32, 0.5, 0.1)]
    one_by_one = run_grid(rows, tmp_path / "1.jsonl", cells, model="tiny")
    together = run_grid(rows, tmp_path / "2.jsonl", cells, model="tiny", jobs=2)
    assert [each["logit"] for each in one_by_one] == [each["logit"] for each in together]


def test_no_place_for_results_is_refused(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["robustness", str(listed), "--model", "tiny"]) == 2
    assert "--report FOLDER" in capsys.readouterr().err
