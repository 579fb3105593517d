from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import set_maker as make

from fakelab.data.duplicates import (
    BITS,
    BYTES,
    NEAR_BITS,
    bits_apart,
    face_hash,
    hash_crops,
    near_pairs,
    read_known,
    refuse_near,
    rows_of_crops,
    write_known,
)
from fakelab.data.manifest import Row
from fakelab.data.store import FaceStore
from fakelab.errors import DataError
from portrait_maker import face_crop


def pictures(count: int = 12, size: int = 96) -> Any:
    """Soft random patterns, as unlike each other as faces of strangers."""
    rng = np.random.default_rng(0)
    fields = [rng.normal(128, 50, (12, 12, 3)).astype(np.float32) for _ in range(count)]
    grown = [cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC) for field in fields]
    return np.stack(grown).clip(0, 255).astype(np.uint8)


def table(splits: str) -> list[Row]:
    names = {"t": "train", "v": "val", "e": "test"}
    return [make.row(f"/d/{k}.png", group=f"g{k}", split=names[letter]) for k, letter in enumerate(splits)]


def recompressed(picture: Any) -> Any:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)


def test_a_planted_copy_on_the_other_side_is_found_and_refused_with_paths_and_distance() -> None:
    crops = pictures()
    crops[7] = np.clip(recompressed(crops[2]).astype(np.float32) * 0.9 + 5, 0, 255).astype(np.uint8)
    rows = table("tttttvvvveee")
    found = near_pairs(hash_crops(crops), np.arange(12), [row.split for row in rows])
    assert [(pair.first, pair.second) for pair in found] == [(2, 7)]
    assert 0 < found[0].bits <= NEAR_BITS
    words = rf"1 pairs of files .*/d/2.png \(train\) and /d/7.png \(val\): {found[0].bits} bits.*--join-near"
    with pytest.raises(DataError, match=words):
        refuse_near(rows, found)


def test_copies_on_one_side_and_strangers_are_left_alone() -> None:
    crops = pictures()
    crops[3] = crops[2]
    rows = table("tttttvvvveee")
    assert near_pairs(hash_crops(crops), np.arange(12), [row.split for row in rows]) == []
    refuse_near(rows, [])


def test_of_many_crops_of_two_files_the_nearest_pair_counts() -> None:
    hashes = np.zeros((4, 32), np.uint8)
    hashes[1, 0] = 0b1
    hashes[2, 0] = 0b111
    hashes[3] = 0b11111111
    found = near_pairs(hashes, np.array([0, 0, 1, -1]), ["train", "val"])
    assert [(pair.first, pair.second, pair.bits) for pair in found] == [(0, 1, 2)], "and -1 is no row"


def test_blocks_are_compared_with_all_that_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fakelab.data.duplicates.BLOCK", 3)
    crops = pictures(10)
    crops[9] = crops[0]
    crops[5] = crops[4]
    seen: list[tuple[int, int]] = []
    found = near_pairs(hash_crops(crops), np.arange(10), list("aaaaabbbbb"), progress=lambda *done: seen.append(done))
    assert [(pair.first, pair.second) for pair in found] == [(0, 9), (4, 5)]
    assert seen[-1] == (10, 10)


def store_of(paths: list[str] | None) -> FaceStore:
    count = len(paths or [1])
    flat = np.zeros(count, np.float32)
    names = np.array(["s"] * count)
    return FaceStore(
        crops=np.zeros((count, 8, 8, 3), np.uint8), points=np.zeros((count, 5, 2), np.float32),
        mesh=np.zeros((count, 468, 2), np.float32), score=flat, blur=flat, luma=flat, side_px=flat,
        fake=np.zeros(count, bool), source=names, group=names, split=names, sha256="",
        path=None if paths is None else np.array(paths),
    )  # fmt: skip


def test_the_crops_of_a_store_are_matched_by_path(tmp_path: Path) -> None:
    rows = [dataclasses.replace(make.row("x"), path=tmp_path / "sub" / ".." / name) for name in ("a", "b")]
    store = store_of([str(tmp_path / "b"), str(tmp_path / "z"), str(tmp_path / "a")])
    assert rows_of_crops(rows, store).tolist() == [1, -1, 0]
    with pytest.raises(DataError, match="is of other files"):
        rows_of_crops([make.row("/q")], store)
    with pytest.raises(DataError, match="of an old version"):
        rows_of_crops(rows, store_of(None))


# -- the hash ------------------------------------------------------------------------------------------------------


def test_a_hash_is_256_bits_of_which_half_are_set() -> None:
    found = face_hash(face_crop(224, 0))
    assert (found.shape, found.dtype) == ((BYTES,), np.uint8)
    assert abs(int(np.unpackbits(found).sum()) - BITS // 2) <= 1, "a bit says whether it is above the median"


def test_a_copy_is_near_and_another_picture_is_not() -> None:
    crop = face_crop(224, 0)
    half = cv2.resize(crop, (112, 112), interpolation=cv2.INTER_AREA)
    bright = np.clip(crop.astype(np.float32) * 1.1 + 8, 0, 255).astype(np.uint8)
    mine = face_hash(crop)[None]
    for copy in (recompressed(crop), half, cv2.resize(half, (40, 40)), bright):
        assert bits_apart(mine, face_hash(copy)[None])[0, 0] <= NEAR_BITS
    others = hash_crops(pictures(30))
    apart = bits_apart(others, others)[np.triu_indices(30, 1)]
    assert apart.min() > NEAR_BITS
    assert apart.mean() == pytest.approx(BITS / 2, abs=6)


def test_distances_count_bits_between_every_pair() -> None:
    hashes = np.zeros((3, BYTES), np.uint8)
    hashes[1, 0], hashes[2, 31] = 0b101, 255
    assert bits_apart(hashes, hashes).tolist() == [[0, 2, 8], [2, 0, 10], [8, 10, 0]]
    assert bits_apart(hashes[:1], np.full((1, BYTES), 255, np.uint8))[0, 0] == BITS


def test_what_was_trained_on_is_kept_as_hashes_each_once(tmp_path: Path) -> None:
    store = dataclasses.replace(store_of(list("abcd")), crops=pictures(4)[[0, 0, 1, 2]])
    assert write_known(store, np.array([0, 1, 2]), tmp_path / "one.npy") == 2
    assert write_known(store, np.array([3]), tmp_path / "two.npy") == 1
    both = read_known([tmp_path / "one.npy", tmp_path / "two.npy"])
    assert both.shape == (3, BYTES)
    assert bits_apart(hash_crops(pictures(4)), both).min(axis=1).tolist()[:3] == [0, 0, 0]


@pytest.mark.parametrize("held", [np.zeros((2, 3), np.uint8), np.zeros((0, BYTES), np.uint8), np.zeros((2, BYTES))])
def test_a_file_of_anything_else_is_no_known_faces(held: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "known.npy", held)
    with pytest.raises(DataError, match="holds no known faces"):
        read_known([tmp_path / "known.npy"])
    (tmp_path / "known.npy").write_text("words")
    with pytest.raises(DataError, match="holds no known faces"):
        read_known([tmp_path / "known.npy"])
