"""Single frames at given moments: which ones come, how large, and what a bad file gives."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

import media_maker as maker
from fakelab.errors import DamagedMediaError, LimitError, NotFoundError, UnsupportedMediaError
from fakelab.media import Limits, Media, open_media
from fakelab.media.stills import stills
from fakelab.media.video import VideoReader
from fakelab.media.wire import Job
from fakelab.records import Frame


def numbers(path: Path, times_s: list[float]) -> list[int]:
    return [maker.read_number(still.image) for still in stills(path, times_s)]


def test_the_frames_on_show_come_in_the_order_asked(long_clip: Path) -> None:
    times = [5.0, 0.0, 39.96, 12.479999, 12.47, 3.03, 3.0, 5.0, 20.5]
    found = stills(long_clip, times)
    assert [maker.read_number(s.image) for s in found] == [125, 0, 999, 312, 311, 75, 75, 125, 512]
    for still, time_s in zip(found, times, strict=True):
        assert still.time_s <= time_s + 0.001 < still.time_s + 0.042
        assert still.image.shape == (96, 160, 3)
        assert still.image.dtype == np.uint8


def test_the_times_of_sampled_frames_lead_back_to_them(long_clip: Path) -> None:
    with open_media(long_clip) as media:
        frames = [(round(f.time_s, 6), maker.read_number(f.image)) for f in media.frames()]
    assert numbers(long_clip, [time_s for time_s, _ in frames]) == [number for _, number in frames]


def test_times_outside_the_clip_give_its_first_and_last_frame(short_clip: Path) -> None:
    found = stills(short_clip, [1e9, -3.0, 2.0])
    assert [maker.read_number(s.image) for s in found] == [49, 0, 49]
    assert [s.time_s for s in found] == pytest.approx([1.96, 0.0, 1.96])


def test_no_times_no_frames(short_clip: Path) -> None:
    assert stills(short_clip, []) == []


@pytest.mark.parametrize("time_s", [float("nan"), float("inf")])
def test_a_time_must_be_a_number(short_clip: Path, time_s: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        stills(short_clip, [time_s])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_clip_comes_upright_and_small(degrees: int, tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mp4", 30, width_px=320, height_px=192, clockwise_deg=degrees)
    still = stills(path, [1.0], longest_px=160)[0]
    assert still.image.shape == (96, 160, 3)
    assert maker.is_upright(still.image)
    assert maker.read_number(still.image) == 25


def test_odd_sizes_keep_their_shape(tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mkv", 10, width_px=321, height_px=241, codec="ffv1")
    whole, small = stills(path, [0.2])[0].image, stills(path, [0.2], longest_px=100)[0].image
    assert whole.shape == (241, 321, 3)
    assert small.shape == (75, 100, 3)
    assert maker.read_number(whole) == maker.read_number(small) == 5


def test_variable_frame_rate_and_other_codecs(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 5.0, 5.1, 9.0]
    path = maker.make_video(tmp_path / "a.mkv", len(times), times=times, codec="mpeg4")
    assert numbers(path, [0.15, 4.9, 5.05, 8.9, 9.0]) == [1, 2, 3, 4, 5]
    path = maker.make_video(tmp_path / "b.mov", 60, codec="libx265", options={"x265-params": "log-level=none"})
    assert numbers(path, [2.0, 0.4]) == [50, 10]
    path = maker.make_video(tmp_path / "c.avi", 60, codec="mpeg4", options={"bf": "2"})
    assert numbers(path, [1.2, 2.0])[0] in (29, 30, 31)


def test_where_seeking_leads_behind_the_moment_one_pass_does_the_same(
    long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with long_clip.open("rb") as file:
        reader = VideoReader(Job(file, "mp4", "mov", 1, 10**8))
        reader.facts()
        real = reader._seek
        monkeypatch.setattr(reader, "_seek", lambda place: real(place + 10 / reader._time_base) if place > 1 else True)
        found = {p.burst: p.time_s for p in reader.at([8.0, 20.0])}
    assert found == {0: pytest.approx(8.0), 1: pytest.approx(20.0)}


def test_a_photo_gives_itself(tmp_path: Path) -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    image[:, :200] = (200, 30, 30)
    exif = Pil.Exif()
    exif[0x0112] = 6  # a quarter clockwise makes it upright
    Pil.fromarray(image).save(tmp_path / "a.jpg", exif=exif)
    found = stills(tmp_path / "a.jpg", [0.0, 7.0], longest_px=200)
    assert [s.image.shape for s in found] == [(200, 150, 3)] * 2
    assert found[1].time_s == 0.0
    top, bottom = found[1].image[20, 75], found[0].image[180, 75]
    assert top[0] > 150
    assert bottom.max() < 50


def test_an_animation_gives_the_frames_on_show(tmp_path: Path) -> None:
    frames = [Pil.fromarray(np.full((40, 60, 3), 40 * i, np.uint8)) for i in range(6)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=200)
    found = stills(tmp_path / "a.gif", [0.99, 0.0, 0.2, 60.0])
    assert [round(int(s.image[20, 30, 0]) / 40) for s in found] == [4, 0, 1, 5]
    assert [s.time_s for s in found] == pytest.approx([0.8, 0.0, 0.2, 1.0])


def test_a_recording_has_no_frames(tmp_path: Path) -> None:
    assert stills(maker.make_sound(tmp_path / "a.m4a"), [0.0]) == []


def test_bad_files_give_the_errors_of_the_reader(tmp_path: Path, short_clip: Path) -> None:
    with pytest.raises(NotFoundError):
        stills(tmp_path / "missing.mp4", [0.0])
    (tmp_path / "a.mp4").write_text("hello")
    with pytest.raises(UnsupportedMediaError):
        stills(tmp_path / "a.mp4", [0.0])
    (tmp_path / "b.mp4").write_bytes(short_clip.read_bytes()[:2000])
    with pytest.raises(DamagedMediaError):
        stills(tmp_path / "b.mp4", [0.0])
    with pytest.raises(LimitError):
        stills(short_clip, [0.0], Limits(pixels=1000))


@pytest.mark.parametrize(
    "frame", [Frame(np.zeros((9, 9, 3), np.uint8), 0.0, 0, 1), Frame(np.zeros((9, 65, 3), np.uint8), 0.0, 0)]
)
def test_a_child_that_was_taken_over_fills_no_memory(
    frame: Frame, short_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Media, "_received", lambda _: itertools.repeat(frame))
    with pytest.raises(DamagedMediaError, match="not asked for"):
        stills(short_clip, [0.0], longest_px=64)


def test_a_clip_with_noise_in_its_middle_gives_what_is_left(tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mpg", 200, codec="mpeg2video", width_px=320, height_px=192)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    middle = slice(len(data) // 3, len(data) // 2)
    data[middle] = rng.integers(0, 256, middle.stop - middle.start, np.uint8).tobytes()
    path.write_bytes(data)
    assert numbers(path, [0.0, 7.0, 99.0]) == [0, 175, 199]
