"""From a table of made clips to a model that `models.voice` opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import sound_maker as sound
from fakelab.errors import TrainingError
from fakelab.models.card import read_card
from fakelab.models.voice import load_voice
from fakelab.training.voice import VoiceFeatures
from fakelab.training.voice_run import read_clips, rows_of, train_voice
from fakelab.training.voice_twin import source_filter

FACTS = {
    "name": "made",
    "version": "0.0.1",
    "summary": "made",
    "architecture": "whisper_tiny_linear",
    "task": "made",
    "training": {},
    "data": (),
    "metrics": {},
    "weak_spots": ("made",),
    "licence": "Apache-2.0",
}


def table(folder: Path) -> Path:
    """Two clips of each class in each of six sources; the fakes lack everything above 2 kHz."""
    lines = ["file,label,source"]
    for number in range(24):
        wave, fake = sound.speech_like(1.5, seed=number), number % 2 == 1
        if fake:
            spectrum = np.fft.rfft(wave)
            spectrum[len(spectrum) // 4 :] = 0
            wave = np.fft.irfft(spectrum, len(wave)).astype(np.float32)
        sound.save(folder / f"{number}.wav", wave)
        lines.append(f"{number}.wav,{'fake' if fake else 'real'},s{number // 4}")
    (folder / "clips.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "clips.csv"


def test_a_table_becomes_a_model_that_tells_what_the_clips_show(tmp_path: Path) -> None:
    torch.manual_seed(0)
    features = VoiceFeatures().eval()
    clips = list(read_clips(table(tmp_path)))
    assert len(clips) == 24 and sum(fake for _, fake, _ in clips) == 12
    tested, trained = rows_of(clips, features, source_filter)
    assert len(tested.fake) == 48 and trained.twin.sum() == 12 and trained.fake[trained.twin].all()
    folder = train_voice(clips, features, tmp_path / "made", facts=FACTS)
    card = read_card(folder / "card.json")
    assert card.thresholds["audio"]["moderate"] >= card.thresholds["audio"]["unsure"]
    model = load_voice(str(folder))
    scores = np.array([model.score_one(samples) for samples, _, _ in clips])
    fake = np.array([each for _, each, _ in clips])
    assert scores[fake].mean() > scores[~fake].mean() + 0.5


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("path,kind\na,b\n", encoding="utf-8")
    with pytest.raises(TrainingError, match="no table of clips"):
        list(read_clips(tmp_path / "bad.csv"))
