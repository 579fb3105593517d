"""Copies for browsers: every frame at its time, whatever the file, and nothing left behind where there is none."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import itertools
import re
import shutil
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import jsonschema
import numpy as np
import pytest
from PIL import Image as Pil

import media_maker as maker
from analysis_maker import no_face
from fakelab.errors import (
    DamagedMediaError,
    EnvironmentBrokenError,
    LimitError,
    NotFoundError,
    UnsupportedMediaError,
)
from fakelab.media import Limits, Media, open_media
from fakelab.media.faststart import faststart
from fakelab.media.proxy import playable, write_proxy
from fakelab.media.waveform import waveform
from fakelab.media.wire import MalformedError
from fakelab.reports.json_report import document, schema
from fakelab.reports.read_json import read_document

Shown = list[tuple[int, float]]


def proxy_of(path: Path, **options: Any) -> Path:
    target = path.parent / "proxy" / f"{path.name}.mp4"
    target.parent.mkdir(exist_ok=True)
    write_proxy(path, target, **options)
    assert [p.name for p in target.parent.iterdir()] == [target.name], "nothing but the copy is left"
    return target


def shown(path: Path) -> Shown:
    """(number, time) of every frame, from where a player's clock says 0."""
    with av.open(str(path)) as container:
        start_s = (container.start_time or 0) / av.time_base
        return [(maker.read_number(f.to_ndarray(format="rgb24")), f.time - start_s) for f in container.decode(video=0)]


def same(copy: Shown, original: Shown, within_s: float = 0.002) -> None:
    assert [number for number, _ in copy] == [number for number, _ in original]
    assert [time_s for _, time_s in copy] == pytest.approx([time_s for _, time_s in original], abs=within_s)


FORMATS: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "hevc.mov": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "h264.ts": {"container": "mpegts"},
    "h264.flv": {},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "ffv1.mkv": {"codec": "ffv1"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_frame_at_its_time(name: str, tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / name, 60, **FORMATS[name])
    target = proxy_of(path)
    same(shown(target), shown(path))
    with av.open(str(target)) as copy:
        video = copy.streams.video[0]
        assert (video.codec_context.name, video.pix_fmt) == ("h264", "yuv420p")
        assert not copy.streams.audio
        keys = [p.pts * p.time_base for p in copy.demux(video) if p.size and p.is_keyframe]
    assert keys[0] == 0
    assert max(b - a for a, b in itertools.pairwise(keys)) <= 1
    with open_media(target) as media:
        assert playable(vars_of(media.info))


def vars_of(info: Any) -> dict[str, Any]:
    return {name: getattr(info, name) for name in type(info).__slots__} | {"kind": str(info.kind)}


def test_prores_with_ten_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("prores_ks", rate=24)
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv422p10le"
        for i in range(30):
            frame = av.VideoFrame.from_ndarray(maker.numbered(i, 320, 192), format="rgb24")
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    with open_media(path) as media:
        assert media.info.pixel_format == "yuv422p10le"
        assert not playable(vars_of(media.info))
    same(shown(proxy_of(path)), shown(path))


def test_a_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    times = [i / 30 for i in range(40)] + [2 + i * 0.7 for i in range(8)] + [9 + i / 30 for i in range(40)]
    path = maker.make_video(tmp_path / "a.mkv", len(times), times=times)
    copy = shown(proxy_of(path))
    assert [number for number, _ in copy] == list(range(len(times)))
    assert [time_s for _, time_s in copy] == pytest.approx(times, abs=0.001)


@pytest.mark.parametrize("turned", [{"clockwise_deg": 90}, {"clockwise_deg": 180}, {"clockwise_deg": 270}])
def test_a_turned_clip_is_stored_upright(turned: dict[str, Any], tmp_path: Path) -> None:
    target = proxy_of(maker.make_video(tmp_path / "a.mp4", 20, width_px=320, height_px=192, **turned))
    with av.open(str(target)) as copy:
        frames = list(copy.decode(video=0))
    assert "DISPLAYMATRIX" not in frames[0].side_data
    images = [f.to_ndarray(format="rgb24") for f in frames]
    assert images[0].shape == (192, 320, 3)
    assert all(maker.is_upright(image) for image in images)
    assert [maker.read_number(image) for image in images] == list(range(20))


def test_a_mirrored_clip_is_mirrored_back(tmp_path: Path) -> None:
    target = proxy_of(maker.make_video(tmp_path / "a.mp4", 10, mirror=True))
    with av.open(str(target)) as copy:
        assert maker.is_upright(next(copy.decode(video=0)).to_ndarray(format="rgb24"))


@pytest.mark.parametrize(
    ("size", "longest_px", "wanted"),
    [
        ((321, 241), 854, (320, 240)),
        ((1281, 721), 640, (640, 360)),
        ((161, 801), 400, (80, 400)),
        ((800, 33), 20, (20, 2)),
    ],
)
def test_sizes_are_even_and_at_most_what_is_asked(
    size: tuple[int, int], longest_px: int, wanted: tuple[int, int], tmp_path: Path
) -> None:
    path = maker.make_video(tmp_path / "a.mkv", 5, width_px=size[0], height_px=size[1], codec="ffv1")
    with av.open(str(proxy_of(path, longest_px=longest_px))) as copy:
        assert (copy.streams.video[0].width, copy.streams.video[0].height) == wanted
        assert sum(1 for _ in copy.decode(video=0)) == 5


def test_pixels_become_square(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 180, 144, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        for i in range(5):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(maker.numbered(i, 180, 144), format="rgb24")))
        out.mux(stream.encode(None))
    with av.open(str(proxy_of(path))) as copy:
        video = copy.streams.video[0]
        assert (video.width, video.height) == (262, 144)
        assert video.sample_aspect_ratio in (None, 1)
        assert maker.read_number(next(copy.decode(video=0)).to_ndarray(format="rgb24")) == 0


