from __future__ import annotations

import dataclasses
import itertools
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from fakelab.models.card import load_card
from fakelab.records import ModelCard
from fakelab.service.trainings import trainings
from fakelab.web.curves import curve_svg, reliability_svg, roc_readings, roc_svg
from fakelab.web.pages_about import charts_of


def places(svg: str, tag: str = "polyline") -> list[list[tuple[float, float]]]:
    found = re.findall(rf'<{tag} class="fl-curve" points="([^"]*)"', svg)
    return [[(float(x), float(y)) for x, _, y in (p.partition(",") for p in each.split())] for each in found]


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "training" / "first <run>"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"network": "tiny", "steps": 20}')
    rows = [
        "step,name,value",
        "10,train_loss,.7",
        "10,val_auc,.60",
        "20,val_auc,.80",
        "10,val_accuracy,.5",
        "20,val_accuracy,.7",
    ]
    (folder / "curves.csv").write_text("\n".join(rows))
    return tmp_path


def test_a_run_is_read_with_its_curves_and_drawn(run_folder: Path) -> None:
    (run,) = trainings(run_folder)
    assert run.name == "first <run>" and run.curves["val_auc"] == [(10, 0.6), (20, 0.8)]
    svg = str(curve_svg(run, "r1"))
    auc, accuracy = places(svg)
    assert auc[0][0] < auc[1][0] and auc[1][1] < auc[0][1], "later is to the right, higher is up"
    assert auc[1][1] < accuracy[1][1], "the curve that ends higher is drawn higher"
    assert "auc 0.800" in svg and "<run>" not in svg and "train_loss" not in svg


def test_a_run_without_measurements_has_no_figure_and_a_broken_one_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "training" / "new"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "curves.csv").write_text("step,name,value\n10,train_loss,.7\n")
    assert [str(curve_svg(run, "r")) for run in trainings(tmp_path)] == [""]
    assert trainings(tmp_path / "nowhere") == []


def test_runs_stand_with_the_newest_first_and_one_that_cannot_be_read_is_left_out(run_folder: Path) -> None:
    for at, (name, config, rows) in enumerate(
        [
            ("old", "{}", "step,name,value\n1,val_auc,.5\n2,val_auc,nan\n"),
            ("no json", "{", "step,name,value\n"),
            ("no number", "{}", "step,name,value\n1,val_auc,high\n"),
            ("no column", "{}", "step,curve\n1,val_auc\n"),
            ("a list", "[1]", "step,curve,value\n3,val_auc,.25\n"),
        ]
    ):
        folder = run_folder / "training" / name
        folder.mkdir()
        (folder / "config.json").write_text(config)
        (folder / "curves.csv").write_text(rows)
        os.utime(folder / "curves.csv", (at + 1, at + 1))
    (run_folder / "training" / "no config").mkdir()
    first, listed, old = trainings(run_folder)
    assert (first.name, listed.name, old.name) == ("first <run>", "a list", "old")
    assert first.config == {"network": "tiny", "steps": 20} and first.steps == 20
    assert first.last == {"train_loss": 0.7, "val_auc": 0.8, "val_accuracy": 0.7}
    assert listed.config == {} and listed.last == {"val_auc": 0.25} and listed.steps == 3
    assert old.curves == {"val_auc": [(1, 0.5)]}, "what is no number is left out"


def test_curves_under_one_half_stay_inside_and_labels_do_not_cover_each_other(run_folder: Path) -> None:
    rows = [f"{step},val_auc_{name},{value}" for step in (10, 20) for name, value in (("a", 0.2), ("b", 0.21))]
    (run_folder / "training" / "first <run>" / "curves.csv").write_text("\n".join(["step,name,value", *rows]))
    svg = str(curve_svg(trainings(run_folder)[0], "r1"))
    root = ET.fromstring(svg)
    height = float(root.attrib["viewBox"].split()[3])
    assert all(0 <= y <= height for line in places(svg) for _, y in line)
    heights = [float(each.attrib["y"]) for each in root.iter("text") if (each.text or "").startswith("auc ")]
    assert len(heights) == 2 and abs(heights[0] - heights[1]) >= 13
    dashes = {each.attrib["stroke-dasharray"] for each in root.iter("polyline")}
    assert len(dashes) == 2, "curves are not told apart by colour"
    assert "val_auc_a 0.200" in (root.findtext("title") or "")


