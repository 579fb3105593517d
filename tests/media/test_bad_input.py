"""Every way a file can be wrong ends in one clear error, quickly, with nothing left behind."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import media_maker as maker
from fakelab.errors import DamagedMediaError, LimitError, MediaError, NotFoundError, UnsupportedMediaError
from fakelab.media import Limits, open_media
from fakelab.records import Kind


def refused(path: Path, kind: type[MediaError]) -> MediaError:
    with pytest.raises(kind) as caught, open_media(path) as media:
        list(media.frames())
    error = caught.value
    assert path.name in error.what or "\\" in error.what, "says which file"
    assert error.why, "says why"
    assert error.do, "says what to do"
    return error


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    assert "empty" in refused(tmp_path / "a.mp4", UnsupportedMediaError).why


def test_two_gigabytes_of_zeros_fail_before_they_are_hashed(tmp_path: Path) -> None:
    with (tmp_path / "a.mp4").open("wb") as file:
        file.truncate(2 << 30)
    began = time.monotonic()
    assert "zero bytes" in refused(tmp_path / "a.mp4", UnsupportedMediaError).why
    assert time.monotonic() - began < 0.5


def test_random_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(np.random.default_rng(0).bytes(1 << 20))
    refused(tmp_path / "a.mp4", UnsupportedMediaError)


def test_random_bytes_behind_a_true_beginning(tmp_path: Path, short_clip: Path) -> None:
    head = short_clip.read_bytes()[:40]
    (tmp_path / "a.mp4").write_bytes(head + np.random.default_rng(0).bytes(1 << 20))
    refused(tmp_path / "a.mp4", DamagedMediaError)


def test_text_named_as_a_photo(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("this is no photo\n" * 100)
    assert "a text" in refused(tmp_path / "a.jpg", UnsupportedMediaError).why


@pytest.mark.parametrize(
    "content",
    [
        "ffconcat version 1.0\nfile '{0}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {1} RTP/AVP 96\n",
        "#EXTM3U\n#EXTINF:2,\nhttp://127.0.0.1:{1}/x.ts\n",
    ],
)
def test_playlists_open_neither_their_neighbour_nor_the_network(content: str, tmp_path: Path, short_clip: Path) -> None:
    neighbour = tmp_path / "neighbour.mp4"
    neighbour.write_bytes(short_clip.read_bytes())
    os.utime(neighbour, (1, 1))
    before = neighbour.stat().st_atime_ns
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        path = tmp_path / "a.mp4"
        path.write_text(content.format(neighbour, server.getsockname()[1]))
        error = refused(path, UnsupportedMediaError)
        with pytest.raises(TimeoutError):
            server.accept()
    assert "points at" in error.why
    assert neighbour.stat().st_atime_ns == before


def test_truncated_before_its_index(tmp_path: Path, long_clip: Path) -> None:
    data = long_clip.read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
    assert "incomplete" in refused(tmp_path / "a.mp4", DamagedMediaError).do


def test_truncated_behind_its_index_gives_what_is_there(tmp_path: Path) -> None:
    whole = maker.make_video(tmp_path / "a.mp4", 1000, gop=50, muxer={"movflags": "faststart"}).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    with open_media(tmp_path / "cut.mp4") as media:
        numbers = [maker.read_number(f.image) for f in media.frames()]
    assert any("declares 40.0 s" in w for w in media.warnings)
    assert media.info.duration_s is not None
    assert 10 < media.info.duration_s < 32
    assert len(numbers) == len(set(numbers)) == 16
    assert max(numbers) > 0.8 * media.info.duration_s * 25


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "a.mp4", NotFoundError).why


def test_folder(tmp_path: Path) -> None:
    assert "folder" in refused(tmp_path, NotFoundError).why


def test_a_name_with_a_zero_byte() -> None:
    refused(Path("a\0.mp4"), NotFoundError)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path, short_clip: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(short_clip.read_bytes())
    (tmp_path / "a.mp4").chmod(0)
    assert "permission" in refused(tmp_path / "a.mp4", NotFoundError).why


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    assert "pipe" in refused(tmp_path / "a.mp4", NotFoundError).why


def test_a_file_over_the_limit_on_bytes(short_clip: Path) -> None:
    with pytest.raises(LimitError, match="1000"):
        open_media(short_clip, limits=Limits(file_bytes=1000))


def test_a_video_over_the_limit_on_pixels(short_clip: Path) -> None:
    with pytest.raises(LimitError, match="160 x 96"):
        open_media(short_clip, limits=Limits(pixels=10_000))


@pytest.mark.parametrize(
    "name",
    [
        "with space.mp4",
        'it\'s "quoted".mp4',
        "line\nbreak.mp4",
        "שלום عربى.mp4",
        "-i.mp4",
        "%d_$HOME.mp4",
        "concat:a|b.mp4",
        "file:x?y#z.mp4",
        "no extension",
        "wrong.jpg",
        os.fsdecode(b"\xff\xfe.mp4"),
    ],
)
def test_awkward_names(name: str, tmp_path: Path, short_clip: Path) -> None:
    path = tmp_path / name
    path.write_bytes(short_clip.read_bytes())
    with open_media(path) as media:
        assert media.info.kind is Kind.VIDEO
        assert media.info.name == name
        assert media.info.sha256 == hashlib.sha256(short_clip.read_bytes()).hexdigest()
        assert media.info.size_bytes == short_clip.stat().st_size
        assert maker.read_number(next(media.frames()).image) == 3


def test_a_file_that_is_still_being_written(tmp_path: Path, short_clip: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(short_clip.read_bytes() + bytes(64 << 20))
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab") as file:
            while not stop.wait(0.001):
                file.write(b"more")
                file.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        assert "changed" in refused(path, DamagedMediaError).why
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("seed", range(10))
def test_flipped_bytes_never_escape_as_anything_but_a_media_error(seed: int, tmp_path: Path, short_clip: Path) -> None:
    rng = np.random.default_rng(seed)
    if seed % 2:
        path = tmp_path / "a.jpg"
        from PIL import Image

        Image.fromarray(maker.numbered(1)).save(path)
    else:
        path = tmp_path / "a.mp4"
        path.write_bytes(short_clip.read_bytes())
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    where = rng.integers(16, len(data), 1 + len(data) // 200)
    data[where] = rng.integers(0, 256, len(where))
    path.write_bytes(data.tobytes())
    with contextlib.suppress(MediaError), open_media(path) as media:
        for frame in media.frames():
            assert frame.image.shape[2] == 3
