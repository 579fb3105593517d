"""`fakelab evaluate` and `fakelab calibrate`, with the tiny model and a folder of its own."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fakelab.cli import main
from fakelab.models.card import WEIGHTS, read_card

cv2 = pytest.importorskip("cv2")
data = pytest.importorskip("skimage.data")


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list of three photos: a genuine one, a brighter copy called fake, and one that cannot be read."""
    picture = np.asarray(data.astronaut())[:, :, ::-1]
    cv2.imwrite(str(tmp_path / "a.jpg"), picture)
    cv2.imwrite(str(tmp_path / "b.jpg"), np.clip(picture * 1.2, 0, 255))
    (tmp_path / "c.jpg").write_text("words")
    path = tmp_path / "list.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "source", "group", "forgery"))
        writer.writerows(
            [("a.jpg", "real", "s", "1", ""), ("b.jpg", "fake", "s", "2", "x"), ("c.jpg", "fake", "s", "3", "x")]
        )
    return path


def test_every_file_has_a_line_and_the_unreadable_one_is_counted(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.jsonl"
    assert main(["evaluate", str(listed), "--out", str(out), "--model", "tiny"]) == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 3
    assert rows[2]["p_fake"] is None and rows[2]["error"]
    assert rows[0]["logit"] is not None
    assert "not analysable 1 of 3" in capsys.readouterr().out


def test_a_run_that_was_cut_off_goes_on(listed: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    main(["evaluate", str(listed), "--out", str(out), "--model", "tiny"])
    whole = out.read_text(encoding="utf-8").splitlines()
    out.write_text(whole[0] + "\n", encoding="utf-8")
    main(["evaluate", str(listed), "--out", str(out), "--model", "tiny"])
    again = out.read_text(encoding="utf-8").splitlines()
    assert again[0] == whole[0]
    assert [json.loads(line)["path"] for line in again] == [json.loads(line)["path"] for line in whole]


def test_several_at_a_time_give_the_same_and_a_line_cut_off_is_done_again(listed: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    main(["evaluate", str(listed), "--out", str(one), "--model", "tiny"])
    main(["evaluate", str(listed), "--out", str(two), "--model", "tiny", "--jobs", "2"])
    rows = [[json.loads(line) for line in each.read_text(encoding="utf-8").splitlines()] for each in (one, two)]
    for row in (*rows[0], *rows[1]):
        row.pop("seconds", None)
    assert rows[0] == rows[1]
    assert rows[0][0]["made_by"].startswith("tiny ") and len(rows[0][0]["faces"]) == 1
    two.write_bytes(two.read_bytes()[:-20])
    main(["evaluate", str(listed), "--out", str(two), "--model", "tiny"])
    assert len(two.read_text(encoding="utf-8").splitlines()) == 3


def test_results_of_two_models_are_not_mixed(listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results.jsonl"
    main(["evaluate", str(listed), "--out", str(out), "--model", "tiny"])
    lines = out.read_text(encoding="utf-8").splitlines()
    other = json.loads(lines[0]) | {"made_by": "other 1.0 0123456789ab, finder yunet"}
    out.write_text(json.dumps(other) + "\n", encoding="utf-8")
    assert main(["evaluate", str(listed), "--out", str(out), "--model", "tiny"]) == 2
    assert "holds other results" in capsys.readouterr().err
    assert len(out.read_text(encoding="utf-8").splitlines()) == 1


def test_a_list_with_a_wrong_label_is_refused_with_its_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "list.csv"
    path.write_text("path,label,source,group\na.jpg,maybe,s,1\n", encoding="utf-8")
    assert main(["evaluate", str(path), "--out", str(tmp_path / "o"), "--model", "tiny"]) == 2
    assert "row 2" in capsys.readouterr().err


def test_calibration_is_written_into_the_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(WEIGHTS / "tiny", folder)
    rng = np.random.default_rng(0)
    results = tmp_path / "results.jsonl"
    rows = [
        {"label": label, "source": f"s{i % 6}", "logit": float(rng.normal() + shift), "people": 1}
        for i in range(60)
        for label, shift in (("real", -1.0), ("fake", 2.0))
    ]
    results.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    assert main(["calibrate", str(folder), "--video", str(results)]) == 0
    card = read_card(folder / "card.json")
    assert card.calibration["video"]["reals"] == 60
    assert 0 < card.thresholds["video"]["moderate"] <= card.thresholds["video"]["strong"] < 1
    assert "6 sources" in card.thresholds["video"]["error_rates"]["all"]
    assert card.thresholds["photo"] == read_card(WEIGHTS / "tiny" / "card.json").thresholds["photo"]
    assert "slope" in capsys.readouterr().out


def test_nothing_to_calibrate_on_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", str(tmp_path)]) == 2
    assert "--video" in capsys.readouterr().err
