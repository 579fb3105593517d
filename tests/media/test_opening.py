"""A file on its way in: its child works before it is asked, is given up without a trace, and is not hashed twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

import fakelab.media
from fakelab.errors import DamagedMediaError, NotFoundError
from fakelab.media import Media, begin_media, open_media
from fakelab.media import probe as probing

posix = pytest.mark.skipif(os.name != "posix", reason="sends signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def photo(folder: Path) -> Path:
    path = folder / "photo.jpg"
    Image.linear_gradient("L").convert("RGB").resize((320, 240)).save(path)
    return path


def test_what_it_finds_is_what_open_media_finds(short_clip: Path) -> None:
    with begin_media(short_clip) as opening, Media(opening) as media, open_media(short_clip) as known:
        assert media.info == known.info
        assert len(list(media.frames())) == 16


def test_the_child_starts_before_numpy_is_imported(short_clip: Path) -> None:
    code = (
        "import sys; from fakelab.media import begin_media\n"
        f"opening = begin_media({str(short_clip)!r})\n"
        "print('numpy' in sys.modules, opening.child.pid > 0); opening.close()"
    )
    path = {"PYTHONPATH": str(Path(fakelab.media.__file__).parents[2])}
    out = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | path, capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["False", "True"]


def test_the_second_opening_does_not_hash_the_file_again(short_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    plain = probing.read_at

    def counted(fd: int, offset: int, size: int) -> bytes:
        read.append(size)
        return plain(fd, offset, size)

    monkeypatch.setattr(probing, "read_at", counted)
    with begin_media(short_clip) as first:
        first_info, _ = first.facts()
        whole = sum(size == probing.CHUNK_BYTES for size in read)
        with begin_media(short_clip, digest=first.digest) as second:
            assert second.facts()[0] == first_info
    assert whole and sum(size == probing.CHUNK_BYTES for size in read) == whole


@linux
def test_given_up_it_leaves_neither_child_nor_descriptor(short_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(short_clip.read_bytes()[:400])

    def use() -> None:
        with begin_media(short_clip) as first, begin_media(short_clip, digest=first.digest):
            pass
        with begin_media(tmp_path / "bad.mp4") as bad, pytest.raises(DamagedMediaError):
            bad.facts()
        with pytest.raises(NotFoundError):
            begin_media(tmp_path / "nowhere.mp4")
        with begin_media(short_clip) as opening, pytest.raises(ZeroDivisionError), Media(opening):
            1 / 0  # noqa: B018

    use()
    before = len(os.listdir("/proc/self/fd"))
    use()
    assert len(os.listdir("/proc/self/fd")) == before


@posix
@pytest.mark.parametrize("late", [False, True])
def test_closed_by_another_thread_it_tells_who_waits(late: bool, short_clip: Path) -> None:
    with ThreadPoolExecutor(1) as pool, begin_media(short_clip) as opening:
        os.kill(opening.child.pid, signal.SIGSTOP)
        waiting = None if late else pool.submit(opening.facts)
        time.sleep(0.2)
        opening.close()
        with pytest.raises(DamagedMediaError, match="SIGKILL"):
            (waiting or pool.submit(opening.facts)).result(timeout=20)
    with pytest.raises(DamagedMediaError):
        opening.child.read_into(memoryview(bytearray(4)))


@linux
def test_the_traces_of_a_photo_are_read_without_a_video_decoder(tmp_path: Path, short_clip: Path) -> None:
    for path, decoder in ((photo(tmp_path), False), (short_clip, True)):
        with begin_media(path, task="traces") as opening:
            opening.facts()
            assert ("libavcodec" in Path(f"/proc/{opening.child.pid}/maps").read_text()) is decoder


@linux
def test_much_waits_in_the_pipe_at_once(short_clip: Path) -> None:
    import fcntl

    with begin_media(short_clip) as opening:
        assert fcntl.fcntl(opening.child._out.fileno(), fcntl.F_GETPIPE_SZ) >= 1 << 18
