"""Windows of sound: their times and samples; what counts as speech; damaged recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sound_maker as sound
from fakelab.errors import FakeLabError
from fakelab.media import audio
from fakelab.media.audio import RATE, levelled, speech_in, windows
from media_maker import make_video


def test_windows_overlap_and_cover_the_whole_recording(tmp_path: Path) -> None:
    wave = np.linspace(-0.5, 0.5, RATE * 11, dtype=np.float32)
    found = list(windows(sound.save(tmp_path / "a.wav", wave)))
    assert [each.start_s for each in found] == [0, 2, 4, 6, 8]
    assert [each.end_s for each in found] == [4, 6, 8, 10, 11]
    for each in found:
        assert each.samples.dtype == np.float32
        expected = wave[int(each.start_s * RATE) : int(each.end_s * RATE)]
        assert np.abs(each.samples - expected).max() < 1e-3


@pytest.mark.parametrize(("seconds", "count"), [(0.3, 1), (3.9, 1), (4.0, 1), (4.5, 1), (6.0, 2), (7.5, 3)])
def test_the_end_is_seen_once(tmp_path: Path, seconds: float, count: int) -> None:
    found = list(windows(sound.save(tmp_path / "a.wav", sound.tone(seconds))))
    assert len(found) == count
    assert found[-1].end_s > seconds - 1.01


def test_a_long_recording_is_looked_at_in_wider_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "MOST_WINDOWS", 5)
    wave = np.linspace(-0.5, 0.5, RATE * 30, dtype=np.float32)
    found = list(windows(sound.save(tmp_path / "a.wav", wave)))
    assert [each.start_s for each in found] == [0, 6, 12, 18, 24]
    for each in found:
        assert np.abs(each.samples - wave[int(each.start_s * RATE) :][: 4 * RATE]).max() < 1e-3


def test_other_rates_and_codecs_are_brought_to_16_khz(tmp_path: Path) -> None:
    for name, codec, rate in (
        ("a.mp3", "libmp3lame", 44100),
        ("a.ogg", "libopus", 48000),
        ("a.wav", "pcm_mulaw", 8000),
    ):
        found = list(windows(sound.save(tmp_path / name, sound.tone(4.0), codec, rate)))
        peak = np.abs(np.fft.rfft(found[0].samples[:RATE])).argmax()
        assert peak == pytest.approx(440, abs=2)


def test_the_sound_of_a_video_is_read_and_a_silent_video_has_no_window(tmp_path: Path) -> None:
    assert len(list(windows(make_video(tmp_path / "a.mp4", 50, sound_s=2.0)))) == 1
    assert list(windows(make_video(tmp_path / "b.mp4", 10))) == []


@pytest.mark.parametrize(
    ("wave", "reason"),
    [
        (sound.silence(4), "silence"),
        (sound.silence(0), "silence"),
        (sound.noise(4), "noise"),
        (sound.tone(4), "steady"),
        (np.concatenate([sound.speech_like(0.6), sound.silence(3.4)]), "too_little"),
        (sound.speech_like(4), ""),
        (sound.speech_like(4, seed=1) * np.float32(0.05), ""),
    ],
)
def test_speech_is_told_from_what_is_none(wave: sound.Wave, reason: str) -> None:
    assert speech_in(wave).reason == reason


def test_levelled_speech_has_one_loudness_and_no_silence_at_its_ends() -> None:
    wave = sound.speech_like(3.0)
    padded = np.concatenate([sound.silence(0.5), wave * np.float32(0.1), sound.silence(0.5)])
    found = levelled(padded)
    assert len(found) <= len(wave) + 800
    assert np.allclose(found, levelled(wave)[: len(found)], atol=0.02)
    assert levelled(sound.silence(2.0)).shape == (2 * RATE,)
    assert levelled(sound.silence(0)).shape == (0,)


def test_damaged_recordings_give_windows_or_a_clear_error(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    originals = [
        sound.save(tmp_path / name, sound.speech_like(1.5), codec, rate).read_bytes()
        for name, codec, rate in (
            ("a.mp3", "libmp3lame", 16000),
            ("a.flac", "flac", 16000),
            ("a.ogg", "libopus", 48000),
        )
    ]
    told = []
    for number in range(30):
        data = bytearray(originals[number % 3])
        for _ in range(random.integers(1, 40)):
            data[random.integers(len(data))] = random.integers(256)
        if number % 4 == 0:
            data = data[: random.integers(1, len(data))]
        path = tmp_path / "damaged.bin"
        path.write_bytes(bytes(data))
        try:
            for window in windows(path):
                assert np.isfinite(window.samples).all()
        except FakeLabError as error:
            told.append(str(error))
    assert all(told) and len(told) < 30
