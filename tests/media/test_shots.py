"""Cuts of a video: found where they are, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pil

from fakelab.errors import DamagedMediaError, FakeLabError
from fakelab.media.shots import cuts
from fakelab.records import Image


def _write(path: Path, frames: list[Image], codec: str = "libx264", rate: int = 25) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def _scene(seed: int, count: int, step: int = 1) -> list[Image]:
    """A picture of blotches that moves a little from frame to frame."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 12, 3), dtype=np.uint8)
    wide = np.asarray(Pil.fromarray(small).resize((480, 96), Pil.Resampling.BICUBIC))
    return [np.ascontiguousarray(wide[:, at * step : at * step + 160]) for at in range(count)]


def test_cuts_are_where_scenes_meet(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.mp4", [*_scene(1, 50), *_scene(2, 30), *_scene(3, 45)])
    assert cuts(path) == pytest.approx([2.0, 3.2], abs=0.001)


def test_quick_movement_and_a_fade_are_no_cuts(tmp_path: Path) -> None:
    moving = _scene(4, 40, step=6)
    one, two = _scene(5, 1)[0].astype(float), _scene(6, 1)[0].astype(float)
    fade = [(one + (two - one) * at / 50).astype(np.uint8) for at in range(51)]
    assert cuts(_write(tmp_path / "a.mp4", moving)) == []
    assert cuts(_write(tmp_path / "b.mp4", fade)) == []


def test_a_flash_is_one_change_and_not_two(tmp_path: Path) -> None:
    scene = _scene(7, 60)
    scene[30] = np.full_like(scene[30], 255)
    assert len(cuts(_write(tmp_path / "a.mp4", scene))) <= 1


def test_what_has_no_shots_has_no_cuts(tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    Pil.fromarray(_scene(8, 1)[0]).save(photo)
    assert cuts(photo) == []
    assert cuts(_write(tmp_path / "b.mp4", _scene(9, 1))) == []


def test_a_damaged_file_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.mp4", _scene(1, 30))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DamagedMediaError):
        cuts(path)
    with pytest.raises(FakeLabError):
        cuts(tmp_path / "nosuch.mp4")
