"""What is sampled from a video: every test reads from the pixels which frames it got."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

import media_maker as maker
from fakelab.media import Density, open_media
from fakelab.media.video import VideoReader, turn_of
from fakelab.media.wire import Job, RefusedError, Turn
from fakelab.records import Frame, Kind

BURST = Density().frames_per_burst
SAMPLED = Density().bursts * BURST


def sampled(path: Path, density: Density | None = None) -> tuple[list[int], list[Frame]]:
    with open_media(path) as media:
        frames = list(media.frames(density))
    return [maker.read_number(f.image) for f in frames], frames


def read_here(path: Path, demuxer: str = "mov", density: Density | None = None) -> list[tuple[int, int]]:
    """(number, burst) of the frames a VideoReader in this process gives."""
    with path.open("rb") as file:
        reader = VideoReader(Job(file, "mp4", demuxer, 1, 10**8))
        reader.facts()
        return _numbers(reader, density)


def _numbers(reader: VideoReader, density: Density | None = None) -> list[tuple[int, int]]:
    found = []
    for picture in reader.frames(density or Density()):
        data = b"".join(bytes(r) for r in picture.rows)
        image = np.frombuffer(data, np.uint8).reshape(picture.height_px, picture.width_px, 3)
        found.append((maker.read_number(image), picture.burst))
    return found


FORMATS = {
    "h264.mp4": {},
    "hevc.mov": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "h264.mkv": {},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "vp8.webm": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4_b.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "h264.ts": {"container": "mpegts"},
    "h264.flv": {},
    "h264.3gp": {},
    "h264.m4v": {"container": "mp4", "muxer": {"movflags": "frag_keyframe+empty_moov"}},
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(name: str, tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / name, 100, **FORMATS[name])  # type: ignore[arg-type]
    with open_media(path) as media:
        info = media.info
        frames = list(media.frames())
    assert info.kind is Kind.VIDEO
    assert (info.width_px, info.height_px) == (160, 96)
    assert info.duration_s == pytest.approx(4.0, abs=0.09)
    assert info.fps == pytest.approx(25, rel=0.02)
    assert not info.variable_frame_rate
    assert info.video_codec == name.split(".")[0].removesuffix("_b").replace("mpeg2", "mpeg2video")
    assert info.video_bitrate_bps
    numbers = [maker.read_number(f.image) for f in frames]
    assert len(numbers) == len(set(numbers)) == SAMPLED
    assert numbers == sorted(numbers)
    for frame, number in zip(frames, numbers, strict=True):
        assert frame.time_s == pytest.approx(number / 25, abs=0.045)
    assert media.frames_failed == 0
    assert not media.warnings


def test_bursts_are_spread_over_the_whole_clip_and_not_its_first_frames(long_clip: Path) -> None:
    """Regression: a known detector took "32 evenly spread frames" that were the first 32 (a reused variable)."""
    numbers, frames = sampled(long_clip)
    assert len(numbers) == SAMPLED
    starts = numbers[::BURST]
    for burst, start in enumerate(starts):
        assert burst * 125 <= start < (burst + 1) * 125, "each eighth of the clip has its own burst"
        assert numbers[burst * BURST : (burst + 1) * BURST] == list(range(start, start + BURST)), (
            "neighbours within a burst"
        )
    assert [f.burst for f in frames] == [i // BURST for i in range(SAMPLED)]
    assert [f.index for f in frames] == list(range(SAMPLED))


def test_thorough_takes_a_burst_every_two_seconds(long_clip: Path) -> None:
    numbers, _ = sampled(long_clip, Density.thorough())
    assert len(numbers) == len(set(numbers)) == 20 * BURST
    assert all(i * 50 <= start < (i + 1) * 50 for i, start in enumerate(numbers[::BURST]))


def test_one_group_of_pictures_over_the_whole_clip(tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mkv", 700, gop=5000)
    numbers, _ = sampled(path)
    assert all(burst * 87 <= start <= (burst + 1) * 88 for burst, start in enumerate(numbers[::BURST]))
    assert len(set(numbers)) == SAMPLED


@pytest.mark.parametrize("count", [1, 2, 5, SAMPLED - 1, SAMPLED])
def test_a_short_clip_gives_each_frame_once(count: int, tmp_path: Path) -> None:
    numbers, frames = sampled(maker.make_video(tmp_path / "a.mp4", count))
    assert numbers == list(range(count))
    assert [f.burst for f in frames] == [i // BURST for i in range(count)]


def test_slightly_more_frames_than_the_plan(tmp_path: Path) -> None:
    numbers, _ = sampled(maker.make_video(tmp_path / "a.mp4", SAMPLED + 3))
    assert len(set(numbers)) == len(numbers) == SAMPLED


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_clips_come_upright(degrees: int, tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mp4", 10, clockwise_deg=degrees)
    with open_media(path) as media:
        assert media.info.rotation_deg == degrees
        assert (media.info.width_px, media.info.height_px) == (160, 96)
        images = [f.image for f in media.frames()]
    assert images[0].shape == (96, 160, 3)
    assert images[0].flags.c_contiguous
    assert maker.is_upright(images[0])
    assert [maker.read_number(i) for i in images] == list(range(10))


def test_a_mirrored_clip_is_mirrored_back_and_not_upside_down(tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mp4", 10, mirror=True)
    with open_media(path) as media:
        assert media.info.rotation_deg == 0
        assert maker.is_upright(next(media.frames()).image)


@pytest.mark.parametrize("matrix", list(itertools.product([False, True], [1, -1], [1, -1])))
def test_a_display_matrix_in_each_of_eight_directions(matrix: tuple[bool, int, int]) -> None:
    swapped, first, second = matrix
    a, b, c, d = (0, first, second, 0) if swapped else (first, 0, 0, second)

    stored = np.array([a, b, 0, c, d, 0, 0, 0, 1], np.int32).tobytes()
    turn = turn_of(SimpleNamespace(side_data={"DISPLAYMATRIX": stored}))
    # A point to the right of the centre goes to (a, b), one below it to (c, d).
    image = np.zeros((3, 3))
    image[1, 2], image[2, 1] = 1, 2
    image = image.T if turn.transpose else image
    image = image[:, ::-1] if turn.flip_x else image
    image = image[::-1] if turn.flip_y else image
    assert image[1 + b, 1 + a] == 1
    assert image[1 + d, 1 + c] == 2


def test_rotation_is_named_in_clockwise_degrees() -> None:
    assert Turn(True, True, False).clockwise_deg == 90  # the matrix of a phone held upright
    assert Turn(True, False, True).clockwise_deg == 270


def test_variable_frame_rate_uses_real_times(tmp_path: Path) -> None:
    times = [i / 30 for i in range(60)] + [2 + i / 5 for i in range(40)] + [10 + i / 30 for i in range(60)]
    path = maker.make_video(tmp_path / "a.mkv", len(times), times=times)
    with open_media(path) as media:
        assert media.info.variable_frame_rate
        assert media.info.duration_s == pytest.approx(12, abs=0.3)
        frames = list(media.frames())
    numbers = [maker.read_number(f.image) for f in frames]
    assert len(set(numbers)) == len(numbers) == SAMPLED
    for frame, number in zip(frames, numbers, strict=True):
        assert frame.time_s == pytest.approx(times[number], abs=0.01)
    assert {n // 60 for n in numbers} >= {0, 1}
    assert min(numbers) < 60
    assert max(numbers) >= 130


def test_sound_longer_than_the_pictures_does_not_empty_the_last_bursts(tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mkv", 350, sound_s=45.0)
    numbers, _ = sampled(path)
    assert len(numbers) == SAMPLED
    assert 300 < max(numbers) < 350


def test_a_clip_without_duration_or_index_is_sampled_to_its_end(tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mkv", 800, muxer={"live": "1"})
    with open_media(path) as media:
        assert media.info.duration_s == pytest.approx(32, abs=0.2)
        numbers = [maker.read_number(f.image) for f in media.frames()]
    assert all(burst * 100 <= start < (burst + 1) * 100 for burst, start in enumerate(numbers[::BURST]))


def test_where_seeking_fails_one_pass_does_the_same(long_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_seek(reader: VideoReader, place: float) -> bool:
        reader._seekable = False
        return False

    monkeypatch.setattr(VideoReader, "_seek", no_seek)
    found = read_here(long_clip)
    assert len(set(found)) == SAMPLED
    assert all(b * 125 <= n < (b + 1) * 125 for n, b in found)


def test_where_seeking_breaks_in_the_middle_one_pass_takes_over(long_clip: Path) -> None:
    with long_clip.open("rb") as file:
        reader = VideoReader(Job(file, "mp4", "mov", 1, 10**8))
        reader.facts()
        real, calls = reader._seek, []

        def seek(place: float) -> bool:
            calls.append(place)
            if len(calls) == 4:
                return real(10**9) and not list(reader._packets())  # says yes, and leads behind the end
            return real(place)

        reader._seek = seek  # type: ignore[method-assign]
        found = _numbers(reader)
    assert len(set(found)) == SAMPLED
    assert all(b * 125 <= n < (b + 1) * 125 for n, b in found)


def test_damaged_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mpg", 200, codec="mpeg2video", width_px=320, height_px=192)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    middle = slice(len(data) // 3, len(data) // 2)
    data[middle] = rng.integers(0, 256, middle.stop - middle.start, np.uint8).tobytes()
    path.write_bytes(data)
    with open_media(path) as media:
        frames = list(media.frames())
    assert len(frames) >= 16
    assert media.frames_failed > 0


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = maker.make_sound(tmp_path / "a.mp3", codec="libmp3lame", cover=True)
    with av.open(str(path)) as container:
        assert container.streams.video, "the test's file has a cover"
    with open_media(path) as media:
        assert media.info.kind is Kind.AUDIO
        assert media.info.video_codec is None
        assert list(media.frames()) == []


def test_a_cover_picture_beside_a_video_is_not_sampled(tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mp4", 10, cover=True)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 2
    numbers, frames = sampled(path)
    assert numbers == list(range(10))
    assert frames[0].image.shape == (96, 160, 3)


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [
        ("a.mp4", "aac", "mp4"),
        ("a.m4a", "aac", "ipod"),
        ("a.ogg", "libopus", "ogg"),
        ("a.wav", "pcm_s16le", "wav"),
        ("a.aac", "aac", "adts"),
        ("a.flac", "flac", "flac"),
        ("a.mp3", "libmp3lame", "mp3"),
        ("a.webm", "libopus", "webm"),
    ],
)
def test_a_file_with_sound_alone_is_audio(name: str, codec: str, container: str, tmp_path: Path) -> None:
    path = maker.make_sound(tmp_path / name, 2.0, codec, container)
    with open_media(path) as media:
        info = media.info
        assert list(media.frames()) == []
    assert info.kind is Kind.AUDIO
    assert info.width_px is None
    assert info.duration_s == pytest.approx(2.0, abs=0.2)
    assert info.audio_codec == {"libopus": "opus", "libmp3lame": "mp3"}.get(codec, codec)
    assert info.video_bitrate_bps is None


def test_both_codecs_are_named(short_clip: Path) -> None:
    with open_media(short_clip) as media:
        assert (media.info.video_codec, media.info.audio_codec) == ("h264", "aac")
        assert media.info.frames_count == 50


def test_colours_follow_the_stated_matrix(tmp_path: Path) -> None:
    """A BT.709 clip must not be converted as BT.601: greens and reds would shift by up to 25 levels."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        frame = av.VideoFrame(64, 64, "yuv420p")
        for plane, value in zip(frame.planes, (63, 102, 240), strict=True):  # pure red in BT.709, limited range
            plane.update(bytes([value]) * plane.buffer_size)
        frame.colorspace, frame.color_range = 1, 1
        for packet in [*stream.encode(frame), *stream.encode()]:
            out.mux(packet)
    with open_media(path) as media:
        red = next(media.frames()).image[32, 32]
    assert np.abs(red.astype(int) - [255, 0, 0]).max() <= 6


def test_a_content_that_names_other_files_opens_none(tmp_path: Path, short_clip: Path) -> None:
    """Second door, behind the first bytes: even FFmpeg's playlist reader gets nothing but the file it was given."""
    (tmp_path / "neighbour.mp4").write_bytes(short_clip.read_bytes())
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"ffconcat version 1.0\nfile '{tmp_path}/neighbour.mp4'\n")
    with pytest.raises(RefusedError):
        read_here(playlist, "concat")
    playlist.write_text(f"#EXTM3U\n#EXTINF:2,\n{tmp_path}/neighbour.mp4\n#EXT-X-ENDLIST\n")
    with pytest.raises(RefusedError):
        read_here(playlist, "hls")
