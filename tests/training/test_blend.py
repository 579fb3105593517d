from __future__ import annotations

import subprocess
import sys
from typing import Any

import lab_maker as lab
import numpy as np
import pytest
from numpy.typing import NDArray

import portrait_maker
from fakelab.records import Image
from fakelab.training import blend
from fakelab.training.blend import cross_blend, face_mask, nearest_pose, paste, self_blend

SIZE = 96
POINTS = lab.POINTS * SIZE
NO_MESH = np.full((468, 2), np.nan, np.float32)
MESHES = {"five points": NO_MESH, "mesh": lab.mesh(SIZE)}
by_landmarks = pytest.mark.parametrize("mesh", MESHES.values(), ids=MESHES.keys())


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def crop(seed: int = 0) -> Image:
    return portrait_maker.face_crop(SIZE, seed)


def middle(mask: NDArray[np.float32]) -> tuple[float, float]:
    """x, y of the mask's centre of mass, as shares of the crop."""
    yy, xx = np.mgrid[:SIZE, :SIZE]
    return float((xx * mask).sum() / mask.sum() / SIZE), float((yy * mask).sum() / mask.sum() / SIZE)


@by_landmarks
def test_a_mask_lies_within_0_and_1_and_covers_some_of_the_crop_but_not_all(mesh: NDArray[np.float32]) -> None:
    shares = []
    for seed in range(60):
        mask = face_mask(SIZE, POINTS, mesh, rng(seed))
        assert mask.shape == (SIZE, SIZE)
        assert mask.dtype == np.float32
        assert mask.min() >= 0
        assert mask.max() <= 1
        assert mask.max() > 0.5, f"seed {seed}: an empty mask would call an untouched crop forged"
        shares.append(float(mask.mean()))
    assert 0.005 < min(shares) < max(shares) < 0.95
    assert np.std(shares) > 0.05


@pytest.mark.parametrize(
    ("region", "height"), [("mouth", 0.76), ("lower", 0.67), ("eyes", 0.42), ("oval", 0.52), ("inner", 0.52)]
)
def test_the_mask_of_a_region_lies_where_the_mesh_says(
    region: str, height: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blend, "DENSE_REGIONS", {region: blend.DENSE_REGIONS[region]})
    monkeypatch.setattr(blend, "DENSE_SHARE", 1.0)
    centres = [middle(face_mask(SIZE, POINTS, MESHES["mesh"], rng(seed))) for seed in range(12)]
    assert np.mean(centres, 0) == pytest.approx((0.5, height), abs=0.07)


def test_a_known_mesh_shapes_most_masks_and_the_five_points_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    shaped: list[str] = []

    def noted(name: str) -> Any:
        def mask(size: int, *given: Any) -> Any:
            shaped.append(name)
            return np.ones((size, size), np.float32)

        return mask

    monkeypatch.setattr(blend, "_dense_mask", noted("mesh"))
    monkeypatch.setattr(blend, "_five_point_mask", noted("points"))
    for seed in range(200):
        face_mask(SIZE, POINTS, MESHES["mesh"], rng(seed))
    assert shaped.count("mesh") / 200 == pytest.approx(blend.DENSE_SHARE, abs=0.1)
    shaped.clear()
    face_mask(SIZE, POINTS, NO_MESH, rng(0))
    assert shaped == ["points"]


def test_the_five_point_mask_turns_with_the_face() -> None:
    upright = np.mean([middle(face_mask(SIZE, POINTS, NO_MESH, rng(seed))) for seed in range(40)], 0)
    turned_points = POINTS[:, ::-1].copy()
    turned = np.mean([middle(face_mask(SIZE, turned_points, NO_MESH, rng(seed))) for seed in range(40)], 0)
    assert turned == pytest.approx(upright[::-1], abs=0.05)
    assert upright[1] > upright[0] + 0.03


def test_pasting_keeps_the_base_exactly_where_the_mask_is_0_and_takes_the_other_where_it_is_1() -> None:
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[20:60, 30:70] = 1
    mask[60:70, 30:70] = 0.5
    base, other = crop(1), crop(2)
    mixed = paste(base, other, mask)
    assert np.array_equal(mixed[mask == 0], base[mask == 0])
    assert np.array_equal(mixed[mask == 1], other[mask == 1])
    half = (base[mask == 0.5].astype(float) + other[mask == 0.5]) / 2
    assert np.abs(mixed[mask == 0.5] - half).max() <= 0.5


@by_landmarks
def test_a_self_blend_changes_pixels_only_inside_its_mask_when_the_base_is_not_treated(
    mesh: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blend, "treat", lambda image, random: image)
    for seed in range(25):
        fake, mask = self_blend(crop(seed), POINTS, mesh, rng(seed))
        changed = (fake != crop(seed)).any(2)
        assert not (changed & (mask == 0)).any()
        assert changed[mask > 0.2].mean() > 0.3, f"seed {seed}: the copy that was moved must show"


def test_a_self_blend_is_outside_its_mask_the_real_crop_or_the_treated_one(monkeypatch: pytest.MonkeyPatch) -> None:
    treat, treated = blend.treat, []

    def spied(image: Image, random: np.random.Generator) -> Image:
        treated.append(treat(image, random))
        return treated[-1]

    monkeypatch.setattr(blend, "treat", spied)
    bases = []
    for seed in range(30):
        fake, mask = self_blend(crop(), POINTS, NO_MESH, rng(seed))
        outside = mask == 0
        is_real, is_treated = (np.array_equal(fake[outside], each[outside]) for each in (crop(), treated[-1]))
        assert is_real or is_treated
        bases.append(is_real)
    assert len(treated) == 30, "exactly one side of each is treated"
    assert 5 < sum(bases) < 25, "both directions of a mismatch are made"


