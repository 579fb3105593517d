from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lab_maker as lab
import numpy as np
import pytest
from numpy.typing import NDArray

import portrait_maker
from fakelab.records import Image
from fakelab.training import augment
from fakelab.training.augment import AUGMENTS, Mask

SIZE = 96


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def crop(seed: int = 0) -> Image:
    return portrait_maker.face_crop(SIZE, seed)


def square() -> tuple[Image, Mask]:
    """A white square, off the middle, in a grey crop and in its mask."""
    image, mask = np.full((SIZE, SIZE, 3), 60, np.uint8), np.zeros((SIZE, SIZE), np.float32)
    image[30:62, 22:54], mask[30:62, 22:54] = 250, 1
    return image, mask


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("name", AUGMENTS)
def test_an_augmentation_keeps_shapes_and_types(name: str) -> None:
    for seed in range(40):
        image, mask = AUGMENTS[name](crop(), square()[1], rng(seed))
        assert (image.shape, image.dtype) == ((SIZE, SIZE, 3), np.uint8)
        assert (mask.shape, mask.dtype) == ((SIZE, SIZE), np.float32)
        assert mask.min() >= 0
        assert mask.max() <= 1


@pytest.mark.parametrize("name", AUGMENTS)
def test_an_augmentation_depends_on_its_seed_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "video_codec", lab.told_codec)
    for seed in range(12):
        (one, one_mask), (same, same_mask) = (AUGMENTS[name](crop(), square()[1], rng(seed)) for _ in range(2))
        assert np.array_equal(one, same)
        assert np.array_equal(one_mask, same_mask)
    assert len({AUGMENTS[name](crop(), square()[1], rng(seed))[0].tobytes() for seed in range(12)}) == 12


@pytest.mark.parametrize("name", AUGMENTS)
def test_an_augmentation_leaves_what_it_was_given_as_it_was(name: str) -> None:
    image, mask = crop().copy(), square()[1]
    for seed in range(20):
        AUGMENTS[name](image, mask, rng(seed))
    assert np.array_equal(image, crop())
    assert np.array_equal(mask, square()[1])


GEOMETRY: dict[str, Callable[[Image, Mask, np.random.Generator], tuple[Image, Mask]]] = {
    "flip": augment.flip,
    "rotate": lambda i, m, r: augment.rotate(i, m, r, degrees=40.0, scale=(0.9, 1.1)),
    "perspective": lambda i, m, r: augment.perspective(i, m, r, strength=0.2),
    "crop_inside": lambda i, m, r: augment.crop_inside(i, m, r, keep=(0.6, 0.9)),
}


@pytest.mark.parametrize("name", GEOMETRY)
def test_a_mask_moves_along_with_its_crop(name: str) -> None:
    moved = []
    for seed in range(20):
        image, mask = GEOMETRY[name](*square(), rng(seed))
        assert overlap(image[:, :, 0] > 155, mask > 0.5) > 0.95
        moved.append(overlap(mask > 0.5, square()[1] > 0.5))
    assert min(moved) < 0.75, "it must have gone somewhere"


@pytest.mark.parametrize("name", AUGMENTS)
def test_a_mask_stays_on_its_place_through_the_whole_augmentation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "mask_region", lambda image, random, **_: image)
    overlaps = []
    for seed in range(40):
        image, mask = AUGMENTS[name](*square(), rng(seed))
        inside, outside = image[mask > 0.95].mean(), image[mask < 0.05].mean()
        overlaps.append(overlap(image.mean(2) > (inside + outside) / 2, mask > 0.5))
    assert np.mean(overlaps) > 0.93
    assert min(overlaps) > 0.8


