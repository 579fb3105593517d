"""The founding study on made pictures: the whole matrix, every fault, and a second call that goes on, not anew."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("timm", reason="the extra 'train' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'train' is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
EXAMPLES = Path(__file__).parents[2] / "examples"
FAULTS = [
    "AUC from hard predictions",
    "checkpoint chosen on the reported set",
    "people of test left in training",
    "other normalisation at inference",
    "weights loaded with strict=False",
    "dropout on at inference",
    "share of five frames as probability",
    "no compression in the augmentation",
    "crash when no face is found",
    "only the first face is judged",
    "whole video in memory",
]


@pytest.fixture(scope="module")
def study() -> Iterator[Any]:
    sys.path.insert(0, str(EXAMPLES))
    import founding_study

    yield founding_study
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def out(study: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that was conducted once."""
    from fakelab.training import loop

    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "draw_curves", lambda folder: None)
        assert study.main(["--quick", "--out", str(folder)]) == 0
    return folder


def test_every_stream_is_trained_on_and_tested_on(out: Path) -> None:
    told = json.loads((out / "study.json").read_text(encoding="utf-8"))
    cells = {(each["trained_on"], each["tested_on"]) for each in told["matrix"]}
    assert cells == {(one, other) for one in ("wild", "ffpp", "both") for other in ("wild", "ffpp", "both")}
    for each in told["matrix"]:
        assert each["scored"] == each["files"] == (8 if each["tested_on"] == "both" else 4)
        assert 0 <= each["auc"]["value"] <= 1 and 0 <= each["accuracy"] <= 1


def test_every_fault_stands_beside_its_mending(out: Path) -> None:
    told = json.loads((out / "study.json").read_text(encoding="utf-8"))["faults"]
    assert [each["name"] for each in told] == FAULTS
    of = {each["name"]: each for each in told}
    assert "100 % of test crops" in of["people of test left in training"]["what"]
    assert float(of["checkpoint chosen on the reported set"]["wrong"]) >= float(
        of["checkpoint chosen on the reported set"]["mended"]
    )
    assert of["dropout on at inference"]["mended"] == "0 %"
    text = (out / "report.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in text for name in FAULTS) and (out / "study-auc.svg").is_file()


def test_the_splits_that_it_trains_on_do_not_leak(out: Path) -> None:
    from fakelab.data.manifest import read_for_training

    for name in ("wild", "ffpp", "both"):
        assert {row.split for row in read_for_training(out / f"{name}.csv").rows} == {"train", "val", "test"}


def test_a_study_that_was_cut_off_goes_on(study: Any, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fakelab.training.loop import Trainer

    before = json.loads((out / "study.json").read_text(encoding="utf-8"))
    results = out / "results" / "tiny-both.jsonl"
    lines = results.read_text(encoding="utf-8").splitlines(keepends=True)
    results.write_text("".join(lines[:5]) + lines[5][:20], encoding="utf-8")

    def never(*_: Any) -> float:
        raise AssertionError("it was trained already")

    monkeypatch.setattr(Trainer, "_learn", never)
    monkeypatch.setattr("fakelab.training.loop.draw_curves", lambda folder: None)
    assert study.main(["--quick", "--out", str(out)]) == 0
    assert len(results.read_text(encoding="utf-8").splitlines()) == len(lines)
    assert json.loads((out / "study.json").read_text(encoding="utf-8")) == before


@pytest.mark.parametrize("words", [["--out", "o"], ["data", "--out", "o", "--rows", "resnet19"]])
def test_a_call_that_cannot_be_meant_is_refused(study: Any, words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        study.main(words)
    assert caught.value.code == 2


def test_a_stream_that_is_missing_is_said(study: Any, tmp_path: Path) -> None:
    from fakelab.errors import DataError

    with pytest.raises(DataError, match="has no stream 'wild'"):
        study.main([str(tmp_path), "--out", str(tmp_path / "o")])
