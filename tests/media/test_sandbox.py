"""The child process: what it may not do, and what becomes of it when it crashes, hangs or swells."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

import fakelab.media
import media_maker as maker
from fakelab.errors import DamagedMediaError, EnvironmentBrokenError, LimitError
from fakelab.media import Density, Limits, Media, confinement, open_media
from fakelab.media.wire import MalformedError, number, receive, text, whole

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
posix = pytest.mark.skipif(os.name != "posix", reason="sends signals")
DENSE = Density(bursts=30, frames_per_burst=4)


def child_of(media: Media) -> int:
    return media._child.pid


def status(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))


def test_importing_the_room_loads_no_decoder() -> None:
    code = "import sys, fakelab.media; print([m for m in ('av', 'cv2', 'PIL', 'numpy') if m in sys.modules])"
    path = {"PYTHONPATH": str(Path(fakelab.media.__file__).parents[2])}
    out = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | path, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


def test_the_parent_loads_no_decoder(short_clip: Path) -> None:
    code = (
        "import sys; from fakelab.media import open_media\n"
        f"with open_media({str(short_clip)!r}) as m: print(len(list(m.frames())))\n"
        "print([m for m in ('av', 'cv2', 'PIL') if m in sys.modules])"
    )
    path = {"PYTHONPATH": str(Path(fakelab.media.__file__).parents[2])}
    out = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | path, capture_output=True, text=True, check=True
    )
    assert out.stdout.split("\n")[:2] == ["16", "[]"]


def test_it_works_installed_elsewhere_and_imports_nothing_from_the_current_folder(
    tmp_path: Path, short_clip: Path
) -> None:
    site, here = tmp_path / "site", tmp_path / "here"
    shutil.copytree(Path(fakelab.media.__file__).parents[1], site / "fakelab")
    here.mkdir()
    for name in ("av", "PIL", "fakelab_trap"):
        (here / f"{name}.py").write_text("raise SystemExit('a module of the current folder was imported')")
    code = (
        f"import sys; sys.path.insert(1, {str(site)!r})\n"
        "import fakelab.media; from fakelab.media import open_media\n"
        f"with open_media({str(short_clip)!r}) as m: print(len(list(m.frames())), fakelab.media.__file__)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=here, env=environment, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == f"16 {site}/fakelab/media/__init__.py"


def test_opening_is_quick(short_clip: Path) -> None:
    def seconds() -> float:
        began = time.perf_counter()
        open_media(short_clip).close()
        return time.perf_counter() - began

    assert min(seconds() for _ in range(5)) < 0.5


@linux
def test_limits_hold_in_the_child(large_clip: Path) -> None:
    with open_media(large_clip, limits=Limits(memory_mb=1500, cpu_s=77)) as media:
        next(media.frames(DENSE))
        limits = Path(f"/proc/{child_of(media)}/limits").read_text()
        held = {line[:25].strip(): line[25:].split()[:2] for line in limits.splitlines()}
        descriptors = [os.readlink(p) for p in Path(f"/proc/{child_of(media)}/fd").iterdir()]
        environment = Path(f"/proc/{child_of(media)}/environ").read_bytes().split(b"\0")
    assert held["Max address space"] == [str(1500 << 20)] * 2
    assert held["Max cpu time"] == ["77", "79"]
    assert held["Max open files"] == ["0", "0"]
    assert held["Max file size"] == ["0", "0"]
    assert held["Max core file size"] == ["0", "0"]
    files = [d for d in descriptors if d.startswith("/") and d != os.devnull]
    assert files == [str(large_clip)], "the media file is the only one open"
    names = {e.split(b"=")[0] for e in environment if e}
    assert names <= {b"MALLOC_ARENA_MAX", b"LD_LIBRARY_PATH"}, "no secret of the parent reaches the child"


def test_confinement_says_what_holds() -> None:
    holds = confinement()
    assert holds["separate_process"] is True
    assert isinstance(holds["network"], str)
    if sys.platform == "linux":
        for name in ("memory_limit", "cpu_limit", "file_writes_refused", "other_files_refused"):
            assert holds[name] is True, name
        assert holds["network"].startswith("none")


@linux
def test_without_a_network_namespace_there_are_still_no_sockets() -> None:
    code = (
        "import socket; from fakelab.media import confine as c; c._leave_network = lambda: False\n"
        "print(c.confine(1024, 10, 1)['network_namespace'], c.self_test(1024))"
    )
    path = {"PYTHONPATH": str(Path(fakelab.media.__file__).parents[2])}
    out = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | path, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "False {'memory': True, 'no_new_files': True, 'no_sockets': True}"


@posix
@pytest.mark.parametrize(
    ("number", "kind", "why"),
    [
        (signal.SIGKILL, DamagedMediaError, "SIGKILL"),
        (signal.SIGSEGV, DamagedMediaError, "SIGSEGV"),
        (signal.SIGXCPU, LimitError, "processor time"),
    ],
)
def test_a_crash_becomes_a_media_error(
    number: signal.Signals, kind: type[Exception], why: str, large_clip: Path
) -> None:
    with open_media(large_clip) as media:
        frames = media.frames(DENSE)
        next(frames)
        os.kill(child_of(media), number)
        with pytest.raises(kind, match=why) as caught:
            list(frames)
    assert "large.mp4" in str(caught.value)


@posix
def test_a_hang_becomes_a_limit_error_in_time(large_clip: Path) -> None:
    with open_media(large_clip, limits=Limits(wall_s=1.5)) as media:
        frames = media.frames(DENSE)
        next(frames)
        os.kill(child_of(media), signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(LimitError, match="too long"):
            list(frames)
    assert time.monotonic() - began < 4


def test_the_callers_own_time_between_frames_is_not_counted(large_clip: Path) -> None:
    with open_media(large_clip, limits=Limits(wall_s=1.5)) as media:
        for index, _ in enumerate(media.frames(DENSE)):
            if index == 0:
                time.sleep(1.6)


def test_a_photo_that_needs_too_much_memory(tmp_path: Path) -> None:
    side = 9000
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(1 + 3 * side)) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    with open_media(tmp_path / "a.png", limits=Limits(memory_mb=250)) as media:
        frames = media.frames()
        with pytest.raises(LimitError, match="250 MB of memory"):
            next(frames)


def test_a_video_that_needs_too_much_memory(tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "a.mp4", 3, width_px=2560, height_px=1440)
    with (
        pytest.raises((LimitError, DamagedMediaError)) as caught,
        open_media(path, limits=Limits(memory_mb=90)) as media,
    ):
        list(media.frames())
    assert "memory" in str(caught.value)


def test_closing_in_the_middle_leaves_nothing(large_clip: Path) -> None:
    media = open_media(large_clip)
    next(media.frames(DENSE))
    pid = child_of(media)
    media.close()
    media.close()
    if os.name == "posix":
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_an_exception_of_the_caller_leaves_nothing(large_clip: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_media(large_clip) as media:
        next(media.frames(), 1 / 0)


def test_descriptors_are_given_back(short_clip: Path, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    (tmp_path / "bad.mp4").write_bytes(short_clip.read_bytes()[:400])

    def use() -> None:
        with open_media(short_clip) as media:
            next(media.frames())
        with pytest.raises(DamagedMediaError):
            open_media(tmp_path / "bad.mp4")

    use()
    before = len(os.listdir("/proc/self/fd"))
    use()
    assert len(os.listdir("/proc/self/fd")) == before


@linux
def test_a_killed_parent_leaves_no_child(large_clip: Path) -> None:
    code = (
        "import sys, time; from fakelab.media import Density, open_media\n"
        f"m = open_media({str(large_clip)!r}); next(m.frames(Density(bursts=30)))\n"
        "print(m._child.pid, flush=True); time.sleep(60)"
    )
    path = {"PYTHONPATH": str(Path(fakelab.media.__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, "-c", code], env=os.environ | path, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _alive(child):
        time.sleep(0.02)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def test_frames_may_be_asked_for_once(short_clip: Path) -> None:
    with open_media(short_clip) as media:
        list(media.frames())
        with pytest.raises(RuntimeError, match="once"):
            media.frames()


@linux
def test_memory_does_not_grow_with_the_length_of_the_clip(tmp_path: Path) -> None:
    def peak_mb(frames: int) -> float:
        path = maker.make_video(tmp_path / f"{frames}.mp4", frames, width_px=320, height_px=192)
        highest = 0
        with open_media(path) as media:
            # More than one burst a second: 240 frames of the short clip, all seeks of the long one.
            for frame in media.frames(Density(every_s=0.5)):
                if frame.index % 8 == 0:
                    # The child ends once it has sent its last frame, which may wait here for a while.
                    with contextlib.suppress(StopIteration, FileNotFoundError):
                        highest = max(highest, status(child_of(media), "VmRSS"))
        assert highest > 0
        return highest / 1024

    short, long = peak_mb(250), peak_mb(1500)
    assert long < short + 8
    assert long < 150


def test_a_program_that_does_not_start_is_the_environments_fault(
    short_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(EnvironmentBrokenError, match="doctor"):
        open_media(short_clip)


def test_a_library_that_is_missing_is_the_environments_fault(short_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [p for p in sys.path if "site-packages" not in p])
    with pytest.raises(EnvironmentBrokenError, match="av"):
        open_media(short_clip)


@pytest.mark.parametrize("line", [b"{", b"[]\n", b'{"type": 3}\n', b"\xff\xfe\n", b"[" * 60_000 + b"\n", b'{"a": 1}\n'])
def test_the_parent_does_not_take_nonsense_for_a_message(line: bytes) -> None:
    with pytest.raises(MalformedError):
        receive(io.BytesIO(line))


def test_the_parent_checks_every_value() -> None:
    message = json.loads('{"type": "x", "a": NaN, "b": 1e400, "c": -1, "d": true, "e": 2.5, "f": "x\\u001b[2J"}')
    for key in ("a", "b", "c", "d", "f", "missing"):
        with pytest.raises(MalformedError):
            number(message, key, 0, 100)
    with pytest.raises(MalformedError):
        whole(message, "e", 0, 100)
    assert text(message, "f") == "x?[2J"


def test_two_files_at_once(short_clip: Path, long_clip: Path) -> None:
    with open_media(short_clip) as first, open_media(long_clip) as second:
        pairs = list(zip(first.frames(), second.frames(), strict=True))
    assert len(pairs) == 16
    assert maker.read_number(pairs[-1][1].image) > 800