def test_colours_stay(tmp_path: Path) -> None:
    """Full-range BT.601, as phones and screen recorders write it, comes out as it looks."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = 5, 2
        frame = av.VideoFrame(64, 64, "yuvj420p")
        for plane, value in zip(frame.planes, (76, 85, 255), strict=True):  # pure red
            plane.update(bytes([value]) * plane.buffer_size)
        frame.colorspace, frame.color_range = 5, 2
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with open_media(proxy_of(path)) as media:
        red = next(media.frames()).image[32, 32]
    assert np.abs(red.astype(int) - [255, 0, 0]).max() <= 8


def test_sound_is_kept_and_stays_in_time(tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mkv", 100, sound_s=2.0)
    target = proxy_of(path)
    with av.open(str(target)) as copy:
        assert copy.streams.audio[0].codec_context.name == "aac"
    before, after = waveform(path, 40), waveform(target, 40)
    assert after.duration_s == pytest.approx(4.0, abs=0.05)
    assert after.high == pytest.approx(before.high, abs=0.08)
    assert (after.high[1:19] > 0.2).all()
    assert (after.high[22:] < 0.05).all()


def test_a_recording_becomes_sound_alone(tmp_path: Path) -> None:
    path = maker.make_sound(tmp_path / "a.ogg", 2.0, "libopus")
    target = proxy_of(path)
    with av.open(str(target)) as copy:
        assert not copy.streams.video
        assert copy.duration / av.time_base == pytest.approx(2.0, abs=0.1)
    assert waveform(target, 20).high[2:18] == pytest.approx([0.244] * 16, abs=0.05)


def test_an_animation_becomes_a_video(tmp_path: Path) -> None:
    frames = [Pil.fromarray(maker.numbered(i, 175, 97)) for i in range(4)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[100, 400, 200, 300])
    target = proxy_of(tmp_path / "a.gif")
    same(shown(target), [(0, 0.0), (1, 0.1), (2, 0.5), (3, 0.7)])
    with av.open(str(target)) as copy:
        assert copy.duration / av.time_base == pytest.approx(1.0)


def test_pictures_of_changing_size(tmp_path: Path) -> None:
    small = maker.make_video(tmp_path / "a.ts", 10, container="mpegts").read_bytes()
    large = maker.make_video(tmp_path / "b.ts", 10, container="mpegts", width_px=320, height_px=192).read_bytes()
    (tmp_path / "c.ts").write_bytes(small + large)
    with av.open(str(proxy_of(tmp_path / "c.ts"))) as copy:
        images = [f.to_ndarray(format="rgb24") for f in copy.decode(video=0)]
    assert {image.shape for image in images} in ({(96, 160, 3)}, {(192, 320, 3)})


def test_the_index_lies_before_the_pictures(short_clip: Path, tmp_path: Path) -> None:
    write_proxy(short_clip, tmp_path / "a.mp4")
    data = (tmp_path / "a.mp4").read_bytes()
    assert data[4:8] == b"ftyp"
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_progress_is_told(long_clip: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    write_proxy(long_clip, tmp_path / "a.mp4", tell=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert {total for _, total in told} == {40}
    assert told[-1] == (40, 40)
    assert len(told) > 20


def test_a_damaged_file_gives_an_error_and_leaves_nothing(short_clip: Path, tmp_path: Path) -> None:
    path, folder = tmp_path / "a.mp4", tmp_path / "out"
    folder.mkdir()
    path.write_bytes(short_clip.read_bytes()[:3000])
    with pytest.raises(DamagedMediaError, match=r"a\.mp4"):
        write_proxy(path, folder / "b.mp4")
    path.write_text("hello")
    with pytest.raises(UnsupportedMediaError):
        write_proxy(path, folder / "b.mp4")
    with pytest.raises(NotFoundError):
        write_proxy(tmp_path / "missing.mp4", folder / "b.mp4")
    Pil.new("RGB", (40, 30)).save(tmp_path / "a.png")
    with pytest.raises(UnsupportedMediaError, match="photo"):
        write_proxy(tmp_path / "a.png", folder / "b.mp4")
    assert list(folder.iterdir()) == []


def test_a_limit_in_the_middle_leaves_the_old_copy(large_clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    target.write_bytes(b"old")
    with pytest.raises(LimitError):
        write_proxy(large_clip, target, Limits(wall_s=0.02))
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_one_who_stops_it_leaves_nothing(long_clip: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        if done >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_proxy(long_clip, tmp_path / "a.mp4", tell=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("part", "data"),
    [
        ({"at": 1 << 60, "time_s": 0.0}, b"x"),
        ({"at": -1, "time_s": 0.0}, b"x"),
        ({"at": 0, "time_s": float("nan")}, b"x"),
        ({"at": 0, "time_s": 0.0}, b"no MP4"),
    ],
)
def test_a_child_that_was_taken_over_writes_nothing(
    part: dict[str, Any], data: bytes, short_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Media, "parts", lambda *_: iter([(part, data)]))
    with pytest.raises(DamagedMediaError, match="nonsense"):
        write_proxy(short_clip, tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_said(short_clip: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBrokenError, match="cannot be written"):
        write_proxy(short_clip, tmp_path / "missing" / "a.mp4")


def test_noise_in_the_middle_costs_its_frames_alone(tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mpg", 200, codec="mpeg2video", width_px=320, height_px=192)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    middle = slice(len(data) // 3, len(data) // 2)
    data[middle] = rng.integers(0, 256, middle.stop - middle.start, np.uint8).tobytes()
    path.write_bytes(data)
    copy = shown(proxy_of(path))
    assert copy[0] == (0, pytest.approx(0.0, abs=0.001))
    assert copy[-1][1] == pytest.approx(199 / 25, abs=0.1)
    times = [time_s for _, time_s in copy]
    assert times == sorted(times)
    assert len(copy) > 100


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\x10ftypisom\0\0\0\0",
        b"\0\0\0\x10ftypisom\0\0\0\0" + b"\xff\xff\xff\xffmoov",
        b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x10moov\0\0\0\x20trak",
        b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x18moov\0\0\0\x10stco\0\0\0\0\0\0\0\x09",
        b"\0\0\0\x04ftyp" * 9,
    ],
)
def test_an_index_of_nonsense_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(data)
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("wb") as target, pytest.raises(MalformedError):
        faststart(source, target)


H264 = {"kind": "video", "container": "mp4", "video_codec": "h264", "audio_codec": "aac", "pixel_format": "yuv420p"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"container": "mov", "rotation_deg": 90}, True),
        ({"audio_codec": None}, True),
        ({"audio_codec": "mp3"}, True),
        ({"pixel_format": "yuvj420p"}, True),
        ({"container": "webm", "video_codec": "vp9", "audio_codec": "opus"}, True),
        ({"container": "webm", "video_codec": "av1", "audio_codec": None}, True),
        ({"container": "webm", "video_codec": "vp8", "audio_codec": "vorbis"}, True),
        ({"kind": "audio", "container": "mp3", "video_codec": None, "audio_codec": "mp3"}, True),
        ({"pixel_format": "yuv420p10le"}, False),
        ({"pixel_format": "yuv422p"}, False),
        ({"pixel_format": None}, False),
        ({"video_codec": "hevc"}, False),
        ({"video_codec": "mpeg4"}, False),
        ({"audio_codec": "pcm_s16le"}, False),
        ({"audio_codec": "ac3"}, False),
        ({"container": "matroska"}, False),
        ({"container": "avi"}, False),
        ({"container": "webm", "video_codec": "vp9", "audio_codec": "opus", "rotation_deg": 90}, False),
        ({"kind": "audio", "container": "amr", "audio_codec": "amr_nb"}, False),
        ({"kind": "photo", "container": "jpeg"}, False),
        ({"kind": None, "container": None, "video_codec": None}, False),
    ],
)
def test_what_browsers_play(change: dict[str, Any], expected: bool) -> None:
    assert playable(H264 | change) is expected
    assert not playable({})


def test_the_document_of_an_analysis_says_enough(short_clip: Path) -> None:
    with open_media(short_clip) as media:
        made = document(dataclasses.replace(no_face(), file=media.info))
    jsonschema.validate(made, schema())
    assert made["file"]["pixel_format"] == "yuv420p"
    assert playable(made["file"])
    assert read_document(made).file == media.info


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; answers one range of a file as web servers do."""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        data = path.read_bytes() if path.is_file() else None
        if data is None:
            self.send_error(404)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = (int(wanted[1]), int(wanted[2] or len(data) - 1)) if wanted else (0, len(data) - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Type", "video/mp4" if path.suffix == ".mp4" else "text/html")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end + 1 - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data[start : end + 1])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of `tmp_path`."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0),
        lambda *each: _Ranges(*each, directory=str(tmp_path)),  # type: ignore[arg-type]
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


