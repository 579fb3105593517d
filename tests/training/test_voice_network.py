"""The voice network on made numbers: head, sources left out, features, ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import sound_maker as sound
from fakelab.errors import TrainingError
from fakelab.media.audio import levelled
from fakelab.models.voice import open_voice
from fakelab.training import voice, voice_head
from fakelab.training.voice_head import Head, Rows

SOURCES = 12


def made_rows(seed: int = 0, signal: float = 1.5) -> Rows:
    """Feature 0 tells the classes in every source; feature 1 in one source only; the rest tells sources apart."""
    random = np.random.default_rng(seed)
    features, fake, source = [], [], []
    for number in range(SOURCES):
        centre = 3 * random.standard_normal(20)
        centre[:2] = 0
        for label in (False, True):
            x = centre + random.standard_normal((10, 20))
            x[:, 0] += signal * label
            x[:, 1] += 8 * label * (number == 0)
            features.append(x)
            fake += [label] * 10
            source += [f"s{number}"] * 10
    return Rows(np.concatenate(features), np.array(fake), np.array(source), np.zeros(len(fake), bool))


def test_the_head_follows_what_all_sources_share() -> None:
    head = voice_head.fit_head(made_rows())
    weight = head.weight * 1.0
    assert weight[0] > 0
    assert weight[0] == np.abs(weight).max()
    assert np.abs(weight[2:]).max() < weight[0] / 2


def test_left_out_sources_are_never_in_the_fit() -> None:
    rows = made_rows()
    logits = voice_head.left_out_logits(rows, rows)
    found, sources = voice_head.pooled_auc(logits, rows)
    assert sources == SOURCES and found > 0.75
    chance = made_rows(signal=0.0)
    random = np.random.default_rng(1).permutation(chance.fake)
    mixed = Rows(chance.features, random, chance.source, chance.twin)
    found, _ = voice_head.pooled_auc(voice_head.left_out_logits(mixed, mixed), mixed)
    assert 0.3 < found < 0.7


def test_folds_hold_each_source_once_and_repeat() -> None:
    names = np.array([f"s{number}" for number in range(SOURCES)])
    fold = voice_head.folds_of(names)
    assert set(fold) == set(names.tolist()) and set(fold.values()) == set(range(5))
    assert fold == voice_head.folds_of(names[::-1])


def test_every_source_and_class_weighs_the_same_in_sum_of_roots() -> None:
    rows = made_rows()
    found = voice_head.weights(rows, voice_head.HeadConfig())
    assert found[rows.fake].sum() == pytest.approx(found[~rows.fake].sum())
    with pytest.raises(ValueError, match="both classes"):
        voice_head.fit_head(rows.take(rows.fake))


@pytest.fixture(scope="module")
def features() -> voice.VoiceFeatures:
    torch.manual_seed(0)
    return voice.VoiceFeatures().eval()


def test_features_are_finite_and_steady_with_length(features: voice.VoiceFeatures) -> None:
    wave = levelled(sound.speech_like(3.0))
    long, short = (voice.features_of(features, each) for each in (wave, wave[: len(wave) // 2]))
    assert long.shape == short.shape and np.isfinite(long).all()
    assert np.isfinite(voice.features_of(features, levelled(sound.tone(1.0)))).all()


def test_the_exported_network_answers_as_the_trained_one(features: voice.VoiceFeatures, tmp_path: Path) -> None:
    wave = levelled(sound.speech_like(3.0))
    x = voice.features_of(features, wave).astype(np.float64)
    random = np.random.default_rng(0)
    head = Head(x * 0.9, np.abs(x) + 1, random.standard_normal(len(x)), 0.25)
    voice.write_onnx(voice.VoiceNet(features, head), tmp_path / "voice.onnx")
    model = open_voice("made", None, tmp_path / "voice.onnx")  # type: ignore[arg-type]
    for samples in (wave, wave[:20_000]):
        expected = head.logits(voice.features_of(features, samples)[None].astype(np.float64))[0]
        assert model.score_one(samples) == pytest.approx(expected, abs=0.02)


def test_another_file_is_no_encoder(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"\x06\x00\x00\x00nothing")
    with pytest.raises(TrainingError, match="no Whisper tiny encoder"):
        voice.read_whisper(tmp_path / "model.bin")