def test_an_roc_curve_goes_up_before_it_goes_right() -> None:
    svg = str(roc_svg({"a <set>": [[0, 0], [0.1, 0.6], [1, 1]], "other": [[0, 0], [1, 1]]}, "k", "m"))
    first, second = places(svg)
    assert len(first) == 5 and len(second) == 3
    assert all(b[0] >= a[0] and b[1] <= a[1] for a, b in itertools.pairwise(first))
    assert "a &lt;set&gt;" in svg and "<set>" not in svg
    said = ET.fromstring(svg).findtext("desc") or ""
    assert "a <set>: 0 % at 1 %, 0 % at 5 %, 60 % at 10 %, 60 % at 20 %, 60 % at 50 %; other: 0 % at 1 %" in said


def test_an_roc_curve_is_read_at_most_at_the_share() -> None:
    assert roc_readings([[0, 0], [0, 0.2], [0.1, 0.6], [0.11, 0.7], [1, 1]]) == [0.2, 0.2, 0.6, 0.7, 0.7]


def test_a_reliable_score_lies_on_the_diagonal() -> None:
    svg = str(reliability_svg([[0.25, 0.25, 40], [0.75, 0.5, 10]], "k", "t"))
    dots = [tuple(map(float, each)) for each in re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"', svg)]
    line = re.search(r'class="fl-axis" x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"', svg)
    assert line is not None
    x1, y1, x2, y2 = map(float, line.groups())

    def over(x: float, y: float) -> float:
        return (y1 + (y2 - y1) * (x - x1) / (x2 - x1)) - y

    assert over(*dots[0][:2]) == pytest.approx(0, abs=0.2)
    assert over(*dots[1][:2]) < -10, "what is overstated lies under the diagonal"
    assert dots[0][2] > dots[1][2]
    assert "0.75 stated, 0.50 came true, 10 files" in (ET.fromstring(svg).findtext("desc") or "")


def card_with(calibration: dict[str, Any], metrics: dict[str, Any]) -> ModelCard:
    return dataclasses.replace(load_card("tiny"), calibration=calibration, metrics=metrics)


def test_a_card_shows_what_it_holds_and_says_what_it_does_not() -> None:
    line = {"slope": 1.0, "offset": 0.0, "reals": 9}
    new = line | {"method": "platt", "reliability": [[0.2, 0.1, 30], [0.8, 0.9, 20]]}
    whole = charts_of(card_with({"video": new}, {"a_set": {"auc": 0.9, "roc": [[0, 0], [0.05, 0.5], [1, 1]]}}))
    assert whole["missing"] == [] and "<svg" in whole["roc"]
    assert whole["roc_rows"] == [("a set", [0.0, 0.5, 0.5, 0.5, 0.5])]
    assert [(kind, rows) for kind, _, rows in whole["reliability"]] == [("videos", new["reliability"])]
    early = charts_of(card_with({"video": line, "photo": new}, {"protocol": "p", "a_set": {"auc": 0.9}}))
    assert early["roc"] is None and [kind for kind, *_ in early["reliability"]] == ["photos"]
    roc, reliability = early["missing"]
    assert "No ROC curve" in roc and reliability == (
        "No reliability diagram of videos: this card was made before reliability was recorded."
    )
    few = charts_of(card_with({"video": line | {"method": "platt"}}, {"a_set": {"auc": 0.9, "roc": [[0, 0], [1, 1]]}}))
    assert few["missing"] == [
        "No reliability diagram of videos: too few sources were measured to judge each without itself."
    ]
    assert charts_of(card_with({}, {"a_set": {"auc": 0.9}}))["missing"][1].endswith("states no probability.")
    assert charts_of(load_card("tiny"))["missing"] == ["Nothing was measured of this model."]
