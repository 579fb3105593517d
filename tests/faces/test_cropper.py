from __future__ import annotations

import numpy as np
import pytest

from fakelab.errors import ModelError, UnknownNameError
from fakelab.faces.crop import (
    CROPPER_VERSION,
    FINDER_SCALE,
    FINDER_SHIFT,
    blur_and_luma,
    cut_face,
    eye_angle_deg,
    square_to_cut,
)
from fakelab.faces.find import FINDERS
from fakelab.records import Box, CropSpec, Image

RED, GREY = (200, 30, 40), (90, 90, 90)


def spec(size_px: int, margin: float = 1.0, **more: object) -> CropSpec:
    return CropSpec(CROPPER_VERSION, size_px, margin, **more)  # type: ignore[arg-type]


def square_at(x: int, y: int, side: int, width: int = 400, height: int = 300) -> Image:
    image = np.full((height, width, 3), GREY, np.uint8)
    image[y : y + side, x : x + side] = RED
    return image


def edges_px(crop: Image) -> tuple[float, float, float, float]:
    """Left, top, right, bottom edge of the red square in the crop, to parts of a pixel."""
    share = (crop[:, :, 0].astype(float) - GREY[0]) / (RED[0] - GREY[0])
    size = crop.shape[0]
    across, down = share[size // 2], share[:, size // 2]
    return (
        size / 2 - across[: size // 2].sum(),
        size / 2 - down[: size // 2].sum(),
        size / 2 + across[size // 2 :].sum(),
        size / 2 + down[size // 2 :].sum(),
    )


@pytest.mark.parametrize("size_px", [30, 60, 64, 100, 120, 224, 300])
@pytest.mark.parametrize("margin", [1.0, 1.3, 2.0])
def test_the_box_lands_where_the_margin_says_whether_shrunk_or_enlarged(size_px: int, margin: float) -> None:
    crop = cut_face(square_at(150, 100, 60), (150.0, 100.0, 60.0, 60.0), None, spec(size_px, margin)).image
    assert crop.shape == (size_px, size_px, 3)
    assert crop.dtype == np.uint8
    near, far = size_px / 2 * (1 - 1 / margin), size_px / 2 * (1 + 1 / margin)
    assert edges_px(crop) == pytest.approx((near, near, far, far), abs=0.35)


@pytest.mark.parametrize("size_px", [40, 180])
def test_a_higher_box_is_cut_as_the_square_of_its_longer_side(size_px: int) -> None:
    crop = cut_face(square_at(150, 100, 60), (160.0, 90.0, 40.0, 80.0), None, spec(size_px)).image
    unit = size_px / 80
    assert edges_px(crop) == pytest.approx((10 * unit, 10 * unit, 70 * unit, 70 * unit), abs=0.35)


@pytest.mark.parametrize("size_px", [30, 60, 120])
def test_parts_of_pixels_count(size_px: int) -> None:
    crop = cut_face(square_at(150, 100, 60), (140.5, 95.25, 80.0, 80.0), None, spec(size_px)).image
    unit = size_px / 80
    assert edges_px(crop) == pytest.approx((9.5 * unit, 4.75 * unit, 69.5 * unit, 64.75 * unit), abs=0.35)


def test_same_size_at_whole_pixels_is_the_picture_itself() -> None:
    image = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    crop = cut_face(image, (40.0, 60.0, 64.0, 64.0), None, spec(64)).image
    np.testing.assert_array_equal(crop, image[60:124, 40:104])


def test_halving_averages_whole_areas() -> None:
    image = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    crop = cut_face(image, (40.0, 60.0, 64.0, 64.0), None, spec(32)).image
    areas = image[60:124, 40:104].reshape(32, 2, 32, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(crop - areas).max() < 6.0
    assert np.abs(crop - areas).mean() < 1.0


@pytest.mark.parametrize("size_px", [30, 100, 200])
@pytest.mark.parametrize(
    "box", [(-40.0, 100.0, 80.0, 80.0), (360.0, 250.0, 80.0, 80.0), (-100.0, -100.0, 600.0, 600.0)]
)
def test_outside_the_frame_the_border_is_repeated(size_px: int, box: Box) -> None:
    image = np.full((300, 400, 3), GREY, np.uint8)
    image[:, :45] = image[:, -45:] = RED
    crop = cut_face(image, box, None, spec(size_px)).image
    x, _, side, _ = box
    outside = (x + (np.arange(size_px) + 0.5) * side / size_px < -2) | (
        x + (np.arange(size_px) + 0.5) * side / size_px > 402
    )
    assert np.abs(crop[:, outside].astype(int) - RED).max(initial=0) <= 2
    assert outside.any()


def test_a_box_far_outside_gives_a_crop_all_the_same() -> None:
    for box in ((1000.0, 1000.0, 50.0, 50.0), (-500.0, 10.0, 300.0, 300.0), (10.0, 10.0, 0.0, 0.0)):
        assert cut_face(square_at(150, 100, 60), box, None, spec(64)).image.shape == (64, 64, 3)


@pytest.mark.parametrize("size_px", [60, 240])
def test_aligned_eyes_are_level_and_the_centre_stays(size_px: int) -> None:
    image = np.full((300, 400, 3), GREY, np.uint8)
    right, left = (170, 110), (230, 150)
    for (x, y), colour in ((right, (255, 0, 0)), (left, (0, 0, 255))):
        image[y - 4 : y + 4, x - 4 : x + 4] = colour
    points = np.array([right, left, (195, 150), (170, 180), (210, 190)], np.float32)
    box = (140.0, 70.0, 120.0, 120.0)

    def eyes(align: bool) -> tuple[tuple[float, float], tuple[float, float]]:
        crop = cut_face(image, box, points, spec(size_px, align=align)).image.astype(int)
        red, blue = crop[:, :, 0] - crop[:, :, 2] > 60, crop[:, :, 2] - crop[:, :, 0] > 60
        return tuple(tuple((np.argwhere(mask).mean(axis=0) + 0.5).tolist()) for mask in (red, blue))  # type: ignore[return-value]

    unit = size_px / 120
    (red_y, red_x), (blue_y, blue_x) = eyes(align=False)
    assert (red_x, red_y) == pytest.approx((30 * unit, 40 * unit), abs=0.6)
    assert (blue_x, blue_y) == pytest.approx((90 * unit, 80 * unit), abs=0.6)
    (red_y, red_x), (blue_y, blue_x) = eyes(align=True)
    assert red_y == pytest.approx(blue_y, abs=0.6)
    assert blue_x - red_x == pytest.approx(np.hypot(60, 40) * unit, abs=0.8)
    assert ((red_x + blue_x) / 2, (red_y + blue_y) / 2) == pytest.approx((60 * unit, 60 * unit), abs=0.6)


def test_alignment_without_landmarks_cuts_upright() -> None:
    image = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    plain, aligned = (cut_face(image, (40.0, 60.0, 64.0, 64.0), None, spec(48, align=turn)) for turn in (False, True))
    np.testing.assert_array_equal(plain.image, aligned.image)
    assert eye_angle_deg(None) == 0.0


def test_every_finder_has_its_measured_boxes() -> None:
    assert set(FINDER_SCALE) == set(FINDER_SHIFT) == set(FINDERS)


def test_a_margin_serves_every_finder() -> None:
    yunet = (100.0, 100.0, 150.0, 200.0)
    side = 200.0 / FINDER_SCALE["dlib"]
    centre_y = 200.0 - FINDER_SHIFT["dlib"] * 200.0
    dlib = (175.0 - side / 2, centre_y - side / 2, side, side)
    for chosen in (spec(224, 1.2), spec(224, 1.2, boxes_from="dlib")):
        by_yunet, by_dlib = square_to_cut(yunet, chosen, "yunet"), square_to_cut(dlib, chosen, "dlib")
        assert by_yunet[0] == pytest.approx(by_dlib[0])
        assert by_yunet[1] == pytest.approx(by_dlib[1])
    centre, cut = square_to_cut(dlib, spec(224, 1.2, boxes_from="dlib"), "dlib")
    assert centre == pytest.approx((175.0, centre_y))
    assert cut == pytest.approx(side * 1.2)
    assert square_to_cut(yunet, spec(224, 1.2))[1] == pytest.approx(240.0)


def test_unknown_finders_and_other_versions_are_refused() -> None:
    image = square_at(150, 100, 60)
    with pytest.raises(UnknownNameError, match="yunet"):
        cut_face(image, (0.0, 0.0, 10.0, 10.0), None, spec(64), "yunett")
    with pytest.raises(UnknownNameError, match="dlib"):
        cut_face(image, (0.0, 0.0, 10.0, 10.0), None, spec(64, boxes_from="dlip"))
    with pytest.raises(ModelError, match="version 99"):
        cut_face(image, (0.0, 0.0, 10.0, 10.0), None, CropSpec(99, 64, 1.0))


def test_blur_and_luma() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    sharp, _ = blur_and_luma(noise)
    flat, luma = blur_and_luma(np.full((64, 64, 3), 77, np.uint8))
    assert sharp > 1000
    assert flat == 0.0
    assert luma == pytest.approx(77.0)
    red, green = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    red[:, :, 0] = green[:, :, 1] = 255
    # RGB, not BGR: luma weighs red .299.
    assert blur_and_luma(red)[1] == pytest.approx(0.299 * 255, abs=1)
    assert blur_and_luma(green)[1] == pytest.approx(0.587 * 255, abs=1)
