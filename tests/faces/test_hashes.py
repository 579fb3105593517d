"""Copies of a face are near, strangers are far."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

import portrait_maker
from fakelab.faces.hashes import BITS, BYTES, NEAR_BITS, bits_apart, face_hash, nearest_bits


def crop(seed: int) -> Any:
    return portrait_maker.face_crop(224, seed)


def copies(picture: Any) -> list[Any]:
    jpeg = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)
    half = cv2.resize(picture, (112, 112), interpolation=cv2.INTER_AREA)
    bright = np.clip(picture.astype(np.float32) * 1.1 + 8, 0, 255).astype(np.uint8)
    return [jpeg, half, cv2.resize(half, (224, 224)), bright]


def test_a_hash_is_256_bits_of_which_about_half_are_set() -> None:
    found = face_hash(crop(0))
    assert (found.shape, found.dtype) == ((BYTES,), np.uint8)
    assert abs(int(np.unpackbits(found).sum()) - BITS // 2) <= 1, "a bit says whether it is above the median"


def test_a_copy_is_near_and_another_picture_is_not() -> None:
    mine = face_hash(crop(0))
    for copy in copies(crop(0)):
        assert bits_apart(mine[None], face_hash(copy)[None])[0, 0] <= NEAR_BITS
    noise = np.random.default_rng(0).integers(0, 256, (20, 224, 224, 3)).astype(np.uint8)
    blurred = [cv2.GaussianBlur(each, (0, 0), 12) for each in noise]
    assert (nearest_bits(np.stack([face_hash(each) for each in blurred]), mine[None]) > NEAR_BITS).all()


def test_distances_count_bits_between_every_pair() -> None:
    hashes = np.zeros((3, BYTES), np.uint8)
    hashes[1, 0], hashes[2, 31] = 0b101, 255
    assert bits_apart(hashes, hashes).tolist() == [[0, 2, 8], [2, 0, 10], [8, 10, 0]]
    assert nearest_bits(hashes[1:2], hashes[[0, 2]]).tolist() == [2]
    assert bits_apart(np.zeros((1, BYTES), np.uint8), np.full((1, BYTES), 255, np.uint8))[0, 0] == BITS
