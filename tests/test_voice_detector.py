"""From windows to a finding about the voice: what counts, what decides, what is said; and the shipped model."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import sound_maker as sound
from fakelab import analyze
from fakelab.detectors.voice import HeardWindow, VoiceOptions, detect_voice, evidence_of, judge
from fakelab.errors import FakeLabError, MediaError
from fakelab.models.card import DEFAULT_VOICE, load_card, verify
from fakelab.models.voice import load_voice
from fakelab.records import Finding, Kind, Level, TimeRange
from fakelab.reports.json_report import document, schema
from fakelab.reports.read_json import read_document
from fakelab.reports.text import write_text
from fakelab.verdict import reason, rules_of, verdict_of
from media_maker import make_video

CARD = SimpleNamespace(
    calibration={"audio": {"slope": 1.0, "offset": 0.0}},
    thresholds={"audio": {"strong": 0.95, "moderate": 0.8, "unsure": 0.6, "error_rates": {"all": "so often"}}},
    gate={"min_speech_s": 2.0},
)


def model(logit: float = 0.0) -> Any:
    """A model that gives every window this logit."""
    return SimpleNamespace(name="made", card=CARD, score_one=lambda samples: logit)


def heard(logits: list[float | None]) -> list[HeardWindow]:
    """Windows of 4 s every 2 s; None is silence."""
    found = []
    for number, logit in enumerate(logits):
        why = reason("sound_silence") if logit is None else None
        found.append(HeardWindow(2.0 * number, 2.0 * number + 4, 0.0 if logit is None else 3.0, logit, why))
    return found


@pytest.mark.parametrize(
    ("logit", "level"),
    [(4.0, Level.STRONG), (2.0, Level.MODERATE), (0.8, Level.INCONCLUSIVE), (-2.0, Level.NONE_FOUND)],
)
def test_the_mean_over_the_windows_of_speech_decides(logit: float, level: Level) -> None:
    finding = judge(heard([logit, None, logit]), Kind.AUDIO, model())
    assert finding.level is level
    assert finding.p_fake == pytest.approx(1 / (1 + np.exp(-logit)))
    assert [each.level is Level.NOT_ANALYSABLE for each in finding.windows] == [False, True, False]
    assert finding.windows[1].p_fake is None and finding.windows[1].reasons[0].code == "sound_silence"
    assert finding.error_rate == "so often"


def test_a_prior_moves_the_number_and_never_the_level() -> None:
    even, rare = (judge(heard([2.0] * 3), Kind.AUDIO, model(), prior) for prior in (0.5, 0.01))
    assert rare.level is even.level
    assert rare.p_fake is not None and even.p_fake is not None and rare.p_fake < even.p_fake


def test_without_speech_there_is_no_number_and_the_commonest_reason() -> None:
    finding = judge(heard([None, None]), Kind.AUDIO, model())
    assert finding.level is Level.NOT_ANALYSABLE and finding.p_fake is None
    assert finding.reasons[0].code == "sound_silence"
    assert judge([], Kind.VIDEO, model()).reasons[0].code == "no_sound"


def test_little_speech_is_never_evidence() -> None:
    short = [HeardWindow(0.0, 1.5, 1.2, 5.0, None)]
    finding = judge(short, Kind.AUDIO, model())
    quiet = judge([HeardWindow(0.0, 1.5, 1.2, -5.0, None)], Kind.AUDIO, model())
    assert quiet.level is Level.NOT_ANALYSABLE and quiet.p_fake is None and quiet.reasons[0].code == "speech_short"
    assert finding.level is Level.INCONCLUSIVE
    assert [each.code for each in finding.reasons] == ["speech_short", "above_strong"]


def test_a_spliced_stretch_in_a_long_recording_is_marked_with_its_time() -> None:
    logits: list[float | None] = [-2.0] * 60
    logits[20:28] = [6.0] * 8
    finding = judge(heard(logits), Kind.AUDIO, model())
    assert finding.level in (Level.MODERATE, Level.STRONG)
    assert finding.suspicious == (TimeRange(40.0, 58.0),)


def test_the_worst_of_many_stretches_is_discounted() -> None:
    rules = rules_of(CARD.calibration, CARD.thresholds, CARD.gate, Kind.AUDIO, 0.5)
    few, _, _ = evidence_of(heard([1.0] * 3), rules)
    many, _, count = evidence_of(heard([0.0] * 57 + [1.0] * 3), rules)
    assert few == pytest.approx(1.0)
    assert count == 10 and many < 0.2


def test_a_stretch_in_a_short_recording_makes_it_inconclusive_not_silent() -> None:
    finding = judge(heard([-3.0] * 9 + [3.0] * 3), Kind.AUDIO, model())
    assert finding.level is Level.INCONCLUSIVE
    assert finding.reasons[0].code == "parts_disagree" and finding.suspicious


def test_the_verdict_says_which_part_is_suspect() -> None:
    face = Finding("face_video", "faces", Level.NONE_FOUND, 0.2, (reason("below_all", 0.2, 0.6),))
    voice = judge(heard([5.0] * 3), Kind.VIDEO, model())
    verdict = verdict_of((face, voice))
    assert verdict.level is Level.STRONG
    assert verdict.sentence == "Strong evidence of manipulation. The voice: suspect; the faces: no evidence found."
    silent = judge([], Kind.VIDEO, model())
    assert "the voice: could not be judged" in verdict_of((face, silent)).sentence


def test_windows_are_heard_from_a_file_and_progress_is_told(tmp_path: Path) -> None:
    wave = np.concatenate([sound.silence(4.0), sound.speech_like(6.0)])
    path, told = sound.save(tmp_path / "a.mp3", wave, "libmp3lame"), list[tuple[str, int, int | None]]()
    finding = detect_voice(path, Kind.AUDIO, 10.0, model(3.5), VoiceOptions(), lambda *each: told.append(each))
    assert finding.level is Level.STRONG
    assert finding.windows[0].level is Level.NOT_ANALYSABLE
    assert finding.suspicious and finding.suspicious[0].start_s >= 2.0
    assert told[-1] == ("voice", 10, 10)


def test_the_shipped_model_is_whole_and_its_card_honest() -> None:
    assert all(unaltered for _, unaltered, _ in verify(DEFAULT_VOICE))
    card = load_card(DEFAULT_VOICE)
    found = card.thresholds["audio"]
    assert found["unsure"] <= found["moderate"] <= found["strong"]
    assert card.data and card.weak_spots and card.metrics
    assert sum(path.stat().st_size for path in _folder().iterdir()) < 35e6


def test_the_shipped_model_scores_a_window_the_same_twice_and_refuses_what_is_no_window() -> None:
    voice = load_voice(DEFAULT_VOICE)
    wave = sound.speech_like(3.0)
    assert voice.score_one(wave) == voice.score_one(wave)
    with pytest.raises(FakeLabError, match="does not fit"):
        voice.score_one(wave[:100])
    with pytest.raises(FakeLabError, match="does not fit"):
        voice.score_one(np.full(8000, np.nan, np.float32))


def test_a_recording_and_the_sound_of_a_video_are_analysed(tmp_path: Path) -> None:
    recording = analyze(sound.save(tmp_path / "a.flac", sound.speech_like(5.0), "flac"))
    assert [each.detector for each in recording.findings] == ["voice"]
    assert recording.verdict.p_fake is not None
    assert [each["name"] for each in recording.models] == ["voice"]
    video = analyze(make_video(tmp_path / "a.mp4", 25, sound_s=1.0), model="tiny")
    assert [each.detector for each in video.findings] == ["face_video", "voice"]
    assert video.findings[1].level is Level.NOT_ANALYSABLE
    assert len(analyze(tmp_path / "a.mp4", model="tiny", settings=None).models) == 2


def test_the_document_keeps_windows_and_comes_back(tmp_path: Path) -> None:
    import jsonschema

    analysis = analyze(sound.save(tmp_path / "a.wav", np.concatenate([sound.speech_like(5.0), sound.silence(5.0)])))
    doc = json.loads(json.dumps(document(analysis)))
    jsonschema.Draft202012Validator(schema()).validate(doc)
    again = read_document(doc)
    assert len(again.findings[0].windows) == len(analysis.findings[0].windows) >= 4
    assert [each.level for each in again.findings[0].windows] == [each.level for each in analysis.findings[0].windows]
    assert again.findings[0].windows[-1].reasons[0].code == "sound_silence"
    assert "stretches of sound" in write_text(analysis)


def test_two_hundred_damaged_recordings_end_in_a_finding_or_a_clear_error(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    rows = (
        ("a.mp3", "libmp3lame", 16_000),
        ("a.flac", "flac", 16_000),
        ("a.ogg", "libopus", 48_000),
        ("a.m4a", "aac", 16_000),
    )
    originals = [
        sound.save(tmp_path / name, sound.speech_like(1.2), codec, rate).read_bytes() for name, codec, rate in rows
    ]
    judged, told = 0, list[MediaError]()
    for number in range(200):
        data = bytearray(originals[number % 4])
        for _ in range(int(random.integers(1, 60))):
            data[random.integers(len(data))] = random.integers(256)
        if number % 5 == 0:
            data = data[: random.integers(1, len(data))]
        if number % 7 == 0:
            at = int(random.integers(len(data)))
            data[at:at] = random.bytes(int(random.integers(1, 500)))
        path = tmp_path / "damaged.bin"
        path.write_bytes(bytes(data))
        try:
            finding = detect_voice(path, Kind.AUDIO, None, model(1.0), VoiceOptions(), lambda *each: None)
            assert (finding.p_fake is None) == (finding.level is Level.NOT_ANALYSABLE)
            judged += 1
        except MediaError as error:
            told.append(error)
    assert judged > 20
    assert all(each.what and each.why for each in told)


def _folder() -> Path:
    from fakelab.models.card import model_folder

    return model_folder(DEFAULT_VOICE)