@by_landmarks
def test_a_self_blend_depends_on_its_seed_alone(mesh: NDArray[np.float32]) -> None:
    (one, one_mask), (same, same_mask), (other, _) = (self_blend(crop(), POINTS, mesh, rng(seed)) for seed in (4, 4, 5))
    assert np.array_equal(one, same)
    assert np.array_equal(one_mask, same_mask)
    assert not np.array_equal(one, other)


def test_a_blend_leaves_the_crops_that_it_was_given_as_they_were() -> None:
    base, other = crop(0).copy(), crop(1).copy()
    for seed in range(20):
        self_blend(base, POINTS, NO_MESH, rng(seed))
        cross_blend(base, POINTS, NO_MESH, other, POINTS, rng(seed))
    assert np.array_equal(base, crop(0))
    assert np.array_equal(other, crop(1))


TURNED = (POINTS - SIZE / 2)[:, ::-1] * np.array([1, -1]) + SIZE / 2
POSES = {
    "alike": POINTS + 2,
    "turned by 90 degrees": TURNED,
    "mirrored": np.array([SIZE, 0]) + POINTS * np.array([-1, 1]),
    "tiny": POINTS * 0.1 + 40,
    "far outside": POINTS + 300,
    "all in one place": np.full((5, 2), SIZE / 2),
}


@pytest.mark.parametrize("pose", POSES)
def test_another_face_is_blended_in_from_any_pose_and_nothing_changes_outside_the_mask(pose: str) -> None:
    for seed in range(25):
        others_points = POSES[pose].astype(np.float32)
        fake, mask = cross_blend(crop(0), POINTS, NO_MESH, crop(seed + 1), others_points, rng(seed))
        assert fake.shape == (SIZE, SIZE, 3)
        assert fake.dtype == np.uint8
        assert 0 <= mask.min() < mask.max() <= 1
        changed = (fake != crop(0)).any(2)
        assert changed.any()
        if pose != "all in one place":  # without a fit it is a self-blend, whose base may be treated
            assert not changed[~may_change(mask)].any()


def may_change(mask: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the mask is not 0. seamlessClone solves over the box of its mask: colours bleed into the box's corners."""
    if set(np.unique(mask)) - {0.0, 1.0}:
        return np.asarray(mask > 0)
    allowed = np.zeros(mask.shape, bool)
    y, x = np.nonzero(mask)
    allowed[y.min() : y.max() + 1, x.min() : x.max() + 1] = True
    return allowed


def test_the_other_face_is_moved_onto_the_points_of_the_base() -> None:
    """A dot on each of the other's eyes lands on the base's eyes, though it comes from a face turned by 90 degrees."""
    other = np.full((SIZE, SIZE, 3), 128, np.uint8)
    other_points = TURNED.astype(np.float32)
    for x, y in np.round(other_points[:2]).astype(int):
        other[y - 3 : y + 4, x - 3 : x + 4] = 255
    base = np.full((SIZE, SIZE, 3), 128, np.uint8)
    total = np.zeros((SIZE, SIZE))
    for seed in range(40):
        fake, mask = cross_blend(base, POINTS, NO_MESH, other, other_points, rng(seed))
        total += np.abs(fake.astype(float).mean(2) - fake[mask > 0.3].mean()) * (mask > 0.3)
    for x, y in np.round(POINTS[:2]).astype(int):
        assert total[y, x] > 4 * np.median(total[mask > 0.3])


def test_poisson_blending_changes_much_inside_its_mask_little_around_it_and_nothing_outside_its_box(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, made = blend._poisson, []

    def spied(*arguments: NDArray[np.float32]) -> tuple[Image, NDArray[np.float32]]:
        made.append(real(*arguments))
        return made[-1]

    monkeypatch.setattr(blend, "_poisson", spied)
    for seed in range(120):
        cross_blend(crop(0), POINTS, MESHES["mesh"], crop(1), POINTS, rng(seed))
    assert len(made) >= 5
    for fake, mask in made:
        change = np.abs(fake.astype(float) - crop(0)).mean(2)
        assert not change[~may_change(mask)].any()
        assert change[mask == 1].mean() > 4 * change[(mask == 0) & may_change(mask)].mean()


def test_the_nearest_pose_is_among_the_most_alike_however_large_or_placed() -> None:
    alike = [POINTS * scale + shift for scale, shift in ((0.5, 3), (1.0, -20), (2.0, 70))]
    unlike = [POSES["turned by 90 degrees"] + k for k in range(20)]
    others = np.array([*unlike[:10], *alike, *unlike[10:]], np.float32)
    assert {nearest_pose(POINTS, others, rng(seed), among=3) for seed in range(40)} == {10, 11, 12}
    assert nearest_pose(POINTS, others[:1], rng(0)) == 0


@pytest.mark.parametrize("at", range(len(blend._TREATMENTS)))
def test_every_treatment_keeps_size_and_type_and_changes_the_picture(at: int) -> None:
    for seed in range(8):
        out = blend._TREATMENTS[at](crop(), rng(seed))
        assert out.shape == (SIZE, SIZE, 3)
        assert out.dtype == np.uint8
        assert 0 < np.abs(out.astype(float) - crop()).mean() < 60


def test_importing_the_blender_imports_no_torch() -> None:
    """Its contract is numpy and OpenCV alone; other rooms may use it in the base install."""
    code = "import sys, fakelab.training.blend; print(sorted({'torch', 'timm', 'sklearn', 'av'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    assert out.strip() == "[]"
