"""From a manifest of made clips to a model that `models.voice` opens, and the verb that does it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("sklearn", reason="the extra 'train' is not installed")

import sound_maker as sound  # noqa: E402
from fakelab import analyze  # noqa: E402
from fakelab.cli import main  # noqa: E402
from fakelab.data.manifest import Row, read_manifest  # noqa: E402
from fakelab.errors import TrainingError  # noqa: E402
from fakelab.media.audio import levelled, windows  # noqa: E402
from fakelab.models.card import read_card  # noqa: E402
from fakelab.models.voice import load_voice  # noqa: E402
from fakelab.training import voice as network  # noqa: E402
from fakelab.training import voice_run  # noqa: E402
from fakelab.training.voice import VoiceFeatures  # noqa: E402
from fakelab.training.voice_run import rows_of, train_voice  # noqa: E402
from fakelab.training.voice_twin import source_filter  # noqa: E402

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


@pytest.fixture(scope="module")
def features() -> VoiceFeatures:
    torch.manual_seed(0)
    return VoiceFeatures().eval()


def table(folder: Path) -> Path:
    """Two clips of each class in each of six sources; the fakes lack everything above 2 kHz. One cannot be read."""
    lines = ["path,label,source,group,split,licence"]
    for number in range(24):
        wave, fake = sound.speech_like(1.5, seed=number), number % 2 == 1
        if fake:
            spectrum = np.fft.rfft(wave)
            spectrum[len(spectrum) // 4 :] = 0
            wave = np.fft.irfft(spectrum, len(wave)).astype(np.float32)
        sound.save(folder / f"{number}.wav", wave)
        lines.append(f"{number}.wav,{'fake' if fake else 'real'},s{number // 4},p{number},train,CC0")
    (folder / "broken.wav").write_text("words", encoding="utf-8")
    sound.save(folder / "silent.wav", sound.silence(2.0))
    lines += ["broken.wav,real,s0,b,train,", "silent.wav,real,s0,c,train,", "absent.wav,real,s0,d,test,"]
    (folder / "clips.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "clips.csv"


def rows(manifest: Path) -> list[Row]:
    return [row for row in read_manifest(manifest).rows if row.split != "test"]


def test_a_manifest_becomes_a_model_that_tells_what_the_clips_show(tmp_path: Path, features: VoiceFeatures) -> None:
    clips = rows(table(tmp_path))
    tested, trained = rows_of(clips, features, tmp_path / "made", twin=source_filter)
    assert len(tested.fake) == 48 and tested.fake.sum() == 24 and not tested.twin.any()
    assert trained.twin.sum() == 12 and trained.fake[trained.twin].all() and len(trained.fake) == 60
    folder = train_voice(tested, trained, features, tmp_path / "made" / "model", facts=FACTS)
    card = read_card(folder / "card.json")
    assert card.thresholds["audio"]["moderate"] >= card.thresholds["audio"]["unsure"]
    model = load_voice(str(folder))
    heard = [levelled(next(windows(row.path)).samples) for row in clips[:24]]
    scores = np.array([model.score_one(samples) for samples in heard])
    fake = np.array([row.fake for row in clips[:24]])
    assert scores[fake].mean() > scores[~fake].mean() + 0.5


def test_what_cannot_be_used_is_listed_with_the_reason(tmp_path: Path, features: VoiceFeatures) -> None:
    rows_of(rows(table(tmp_path)), features, tmp_path / "made")
    with (tmp_path / "made" / "skipped.csv").open(encoding="utf-8", newline="") as file:
        found = {Path(row["path"]).name: row["why"] for row in csv.DictReader(file)}
    assert set(found) == {"broken.wav", "silent.wav"}
    assert found["silent.wav"].startswith("silence")


def test_a_run_that_was_cut_off_goes_on_and_gives_the_same(
    tmp_path: Path, features: VoiceFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, heard = rows(table(tmp_path)), list[int]()
    whole, _ = rows_of(clips, features, tmp_path / "whole")
    hear = voice_run._hear

    def cut(clip: Row, number: int, *rest: Any) -> None:
        heard.append(number)
        if len(heard) == 15:
            raise KeyboardInterrupt
        hear(clip, number, *rest)

    monkeypatch.setattr(voice_run, "SAVE_EVERY", 4)
    monkeypatch.setattr(voice_run, "_hear", cut)
    with pytest.raises(KeyboardInterrupt):
        rows_of(clips, features, tmp_path / "cut")
    again, _ = rows_of(clips, features, tmp_path / "cut")
    assert heard[15] == 12, "from the last features that were kept"
    assert np.allclose(again.features, whole.features, atol=1e-5) and again.source.tolist() == whole.source.tolist()
    before = len(heard)
    rows_of(clips, features, tmp_path / "cut", seed=1)
    assert len(heard) - before == len(clips), "other work is done anew"


def test_sources_that_hold_one_class_only_are_refused(tmp_path: Path, features: VoiceFeatures) -> None:
    one_sided = [row for row in rows(table(tmp_path)) if row.fake == (row.source in ("s1", "s2"))]
    with pytest.raises(TrainingError, match="too little"):
        rows_of(one_sided, features, tmp_path / "made")


def test_the_verb_makes_a_model_that_analyses_a_recording(
    tmp_path: Path, features: VoiceFeatures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.bin").write_bytes(b"an encoder")
    monkeypatch.setattr(network, "read_whisper", lambda path: features)
    manifest, out = table(tmp_path), tmp_path / "mine"
    assert main(["train-voice", str(manifest), "--encoder", str(tmp_path / "model.bin"), "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert "AUC" in told.out and "--voice-model" in told.out and "2 clips could not be used" in told.err
    card = read_card(out / "model" / "card.json")
    assert card.name == "mine" and card.training["clips"] == 26 and "CC0" in card.data[0]["licence"]
    assert card.training["manifest_sha256"] == read_manifest(manifest).sha256
    longer = sound.save(tmp_path / "longer.wav", sound.speech_like(5.0))
    analysis = analyze(longer, voice_model=str(out / "model"))
    assert [each["name"] for each in analysis.models] == ["mine"]
    assert analysis.findings[0].windows[0].logit is not None
    evaluated = ["evaluate", str(manifest), "--out", str(tmp_path / "r.jsonl"), "--detector", "voice"]
    assert main([*evaluated, "--split", "train", "--voice-model", str(out / "model")]) == 0


def test_a_voice_model_that_does_not_exist_is_told_before_the_file_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(tmp_path / "none.wav"), "--voice-model", "voyce"]) == 2
    assert "voice" in capsys.readouterr().err