SHOW = """
async (times) => {
    const video = document.querySelector('video'), found = [];
    if (video.readyState < 2) await new Promise((done, failed) => {
        video.onloadeddata = done;
        video.onerror = () => failed(new Error(video.error.message));
    });
    const canvas = document.createElement('canvas');
    canvas.width = video.videoWidth; canvas.height = video.videoHeight;
    const pen = canvas.getContext('2d', {willReadFrequently: true});
    for (const time of times) {
        // "seeked" says where the player stands, the callback that the frame is there to be drawn.
        const sought = new Promise(done => video.onseeked = done);
        const shown = new Promise(done => video.requestVideoFrameCallback(done));
        video.currentTime = time;
        await Promise.all([sought, shown]);
        pen.drawImage(video, 0, 0);
        let number = 0;
        for (let bit = 0; bit < 16; bit++) {
            const pixel = pen.getImageData((bit + 0.5) * canvas.width / 16, canvas.height / 4, 1, 1).data;
            number = number * 2 + (pixel[1] > 128 ? 1 : 0);
        }
        found.push(number);
    }
    return {duration: video.duration, width: canvas.width, height: canvas.height, found};
}
"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_chromium_plays_it_and_seeks_to_the_exact_frame(served: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    uneven = [i / 30 for i in range(60)] + [3 + i * 0.5 for i in range(8)] + [8 + i / 30 for i in range(60)]
    clips = {
        "even": (maker.make_video(tmp_path / "a.avi", 500, codec="mpeg4", width_px=320, height_px=192), 20.0),
        "uneven": (maker.make_video(tmp_path / "b.mkv", len(uneven), times=uneven, sound_s=9.0), 10.0),
        "turned": (maker.make_video(tmp_path / "c.mp4", 100, clockwise_deg=90, sound_s=4.0), 4.0),
    }
    starts = {"even": [i / 25 for i in range(500)], "uneven": uneven, "turned": [i / 25 for i in range(100)]}
    (tmp_path / "proxy").mkdir()
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        for name, (path, length_s) in clips.items():
            write_proxy(path, tmp_path / "proxy" / f"{name}.mp4")
            (tmp_path / "page.html").write_text(f"<video muted preload=auto src='proxy/{name}.mp4'></video>")
            page.goto(f"{served}/page.html")
            # Backwards and forwards, and into the middle of a frame's time: players round.
            numbers = [len(starts[name]) - 2, 0, 77, 31, 30, 1, 60, len(starts[name]) // 2]
            middles = [(starts[name][n] + starts[name][n + 1]) / 2 for n in numbers]
            seen = page.evaluate(SHOW, middles)
            assert seen["found"] == numbers, name
            assert seen["duration"] == pytest.approx(length_s, abs=0.12), name
        browser.close()
    assert (seen["width"], seen["height"]) == (160, 96)
