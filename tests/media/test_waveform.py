"""The outline of sound: its heights, its place in time, and what has none."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import media_maker as maker
from fakelab.errors import DamagedMediaError, NotFoundError, UnsupportedMediaError
from fakelab.media.waveform import waveform


def recording(path: Path, wave: NDArray[np.int16], rate: int = 16000, skip_s: float = 0.0, at_s: float = 0.0) -> Path:
    """A recording of (channels, samples); its second half comes `skip_s` later than it should."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(wave)]
    with av.open(str(path), "w") as out:
        sound = out.add_stream("pcm_s16le", rate=rate, layout=layout)
        step = rate // 10
        for at in range(0, wave.shape[1], step):
            part = np.ascontiguousarray(wave[:, at : at + step].T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout=layout)
            frame.sample_rate = rate
            frame.pts = at + round(rate * at_s) + (round(skip_s * rate) if at >= wave.shape[1] // 2 else 0)
            for packet in sound.encode(frame):
                out.mux(packet)
        for packet in sound.encode():
            out.mux(packet)
    return path


def test_low_and_high_follow_the_sound(tmp_path: Path) -> None:
    wave = np.zeros((1, 160_000), np.int16)
    wave[0, 32_000:64_000] = 16384
    wave[0, 64_000:96_000] = -8192
    found = waveform(recording(tmp_path / "a.wav", wave), points=10)
    assert found.duration_s == pytest.approx(10)
    assert found.low.shape == found.high.shape == (10,)
    assert found.low.dtype == found.high.dtype == np.float32
    assert found.high[[0, 2, 3, 5, 8]].tolist() == [0, 0.5, 0.5, -0.25, 0]
    fine = waveform(tmp_path / "a.wav", points=1000)
    assert (fine.low[202:398] == 0.5).all()
    assert (fine.high[402:598] == -0.25).all()
    assert (fine.high[:198] == 0).all()


def test_a_click_is_seen_at_its_place_whatever_the_number_of_points(tmp_path: Path) -> None:
    wave = np.zeros((1, 480_000), np.int16)
    wave[0, 300_001] = 32767
    path = recording(tmp_path / "a.wav", wave)
    for points in (1, 7, 100, 1000):
        found = waveform(path, points)
        assert found.high.max() > 0.99
        assert int(found.high.argmax()) == pytest.approx(int(300_001 / 480_000 * points), abs=max(1, points // 500))
        assert (found.high > 0.5).sum() <= 2


def test_channels_are_mixed(tmp_path: Path) -> None:
    wave = np.zeros((2, 32_000), np.int16)
    wave[0], wave[1] = 16384, -16384
    assert np.abs(waveform(recording(tmp_path / "a.wav", wave), 4).high).max() < 0.01
    wave[1] = 16384
    assert waveform(recording(tmp_path / "b.wav", wave), 4).high == pytest.approx([0.5] * 4, abs=0.01)


def test_a_gap_is_silence_and_not_closed(tmp_path: Path) -> None:
    wave = np.full((1, 64_000), 16384, np.int16)
    found = waveform(recording(tmp_path / "a.mka", wave, skip_s=4.0), 8)
    assert found.duration_s == pytest.approx(8, abs=0.1)
    assert found.high == pytest.approx([0.5, 0.5, 0, 0, 0, 0, 0.5, 0.5], abs=0.02)


def test_a_gap_that_cannot_be_is_closed(tmp_path: Path) -> None:
    wave = np.full((1, 64_000), 16384, np.int16)
    found = waveform(recording(tmp_path / "a.mka", wave, skip_s=95_000.0), 8)
    assert found.duration_s == pytest.approx(4, abs=0.1)
    assert found.high == pytest.approx([0.5] * 8, abs=0.02)


def test_more_points_than_samples(tmp_path: Path) -> None:
    found = waveform(recording(tmp_path / "a.wav", np.full((1, 100), 16384, np.int16)), 1000)
    assert found.high.shape == (1000,)
    assert found.high == pytest.approx([0.5] * 1000)


def test_the_sound_of_a_video_lies_on_the_time_of_its_pictures(tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mp4", 100, sound_s=1.0)
    found = waveform(path, 8)
    assert found.duration_s == pytest.approx(4.0, abs=0.01)
    assert (found.high[:2] > 0.2).all()
    assert (found.low[:2] < -0.2).all()
    assert np.abs(found.high[3:]).max() < 0.01


def test_sound_longer_than_the_pictures_is_cut(tmp_path: Path) -> None:
    found = waveform(maker.make_video(tmp_path / "a.mp4", 25, sound_s=9.0), 5)
    assert found.duration_s == pytest.approx(1.0, abs=0.01)
    assert (found.high > 0.2).all()


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.mp3", "libmp3lame"), ("a.ogg", "libopus")])
def test_compressed_recordings(name: str, codec: str, tmp_path: Path) -> None:
    found = waveform(maker.make_sound(tmp_path / name, 2.0, codec), 50)
    assert found.duration_s == pytest.approx(2.0, abs=0.15)
    assert found.high[5:40] == pytest.approx([0.244] * 35, abs=0.03)


def test_pictures_and_silent_videos_have_none(tmp_path: Path) -> None:
    for path in (
        maker.make_video(tmp_path / "a.mp4", 25),
        maker.make_video(tmp_path / "b.mp4", 25, cover=True),
    ):
        found = waveform(path)
        assert found.low.shape == found.high.shape == (0,)
        assert found.duration_s == pytest.approx(1.0)
    from PIL import Image as Pil

    photo = Pil.fromarray(np.zeros((40, 60, 3), np.uint8))
    photo.save(tmp_path / "a.png")
    assert waveform(tmp_path / "a.png").high.shape == (0,)
    photo.save(tmp_path / "a.gif", save_all=True, append_images=[Pil.new("RGB", (60, 40), "red")], duration=500)
    found = waveform(tmp_path / "a.gif")
    assert (found.high.shape, found.duration_s) == ((0,), 1.0)


def test_bad_files_give_the_errors_of_the_reader(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        waveform(tmp_path / "missing.wav")
    (tmp_path / "a.wav").write_text("hello")
    with pytest.raises(UnsupportedMediaError):
        waveform(tmp_path / "a.wav")
    good = maker.make_sound(tmp_path / "b.flac", 1.0, "flac").read_bytes()
    (tmp_path / "c.flac").write_bytes(good[:60])
    with pytest.raises(DamagedMediaError):
        waveform(tmp_path / "c.flac")
    with pytest.raises(ValueError, match="points"):
        waveform(tmp_path / "b.flac", 0)
