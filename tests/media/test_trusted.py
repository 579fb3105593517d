from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

import media_maker as maker
from fakelab.errors import DamagedMediaError, LimitError, NotFoundError, UnsupportedMediaError
from fakelab.media import Density, Limits, open_media
from fakelab.media.trusted import open_trusted
from fakelab.records import Kind


def test_a_rotated_video_gives_the_frames_and_facts_that_the_child_gives(tmp_path: Path) -> None:
    path = maker.make_video(tmp_path / "v.mp4", 30, clockwise_deg=90)
    density = Density(bursts=3, frames_per_burst=2)
    with open_media(path) as media, open_trusted(path) as trusted:
        assert trusted.info == media.info
        pairs = list(zip(media.frames(density), trusted.frames(density), strict=True))
    assert len(pairs) == 6
    for confined, here in pairs:
        assert np.array_equal(confined.image, here.image)
        assert (confined.time_s, confined.index, confined.burst) == (here.time_s, here.index, here.burst)


def test_a_photo_lying_on_its_side_comes_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.ascontiguousarray(np.rot90(maker.numbered(5)))
    Image.fromarray(stored).save(tmp_path / "p.jpg", exif=exif, quality=95)
    with open_trusted(tmp_path / "p.jpg") as trusted:
        frames = list(trusted.frames())
    assert trusted.info.kind is Kind.PHOTO
    assert len(frames) == 1
    assert maker.is_upright(frames[0].image)
    assert maker.read_number(frames[0].image) == 5


def test_a_cut_off_photo_is_read_as_far_as_it_goes_and_leaves_no_trace(tmp_path: Path) -> None:
    """The reader sets a switch of Pillow for it: in the child that ends with the process."""
    path = tmp_path / "p.jpg"
    Image.fromarray(maker.numbered(5, 640, 480)).save(path, quality=95)
    path.write_bytes(path.read_bytes()[:-5000])
    with open_trusted(path) as trusted:
        assert len(list(trusted.frames())) == 1
    Image.fromarray(maker.numbered(6)).save(tmp_path / "q.png")
    with open_trusted(tmp_path / "q.png"):
        assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_what_cannot_be_read_raises_what_the_child_would(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError), open_trusted(tmp_path / "none.jpg"):
        pass
    (tmp_path / "words.jpg").write_text("words")
    with pytest.raises(UnsupportedMediaError), open_trusted(tmp_path / "words.jpg"):
        pass
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(64))
    with pytest.raises(DamagedMediaError), open_trusted(tmp_path / "broken.jpg"):
        pass
    Image.fromarray(maker.numbered(5)).save(tmp_path / "p.png")
    with pytest.raises(LimitError), open_trusted(tmp_path / "p.png", Limits(pixels=100)):
        pass
    (tmp_path / "v.mp4").write_bytes(maker.make_video(tmp_path / "w.mp4", 30).read_bytes()[:3000])
    with pytest.raises(DamagedMediaError), open_trusted(tmp_path / "v.mp4") as trusted:
        list(trusted.frames())


def test_sound_has_no_frames(tmp_path: Path) -> None:
    with open_trusted(maker.make_sound(tmp_path / "s.m4a")) as trusted:
        assert list(trusted.frames()) == []
