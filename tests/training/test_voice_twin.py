"""Twins keep words and length; degraded copies keep the speech; every codec can be had."""

from __future__ import annotations

import numpy as np
import pytest

import sound_maker as sound
from fakelab.media.audio import levelled
from fakelab.training import voice_twin

WAVE = levelled(sound.speech_like(2.0))


def spectrum(wave: sound.Wave) -> sound.Wave:
    """Coarse log spectrum over time: what must survive."""
    frames = wave[: len(wave) // 800 * 800].reshape(-1, 800)
    power = np.abs(np.fft.rfft(frames * np.hanning(800), axis=1))[:, :320].reshape(len(frames), 32, 10).mean(axis=2)
    return np.log(power + 0.05).astype(np.float32)


@pytest.mark.parametrize("make", [voice_twin.griffin_lim, voice_twin.source_filter])
def test_a_twin_says_the_same_with_another_waveform(make: object) -> None:
    twin = make(WAVE, np.random.default_rng(0))  # type: ignore[operator]
    assert twin.dtype == np.float32 and np.isfinite(twin).all()
    assert abs(len(twin) - len(WAVE)) <= 1600
    count = min(len(twin), len(WAVE))
    one, other = spectrum(WAVE[:count]).ravel(), spectrum(twin[:count]).ravel()
    assert np.corrcoef(one, other)[0, 1] > 0.6
    assert abs(np.corrcoef(WAVE[:count], twin[:count])[0, 1]) < 0.98


@pytest.mark.parametrize("row", range(len(voice_twin.CODECS)))
def test_every_codec_keeps_the_speech(row: int) -> None:
    made = voice_twin.degraded(WAVE, np.random.default_rng(1), codec=row)
    assert made.dtype == np.float32 and np.isfinite(made).all()
    assert abs(len(made) - len(WAVE)) < 4800


def test_degrading_differs_by_chance_and_repeats_by_seed() -> None:
    first, again, other = (voice_twin.degraded(WAVE, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert len(first) != len(other) or not np.allclose(first, other)


def test_mel_bands_rise_in_width_and_have_no_hole() -> None:
    bank = voice_twin.mel_bank(80, 400, 16_000, 8000.0)
    assert bank.shape == (80, 201) and (bank >= 0).all()
    centres = (bank * np.arange(201)).sum(axis=1) / bank.sum(axis=1)
    assert (np.diff(centres) > 0).all()
    assert (bank[:, 1:200].sum(axis=0) > 0).all()