def test_the_founding_values_are_those_of_the_founding_study(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def spy(name: str) -> None:
        real = getattr(augment, name)

        def spied(*arguments: Any, **named: Any) -> Any:
            seen[name] = named or arguments[-1]
            return real(*arguments, **named)

        monkeypatch.setattr(augment, name, spied)

    for name in ("rotate", "perspective", "jitter", "mask_region", "circulate", "flip"):
        spy(name)
    augment.founding(crop(), square()[1], rng(0))
    assert seen.pop("flip") is not None
    assert seen == {
        "rotate": {"degrees": 40.0, "scale": (0.9, 1.1)},
        "perspective": {"strength": 0.2},
        "jitter": 0.5,
        "mask_region": {"area": (0.02, 0.16), "ratio": (0.3, 1.6)},
    }


def test_a_flip_happens_half_of_the_time_and_is_a_mirror() -> None:
    flipped = 0
    for seed in range(200):
        image, mask = augment.flip(crop(), square()[1], rng(seed))
        mirrored = np.array_equal(image, crop()[:, ::-1])
        assert mirrored or np.array_equal(image, crop())
        assert np.array_equal(mask, square()[1][:, ::-1] if mirrored else square()[1])
        flipped += mirrored
    assert 70 < flipped < 130


def test_rotation_goes_to_its_limit_both_ways_and_no_further() -> None:
    bar = np.zeros((SIZE, SIZE), np.float32)
    bar[SIZE // 2 - 2 : SIZE // 2 + 3, 20:76] = 1
    angles = []
    for seed in range(150):
        _, moved = augment.rotate(crop(), bar, rng(seed), degrees=40.0, scale=(1.0, 1.0))
        y, x = np.nonzero(moved[15:-15, 15:-15] > 0.5)
        angles.append(float(np.degrees(np.arctan(np.polyfit(x, y, 1)[0]))))
    assert -42 < min(angles) < -34
    assert 34 < max(angles) < 42


def test_jitter_of_one_half_keeps_brightness_within_a_half() -> None:
    flat = np.full((SIZE, SIZE, 3), 100, np.uint8)
    levels = [float(augment.jitter(flat, rng(seed), 0.5).mean()) for seed in range(150)]
    assert 49 <= min(levels) < 60
    assert 140 < max(levels) <= 150


def test_a_masked_region_has_the_stated_area_and_ratio() -> None:
    base = np.full((SIZE, SIZE, 3), 7, np.uint8)
    base[::2] = 201  # so that neither its mean nor a random colour hides the region
    areas, ratios = [], []
    for seed in range(200):
        changed = (augment.mask_region(base, rng(seed), area=(0.02, 0.16), ratio=(0.3, 1.6)) != base).any(2)
        y, x = np.nonzero(changed)
        width, height = np.ptp(x) + 1, np.ptp(y) + 1
        assert changed.sum() == width * height, "one rectangle"
        areas.append(changed.mean())
        ratios.append(width / height)
    assert 0.018 < min(areas) < 0.04
    assert 0.13 < max(areas) < 0.168
    assert 0.26 < min(ratios) < 0.45
    assert 1.3 < max(ratios) < 1.8


def test_compression_is_part_of_the_default_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The founding study had none, so that any real file looked unlike what it had learnt."""
    codecs: list[str] = []
    photo, video = augment.photo_codec, augment.video_codec

    def spied_photo(image: Image, fmt: str, quality: int) -> Image:
        codecs.append(fmt)
        return photo(image, fmt, quality)

    def spied_video(frames: list[Image], codec: str, **more: Any) -> list[Image]:
        codecs.append(codec)
        assert 16 <= more["crf"] < 35
        return video(frames, codec, **more)

    monkeypatch.setattr(augment, "photo_codec", spied_photo)
    monkeypatch.setattr(augment, "video_codec", spied_video)
    count = 150
    for seed in range(count):
        augment.default(crop(), square()[1], rng(seed))
    assert set(codecs) == {"h264", "h265", "mpeg4", "jpeg", "webp"}
    assert len(codecs) > 0.7 * count
    moving = sum(each in ("h264", "h265", "mpeg4") for each in codecs)
    assert moving > len(codecs) / 2, "clips circulate as video, so video codecs come first"


def test_circulation_keeps_size_and_loses_detail_more_often_than_not() -> None:
    def detail(image: Image) -> float:
        return float(np.abs(np.diff(image.astype(float), axis=1)).mean())

    results = [augment.circulate(crop(), rng(seed)) for seed in range(60)]
    assert all(each.shape == (SIZE, SIZE, 3) and each.dtype == np.uint8 for each in results)
    assert sum(detail(each) < detail(crop()) for each in results) > 35
    assert sum(np.array_equal(each, crop()) for each in results) < 15


def test_a_whole_picture_is_cut_to_what_the_network_sees() -> None:
    big = np.random.default_rng(0).integers(0, 256, (336, 336, 3), dtype=np.uint8)
    blank = np.zeros((336, 336), np.float32)
    made = [augment.photo(big, blank, rng(seed)) for seed in range(12)]
    assert {image.shape for image, _ in made} == {(224, 224, 3)}
    assert {mask.shape for _, mask in made} == {(224, 224)}
    spread = [float(image.std()) for image, _ in made]
    assert max(spread) > 1.3 * min(spread), "some keep the grain of the full size, some are made small"
