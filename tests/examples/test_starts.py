"""The starts of further training: tunings of the shared tower, as the shipped one is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fakelab.models.card import model_file

STARTS = sorted((Path(__file__).parents[2] / "examples" / "starts").glob("*.safetensors"))


@pytest.mark.parametrize("path", STARTS, ids=lambda path: path.stem)
def test_a_start_tunes_the_same_numbers_as_the_shipped_model_to_others(path: Path) -> None:
    shipped, start = load_file(model_file("clip_face", "tuning.safetensors")), load_file(path)
    assert {name: each.shape for name, each in start.items()} == {name: each.shape for name, each in shipped.items()}
    assert all(np.isfinite(each).all() for each in start.values())
    assert any(not np.array_equal(start[name], shipped[name]) for name in shipped)
