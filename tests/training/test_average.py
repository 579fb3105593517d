from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fakelab.errors import TrainingError
from fakelab.models.card import WEIGHTS, read_card, sha256_of
from fakelab.training.average import TUNING, average


def tuning(folder: Path, factor: float = 1.0, drop: str = "") -> Path:
    """A copy of the shipped tuning with every number times `factor`, its card made to fit."""
    shutil.copytree(WEIGHTS / "clip_face", folder)
    numbers = {k: (v * factor).astype(np.float32) for k, v in load_file(folder / TUNING).items() if k != drop}
    save_file(numbers, folder / TUNING)
    raw = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    raw["files"][TUNING] = sha256_of(folder / TUNING)
    (folder / "card.json").write_text(json.dumps(raw), encoding="utf-8")
    return folder


def test_the_mean_of_two_tunings_is_a_model_without_lines(tmp_path: Path) -> None:
    one, three = tuning(tmp_path / "one"), tuning(tmp_path / "three", 3.0)
    card = average([one, three], tmp_path / "mean")
    mean, first = load_file(tmp_path / "mean" / TUNING), load_file(one / TUNING)
    assert mean.keys() == first.keys()
    for name, value in first.items():
        np.testing.assert_allclose(mean[name], 2 * value, rtol=1e-6)
    assert card == read_card(tmp_path / "mean" / "card.json")
    assert card.files[TUNING] == sha256_of(tmp_path / "mean" / TUNING)
    assert card.thresholds["video"]["moderate"] > 1.0, "a fresh mean reaches no level of evidence"
    assert [each["name"] for each in card.training["mean_of"]] == ["clip_face", "clip_face"]
    assert len(card.data) == len(read_card(one / "card.json").data)


def test_what_does_not_fit_is_not_averaged(tmp_path: Path) -> None:
    one, short = tuning(tmp_path / "one"), tuning(tmp_path / "short", drop="norm.bias")
    with pytest.raises(TrainingError, match="two models or more"):
        average([one], tmp_path / "mean")
    with pytest.raises(TrainingError, match="tune other numbers"):
        average([one, short], tmp_path / "mean")
    with pytest.raises(TrainingError, match="no tuning"):
        average([one, WEIGHTS / "tiny"], tmp_path / "mean")
    wider = tuning(tmp_path / "wider")
    raw = json.loads((wider / "card.json").read_text(encoding="utf-8"))
    raw["crop"]["margin"] = 1.2
    (wider / "card.json").write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(TrainingError, match="crops, normalisation or towers differ"):
        average([one, wider], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
