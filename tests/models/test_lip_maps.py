from __future__ import annotations

import numpy as np
import pytest

from fakelab.errors import ModelError, UsageError
from fakelab.models import card as cards
from fakelab.models.lips import BANDS, MOST_SHIFT, RATE, SOUND_RATE, around, load_lips, normal, sound_bands, together
from sound_maker import tone


def test_bands_are_one_row_a_moment_and_a_tone_lies_in_its_band() -> None:
    low, high = sound_bands(tone(2.0, 300.0)), sound_bands(tone(2.0, 3000.0))
    assert low.shape == (2 * RATE, BANDS) and low.dtype == np.float32
    assert low.mean(0).argmax() < high.mean(0).argmax()


def test_a_click_falls_into_its_moment() -> None:
    samples = np.zeros(SOUND_RATE, np.float32)
    samples[round(0.5 * SOUND_RATE) + 100] = 1.0
    assert abs(int(sound_bands(samples).mean(1).argmax()) - RATE // 2) <= 1


def test_neighbours_stand_beside_each_moment() -> None:
    values = np.arange(4, dtype=np.float32)[:, None]
    assert around(values, 1).tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]


def test_what_does_not_vary_stays_zero() -> None:
    assert np.array_equal(normal(np.full((5, 2), 3.0, np.float32)), np.zeros((5, 2), np.float32))


def test_the_peak_over_the_median_and_its_shift() -> None:
    curve = np.full(2 * MOST_SHIFT + 1, 0.1, np.float32)
    curve[MOST_SHIFT + 4] = 0.6
    assert together(curve) == (pytest.approx(0.5), 4)


def test_the_shipped_maps_are_checked_by_their_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_lips().mouth.shape[1] == load_lips().sound.shape[1]
    monkeypatch.setattr("fakelab.models.lips.sha256_of", lambda path: "0" * 64)
    with pytest.raises(ModelError, match="missing or altered"):
        load_lips()


def test_a_model_of_lips_is_none_of_faces() -> None:
    with pytest.raises(UsageError, match="cannot look at faces"):
        cards.model_folder("lip_sync", cards.MODELS)
    with pytest.raises(UsageError, match="cannot compare lips"):
        cards.model_folder("voice", cards.LIPS)
