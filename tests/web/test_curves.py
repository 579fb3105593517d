from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from fakelab.service.trainings import trainings
from fakelab.web.curves import curve_svg, reliability_svg, roc_svg


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


def test_an_roc_curve_goes_up_before_it_goes_right() -> None:
    svg = str(roc_svg({"a <set>": [[0, 0], [0.1, 0.6], [1, 1]], "other": [[0, 0], [1, 1]]}, "k", "m"))
    first, second = places(svg)
    assert len(first) == 5 and len(second) == 3
    assert all(b[0] >= a[0] and b[1] <= a[1] for a, b in itertools.pairwise(first))
    assert "a &lt;set&gt;" in svg and "<set>" not in svg


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
