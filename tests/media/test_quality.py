"""Numbers that say how much a picture can show."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

import media_maker as maker
from fakelab.media import bits_per_pixel, blur, luma
from fakelab.records import Kind, MediaInfo

INFO = MediaInfo(
    path="a.mp4",
    name="a.mp4",
    size_bytes=1,
    sha256="",
    kind=Kind.VIDEO,
    container="mp4",
    width_px=1000,
    height_px=500,
    fps=20.0,
    video_bitrate_bps=1_000_000.0,
)


def test_bits_per_pixel() -> None:
    assert bits_per_pixel(INFO) == pytest.approx(0.1)


@pytest.mark.parametrize("unknown", ["width_px", "height_px", "fps", "video_bitrate_bps"])
def test_bits_per_pixel_is_none_where_something_is_unknown(unknown: str) -> None:
    assert bits_per_pixel(replace(INFO, **{unknown: None})) is None  # type: ignore[arg-type]


def test_blur_falls_when_a_picture_is_blurred() -> None:
    sharp = maker.numbered(0x5555)
    assert blur(sharp) > 5 * blur(cv2.GaussianBlur(sharp, (0, 0), 3)) > 0
    assert blur(np.full((20, 20, 3), 90, np.uint8)) == 0


def test_luma_weighs_colours_as_the_eye_does() -> None:
    assert luma(np.full((4, 4, 3), 255, np.uint8)) == pytest.approx(255, abs=1)
    green, blue = np.zeros((2, 4, 4, 3), np.uint8)
    green[:, :, 1], blue[:, :, 2] = 255, 255
    assert luma(green) > 3 * luma(blue) > 0


def test_a_perceptual_hash_stays_when_the_picture_is_rescaled_compressed_or_brightened() -> None:
    from fakelab.media.degrade import photo_codec
    from fakelab.media.quality import perceptual_hash
    from fakelab.service.history import SIMILAR_BITS

    y, x = np.mgrid[0:240, 0:320].astype(np.float32)
    picture = np.stack([127 + 90 * np.sin(x / 37) * np.cos(y / 29)] * 3, axis=-1).astype(np.uint8)
    mine = perceptual_hash(picture)
    for other in (picture[::2, ::2], photo_codec(picture, "jpeg", 40), (picture * 0.8).astype(np.uint8)):
        assert (mine ^ perceptual_hash(np.ascontiguousarray(other))).bit_count() <= SIMILAR_BITS // 2
    assert (mine ^ perceptual_hash(np.ascontiguousarray(picture[:, ::-1]))).bit_count() > SIMILAR_BITS
    assert 0 <= perceptual_hash(picture[:3, :3]) < 1 << 64


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 200), (8, 9), (100, 101), (723, 1281)])
def test_a_perceptual_hash_of_strips_is_that_of_the_whole(size: tuple[int, int]) -> None:
    from fakelab.media.quality import perceptual_hash

    height, width = size
    picture = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    grey = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    rows, columns = np.arange(8) * height // 8, np.arange(9) * width // 9
    sums = np.add.reduceat(np.add.reduceat(grey, rows, axis=0), columns, axis=1)
    means = sums / np.maximum(np.outer(np.diff(rows, append=height), np.diff(columns, append=width)), 1)
    bits = (means[:, :-1] < means[:, 1:]).ravel()
    assert perceptual_hash(picture) == int("".join("01"[bit] for bit in bits.astype(int)), 2)
