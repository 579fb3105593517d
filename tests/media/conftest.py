"""Clips shared by the tests of this room, and a check that no test leaves a process behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import media_maker as maker


def _children() -> set[str]:
    """The processes that this one started and that are not gone, those that ended unnoticed among them (Linux)."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # The name, in brackets, may hold anything; the parent is the second field behind it. It may be gone by now.
        with contextlib.suppress(OSError):
            if int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]) == os.getpid():
                found.add(stat.parent.name)
    return found


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    # Other rooms' tests may have one running: multiprocessing keeps its resource tracker to the end.
    before = _children()
    yield
    assert _children() <= before


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def short_clip(clips: Path) -> Path:
    """2 s, 50 numbered frames, with sound."""
    return maker.make_video(clips / "short.mp4", 50, sound_s=2.0)


@pytest.fixture(scope="session")
def long_clip(clips: Path) -> Path:
    """40 s, 1,000 numbered frames, a keyframe every 2 s."""
    return maker.make_video(clips / "long.mp4", 1000, gop=50)


@pytest.fixture(scope="session")
def large_clip(clips: Path) -> Path:
    """12 s of 640 x 360: more than fits into the pipe."""
    return maker.make_video(clips / "large.mp4", 300, width_px=640, height_px=360)
